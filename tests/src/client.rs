//! An MQTT client that knows nothing of Packhorse: for devices that are foreign, hostile or silent.

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{LastWill, Packet};
use rumqttc::v5::{Client, Event, MqttOptions};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

/// A connected client; messages that it is subscribed to arrive in a queue.
pub struct Stranger {
    client: Client,
    arrived: mpsc::Receiver<(String, Vec<u8>)>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Stranger {
    /// Connects to `HOST:PORT`, subscribes to the filters and waits until the broker has said yes.
    pub fn connect(broker: &str, filters: &[&str]) -> Self {
        let (host, port) = broker.trim_start_matches("mqtt://").rsplit_once(':').expect("HOST:PORT");
        let mut options =
            MqttOptions::new(format!("stranger-{}", rand::random::<u32>()), host, port.parse().expect("a port"));
        options.set_keep_alive(Duration::from_secs(30));
        options.set_max_packet_size(Some(1 << 20));
        let (client, mut connection) = Client::new(options, 4096);
        for filter in filters {
            client.subscribe(*filter, QoS::AtLeastOnce).expect("the queue has room");
        }
        let (arrive, arrived) = mpsc::channel();
        let (ready, is_ready) = mpsc::channel();
        let over = Arc::new(AtomicBool::new(false));
        let (ending, wanted) = (Arc::clone(&over), filters.len());
        let thread = std::thread::spawn(move || {
            let mut granted = 0;
            for event in connection.iter() {
                match event {
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        let topic = String::from_utf8_lossy(&publish.topic).into_owned();
                        drop(arrive.send((topic, publish.payload.to_vec())));
                    }
                    Ok(Event::Incoming(Packet::SubAck(_))) => granted += 1,
                    Ok(Event::Incoming(Packet::ConnAck(_))) if wanted == 0 => {
                        ready.send(()).ok();
                    }
                    Ok(_) => {}
                    Err(_) if ending.load(Ordering::Relaxed) => return,
                    Err(_) => std::thread::sleep(Duration::from_millis(50)),
                }
                if granted == wanted && wanted > 0 {
                    ready.send(()).ok();
                }
                if ending.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        is_ready.recv_timeout(Duration::from_secs(30)).expect("the broker answers");
        Self { client, arrived, over, thread: Some(thread) }
    }

    /// Publishes at QoS 1.
    pub fn say(&self, topic: &str, payload: impl Into<Vec<u8>>) {
        self.client.publish(topic, QoS::AtLeastOnce, false, payload.into()).expect("the queue takes it");
    }

    /// Publishes at QoS 1 as the topic's retained message.
    pub fn keep(&self, topic: &str, payload: impl Into<Vec<u8>>) {
        self.client.publish(topic, QoS::AtLeastOnce, true, payload.into()).expect("the queue takes it");
    }

    /// The next message, if one comes in time.
    pub fn hear(&self, within: Duration) -> Option<(String, Vec<u8>)> {
        self.arrived.recv_timeout(within).ok()
    }
}

impl std::fmt::Debug for Stranger {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Stranger").finish_non_exhaustive()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        drop(self.client.disconnect());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// A client with a last will, which the broker keeps and tells when the client dies.
pub struct Mortal {
    client: Client,
    acknowledged: mpsc::Receiver<()>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Mortal {
    /// Connects to `HOST:PORT` with this will, topic and payload, and waits until the broker has said yes.
    pub fn connect(broker: &str, (topic, payload): (&str, &str)) -> Self {
        let (host, port) = broker.trim_start_matches("mqtt://").rsplit_once(':').expect("HOST:PORT");
        let id = format!("mortal-{}", rand::random::<u32>());
        let mut options = MqttOptions::new(id, host, port.parse().expect("a port"));
        options.set_keep_alive(Duration::from_secs(30));
        options.set_last_will(LastWill::new(topic, payload.to_owned(), QoS::AtLeastOnce, true, None));
        let (client, mut connection) = Client::new(options, 16);
        let (say, acknowledged) = mpsc::channel();
        let over = Arc::new(AtomicBool::new(false));
        let ending = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            // Its connection ends with it, without a word.
            while !ending.load(Ordering::Relaxed) {
                match connection.recv_timeout(Duration::from_millis(20)) {
                    Ok(Ok(Event::Incoming(Packet::ConnAck(_) | Packet::PubAck(_)))) => drop(say.send(())),
                    Ok(Err(_)) => return,
                    Ok(Ok(_)) | Err(_) => {}
                }
            }
        });
        let mortal = Self { client, acknowledged, over, thread: Some(thread) };
        mortal.acknowledged.recv_timeout(Duration::from_secs(30)).expect("the broker answers");
        mortal
    }

    /// Publishes at QoS 1 as the topic's retained message, and waits until the broker has it.
    pub fn keep(&self, topic: &str, payload: impl Into<Vec<u8>>) {
        self.client.publish(topic, QoS::AtLeastOnce, true, payload.into()).expect("the queue takes it");
        self.acknowledged.recv_timeout(Duration::from_secs(30)).expect("the broker answers");
    }

    /// Is gone as by a power cut: the connection breaks without a DISCONNECT.
    pub fn die(self) {}
}

impl std::fmt::Debug for Mortal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Mortal").finish_non_exhaustive()
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
