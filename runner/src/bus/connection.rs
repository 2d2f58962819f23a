//! The task behind [`RumqttcBus`](super::RumqttcBus): connect, serve, and after a failure wait and connect anew.
//!
//! Every connection gets a new rumqttc client and event loop. rumqttc's own reconnect keeps a packet-id collision for
//! ever when the session is lost (its issue 1056) and drops unacknowledged publishes silently; here whatever was not
//! acknowledged is taken out of the old loop and published again on the next connection, in its order.
//!
//! Sessions are clean: the broker keeps nothing for a runner that died, every subscription is renewed on each
//! connection, and what devices said meanwhile is asked for again by the transfers, which must be able to do so anyway.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rumqttc::Transport;
use rumqttc::v5::mqttbytes::v5::ConnAck;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::backoff::Backoff;
use super::client::Shared;
use super::link::{Ended, Link, Unacknowledged};
use super::{BusError, BusStatus, Settings};

/// How long `close` waits for queued messages to go out.
pub(super) const GOODBYE: Duration = Duration::from_secs(3);

/// After so many connections in a row which broke before the broker acknowledged anything, what was sent on the last
/// one is dropped: a message at which the broker hangs up would otherwise be repeated for ever.
const POISONED: u32 = 3;

/// Runs until `close`, or until it is aborted.
pub(super) async fn supervise(shared: Arc<Shared>, transport: Transport) {
    let _end = End(shared.clone());
    let mut closing = shared.closing.subscribe();
    let mut history = History::new(&shared.settings);
    loop {
        let mut link = Link::new(&shared.settings, transport.clone());
        let connected = tokio::select! {
            connected = link.connect(&shared.settings) => connected,
            () = is_closing(&mut closing) => return,
        };
        let error = match connected {
            Ok(welcome) => match history.serve(link, &welcome, &shared).await {
                Ended::Failed(error) => error,
                Ended::Goodbye => return,
            },
            Err(error) => {
                history.attempts += 1;
                error
            }
        };
        let wait = history.wait(&error);
        history.tell(&shared, error);
        if timeout(wait, is_closing(&mut closing)).await.is_ok() {
            return;
        }
    }
}

/// Resolves once `close` was called.
pub(super) async fn is_closing(closing: &mut watch::Receiver<bool>) {
    if closing.wait_for(|closing| *closing).await.is_err() {
        // The sender lives in `Shared`, which the caller holds.
        sleep(Duration::MAX).await;
    }
}

/// What earlier connections teach about the next.
struct History {
    backoff: Backoff,
    /// Connections so far.
    generation: u64,
    /// Connections in a row that ended before any publish was acknowledged.
    fruitless: u32,
    since: Instant,
    /// Failed attempts since then.
    attempts: u32,
}

impl History {
    fn new(settings: &Settings) -> Self {
        let first = settings.backoff.0;
        // A fresh process retries from a tenth of that on: its broker may be starting at the same moment.
        let backoff = Backoff::new(first / 10, first);
        Self { backoff, generation: 0, fruitless: 0, since: Instant::now(), attempts: 0 }
    }

    async fn serve(&mut self, mut link: Link, welcome: &ConnAck, shared: &Shared) -> Ended {
        let (first, longest) = shared.settings.backoff;
        if self.generation == 0 {
            self.backoff = Backoff::new(first, longest);
        }
        self.generation += 1;
        let begun = Instant::now();
        let ended = link.run(shared, welcome, self.generation).await;
        self.fruitless = if link.fruitless() { self.fruitless + 1 } else { 0 };
        let unacknowledged = if self.fruitless < POISONED { Unacknowledged::Keep } else { Unacknowledged::Drop };
        link.salvage(shared, unacknowledged);
        if begun.elapsed() > 10 * first {
            self.backoff.reset();
        }
        (self.since, self.attempts) = (Instant::now(), 0);
        ended
    }

    fn wait(&mut self, error: &BusError) -> Duration {
        match error {
            BusError::TakenOver { .. } => self.backoff.give_way(&mut rand::rng()),
            _ => self.backoff.next(&mut rand::rng()),
        }
    }

    fn tell(&self, shared: &Shared, error: BusError) {
        let (since, attempts) = (self.since, self.attempts);
        // The first failure of an outage is news; its repetitions are not.
        if attempts <= 1 {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(%error, cause, "no MQTT connection");
        } else {
            tracing::debug!(%error, attempts, "MQTT connection attempt failed");
        }
        shared.status.send_replace(BusStatus::Connecting { since, attempts, last_error: Some(Arc::new(error)) });
    }
}

/// Whichever way the task ends, nobody is left waiting for it.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.outbox.close();
        self.0.registry.close();
        self.0.status.send_replace(BusStatus::Closed);
    }
}
