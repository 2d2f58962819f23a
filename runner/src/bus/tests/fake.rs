//! A broker of a few bytes that misbehaves on purpose: one task a connection, driven by a list of manners.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// How a connection is treated.
#[derive(Debug, Clone, Copy)]
pub(super) enum Manner {
    /// CONNACK with this reason code, then the end.
    Refuse(u8),
    /// CONNACK with a keep-alive of a second, then nothing at all.
    Silent,
    /// CONNACK with a keep-alive of a second and a receive maximum of 2; pings are answered, nothing else is.
    OnlyPings,
    /// CONNACK, then DISCONNECT with this reason code.
    Disconnect(u8),
    /// CONNACK, then DISCONNECT "server moved" with a reference to 127.0.0.1 and this port.
    Moved(u16),
    /// MQTT 5 is refused as a broker of 3.1.1 refuses it; 3.1.1 is served like `Acknowledge`, subscriptions are granted.
    Old,
    /// As `Old`, but MQTT 5 is answered by the end.
    OldAndRude,
    /// CONNACK with these property bytes, then as `Acknowledge`; every SUBSCRIBE is granted.
    Limits(&'static [u8]),
    /// CONNACK; PUBLISH of QoS 1 is answered with this reason code.
    PubAck(u8),
    /// As `Acknowledge`, but payloads of more bytes are answered with this reason code.
    Above(usize, u8),
    /// As `Above`, and after such an answer comes the end.
    AboveAndEnd(usize, u8),
    /// CONNACK; SUBSCRIBE of one filter is granted, UNSUBSCRIBE answered with this reason code.
    UnsubAck(u8),
    /// CONNACK with a keep-alive of a second and a receive maximum of 2; of publishes only the second is acknowledged.
    SkipFirst,
    /// CONNACK with a keep-alive of a second, then nothing is even read.
    Deaf,
    /// CONNACK; PUBLISH is answered by the end.
    HangUpAtPublish,
    /// CONNACK; PUBLISH of QoS 1 is noted and acknowledged, pings are answered.
    Acknowledge,
    /// CONNACK; every SUBSCRIBE of one filter is answered with this reason code.
    Subscribe(u8),
    /// CONNACK; the first SUBSCRIBE is granted, then the end.
    HangUpAfterSubscribe,
    /// Bytes which are no MQTT.
    Garbage,
    /// The connection is accepted and never answered.
    Mute,
}

pub(super) struct Fake {
    pub(super) addr: SocketAddr,
    /// Payloads noted by [`Manner::Acknowledge`].
    pub(super) notes: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Fake {
    /// Listens; the n-th connection is treated by the n-th manner, later ones by the last.
    pub(super) async fn start(manners: Vec<Manner>) -> Self {
        let listener = TcpListener::bind(super::loopback()).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let notes = Arc::<Mutex<Vec<String>>>::default();
        let (count, noted) = (connections.clone(), notes.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let index = count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, manners[index.min(manners.len() - 1)], noted.clone()));
            }
        });
        Self { addr, notes, connections, task }
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, manner: Manner, notes: Arc<Mutex<Vec<String>>>) -> std::io::Result<()> {
    // What waits for Nagle when a connection is dropped is never sent.
    stream.set_nodelay(true)?;
    let (_, connect) = read_packet(&mut stream).await?;
    // After the protocol's name: length 2, `MQTT`.
    let version = connect[6];
    match manner {
        Manner::Old if version == 5 => return stream.write_all(&[0x20, 2, 0, 1]).await,
        Manner::OldAndRude if version == 5 => return Ok(()),
        Manner::Old | Manner::OldAndRude => stream.write_all(&[0x20, 2, 0, 0]).await?,
        Manner::Limits(properties) => {
            let length = u8::try_from(properties.len()).unwrap();
            stream.write_all(&[&[0x20, 3 + length, 0, 0, length], properties].concat()).await?;
        }
        Manner::Moved(port) => {
            let place = format!("127.0.0.1:{port}");
            let length = u8::try_from(place.len()).unwrap();
            let head = [0x20, 3, 0, 0, 0, 0xe0, 5 + length, 0x9d, 3 + length, 0x1c, 0, length];
            stream.write_all(&[&head, place.as_bytes()].concat()).await?;
        }
        Manner::Refuse(code) => return stream.write_all(&[0x20, 3, 0, code, 0]).await,
        Manner::Garbage => return stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await,
        Manner::Silent | Manner::Deaf => stream.write_all(&[0x20, 6, 0, 0, 3, 0x13, 0, 1]).await?,
        Manner::OnlyPings | Manner::SkipFirst => stream.write_all(&[0x20, 9, 0, 0, 6, 0x13, 0, 1, 0x21, 0, 2]).await?,
        Manner::Disconnect(code) => {
            stream.write_all(&[0x20, 3, 0, 0, 0, 0xe0, 2, code, 0]).await?;
        }
        Manner::Subscribe(_)
        | Manner::PubAck(_)
        | Manner::Above(..)
        | Manner::AboveAndEnd(..)
        | Manner::UnsubAck(_)
        | Manner::HangUpAfterSubscribe
        | Manner::HangUpAtPublish
        | Manner::Acknowledge => {
            stream.write_all(&[0x20, 3, 0, 0, 0]).await?;
        }
        Manner::Mute => {}
    }
    if matches!(manner, Manner::Deaf) {
        std::future::pending::<()>().await;
    }
    loop {
        let (kind, body) = read_packet(&mut stream).await?;
        match (manner, kind) {
            (Manner::Silent, 0xc0) => {}
            (_, 0xc0) => stream.write_all(&[0xd0, 0]).await?,
            (Manner::UnsubAck(_) | Manner::Limits(_), 0x82) => {
                stream.write_all(&[0x90, 4, body[0], body[1], 0, 1]).await?;
            }
            (Manner::Old | Manner::OldAndRude, 0x82) => stream.write_all(&[0x90, 3, body[0], body[1], 1]).await?,
            (Manner::UnsubAck(code), 0xa2) => stream.write_all(&[0xb0, 4, body[0], body[1], 0, code]).await?,
            (Manner::PubAck(code), 0x32) => {
                let id = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
                stream.write_all(&[0x40, 4, body[id], body[id + 1], code, 0]).await?;
            }
            (Manner::SkipFirst, 0x32) => {
                let id = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
                if body[id + 1] == 2 {
                    stream.write_all(&[0x40, 2, 0, 2]).await?;
                }
            }
            (Manner::Limits(_), 0x30) => {
                let after_topic = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
                let text = String::from_utf8_lossy(&body[after_topic + 1..]).into_owned();
                notes.lock().unwrap().push(text);
            }
            (Manner::Subscribe(code), 0x82) => stream.write_all(&[0x90, 4, body[0], body[1], 0, code]).await?,
            (Manner::HangUpAtPublish, 0x32) => return Ok(()),
            (
                Manner::Acknowledge
                | Manner::Above(..)
                | Manner::AboveAndEnd(..)
                | Manner::Old
                | Manner::OldAndRude
                | Manner::Limits(_),
                0x32,
            ) => {
                let after_topic = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
                if let Manner::Above(most, code) | Manner::AboveAndEnd(most, code) = manner
                    && body.len() - after_topic - 3 > most
                {
                    stream.write_all(&[0x40, 4, body[after_topic], body[after_topic + 1], code, 0]).await?;
                    if let Manner::AboveAndEnd(..) = manner {
                        return Ok(());
                    }
                    continue;
                }
                stream.write_all(&[0x40, 2, body[after_topic], body[after_topic + 1]]).await?;
                // Packet id, in MQTT 5 the length of no properties, then the payload.
                let start = after_topic + if version == 5 { 3 } else { 2 };
                let text = String::from_utf8_lossy(&body[start..]).into_owned();
                notes.lock().unwrap().push(text);
            }
            (Manner::HangUpAfterSubscribe, 0x82) => {
                return stream.write_all(&[0x90, 4, body[0], body[1], 0, 1]).await;
            }
            _ => {}
        }
    }
}

/// First byte and body.
async fn read_packet(stream: &mut TcpStream) -> std::io::Result<(u8, Vec<u8>)> {
    let kind = stream.read_u8().await?;
    let (mut length, mut shift) = (0, 0);
    loop {
        let byte = usize::from(stream.read_u8().await?);
        length |= (byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok((kind, body))
}
