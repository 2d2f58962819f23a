//! The broker: reached, its limits, and how long a question and its answer take through it.

use super::{Finding, judge};
use crate::app::bus_settings;
use crate::bus::{Bus, BusStatus, Message, Qos, RumqttcBus, Settings as BusSettings, Subscription};
use crate::settings::MqttAccess;
use packhorse_core::failure::chain;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// Questions that are asked through the broker.
const ROUNDS: usize = 40;
/// Time for all of them: 40 ms each fit.
const PATIENCE: Duration = Duration::from_secs(8);
/// Limit of anything else.
const SOON: Duration = Duration::from_secs(3);

pub(super) async fn look(url: &str, access: &MqttAccess, findings: &mut Vec<Finding>) {
    // Under names of our own: the runner's own session is left alone.
    let access = MqttAccess { client_id: None, session: None, ..access.clone() };
    let shown = crate::settings::without_password(url);
    let advice =
        "start the broker, or look at its address, user, password and certificates; `--mqtt` names another one";
    let began = Instant::now();
    let (asking, answering) = match (connect(url, &access).await, connect(url, &access).await) {
        (Ok(asking), Ok(answering)) => (asking, answering),
        (Err(words), _) | (_, Err(words)) => {
            findings.push(Finding::unreachable("broker", "PH8010", format!("{shown}: {words}"), advice));
            return;
        }
    };
    let network = network(url).await.unwrap_or_default();
    let version = version(&asking).await.map_or_else(String::new, |version| format!(", {version}"));
    let took = began.elapsed().as_secs_f64() * 1e3;
    findings
        .push(Finding::ok("broker", format!("{shown} answers{version} (two connections and a look in {took:.0} ms)")));
    if let BusStatus::Connected { limits, session_present, .. } = &*asking.status().borrow() {
        findings.push(judge::limits(limits.max_packet_size, limits.receive_max, *session_present));
    }
    match timeout(PATIENCE + SOON, ping_pong(&asking, &answering)).await {
        Ok(Ok(times)) if !times.is_empty() => {
            let rounds = times.len();
            findings.push(judge::ping_pong(judge::median(times), network, rounds));
        }
        Ok(Err(words)) => findings.push(silent(&words)),
        Ok(Ok(_)) | Err(_) => findings.push(silent("no message came back in time")),
    }
    asking.close().await;
    answering.close().await;
}

async fn connect(url: &str, access: &MqttAccess) -> Result<RumqttcBus, String> {
    let mut settings = bus_settings(url, access).map_err(|stop| stop.failure.message)?;
    (settings.attempt_timeout, settings.connect_timeout) = (SOON, SOON);
    RumqttcBus::connect(settings).await.map_err(|error| chain(&error))
}

fn silent(words: &str) -> Finding {
    let advice =
        "look at the broker's access list: topics under packhorse/ and those of the devices must be open to this user";
    Finding::failure("broker delay", "PH8011", format!("nothing comes through the broker: {words}"), advice)
}

/// How long a connection takes: one round trip of the network.
async fn network(url: &str) -> Option<Duration> {
    let settings = BusSettings::parse(url).ok()?;
    let mut times = Vec::new();
    for _ in 0..3 {
        let began = Instant::now();
        timeout(SOON, tokio::net::TcpStream::connect(settings.servers.first()?.address())).await.ok()?.ok()?;
        times.push(began.elapsed());
    }
    Some(judge::median(times))
}

/// What the broker calls itself, where it says so.
async fn version(bus: &RumqttcBus) -> Option<String> {
    let subscribed = timeout(SOON, bus.subscribe("$SYS/broker/version", Qos::AtMostOnce)).await.ok()?;
    let delivery = timeout(Duration::from_millis(300), subscribed.ok()?.recv()).await.ok()??;
    let text: String = String::from_utf8_lossy(&delivery.message.payload).chars().take(60).collect();
    Some(text)
}

/// Asks through one connection what the other answers, again and again; what each took.
async fn ping_pong(asking: &RumqttcBus, answering: &RumqttcBus) -> Result<Vec<Duration>, String> {
    let id: u64 = rand::random();
    let (question, answer): (Arc<str>, Arc<str>) =
        (format!("packhorse/doctor/{id:x}/ask").into(), format!("packhorse/doctor/{id:x}/answer").into());
    let mut asked = subscribe(answering, &question).await?;
    let mut answered = subscribe(asking, &answer).await?;
    let echo = async {
        while let Some(delivery) = asked.recv().await {
            drop(answering.publish(Message::new(Arc::clone(&answer), delivery.message.payload)));
        }
        Vec::new()
    };
    let ask = async {
        let (began, mut times) = (Instant::now(), Vec::new());
        while times.len() < ROUNDS && began.elapsed() < PATIENCE {
            let sent = Instant::now();
            let words = (times.len() as u64).to_be_bytes().to_vec();
            if asking.publish(Message::new(Arc::clone(&question), words)).is_err() {
                break;
            }
            match timeout(SOON, answered.recv()).await {
                Ok(Some(_)) => times.push(sent.elapsed()),
                Ok(None) | Err(_) => break,
            }
        }
        times
    };
    tokio::select! {
        times = ask => Ok(times),
        none = echo => Ok(none),
    }
}

async fn subscribe(bus: &RumqttcBus, topic: &str) -> Result<Subscription, String> {
    let subscribed = timeout(SOON, bus.subscribe(topic, Qos::AtLeastOnce)).await;
    subscribed.map_err(|_| "no answer to a subscription".to_owned())?.map_err(|error| chain(&error))
}
