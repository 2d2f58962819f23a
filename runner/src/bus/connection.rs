//! The task behind [`RumqttcBus`](super::RumqttcBus): connect, serve, and after a failure wait and connect anew.
//!
//! Every connection gets a new client and event loop. rumqttc's own reconnect keeps a packet-id collision for
//! ever when the session is lost (its issue 1056) and drops unacknowledged publishes silently; here whatever was not
//! acknowledged is taken out of the old loop and published again on the next connection, in its order.
//!
//! Sessions are clean unless the settings say otherwise: every subscription is renewed on each connection, and what
//! devices said meanwhile is asked for again by the transfers, which must be able to do so anyway.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use packhorse_core::failure::Class;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::backoff::Backoff;
use super::client::Shared;
use super::link::{Ended, Link, Unacknowledged};
use super::rota::{Next, Rota};
use super::tls::Transports;
use super::wire::{Failed, Opening, Protocol, Wire};
use super::{BusError, BusStatus, Settings, Version};

/// How long `close` waits for queued messages to go out.
pub(super) const GOODBYE: Duration = Duration::from_secs(3);

/// After so many connections in a row which broke before the broker acknowledged anything, what was sent on the last
/// one is dropped: a message at which the broker hangs up would otherwise be repeated for ever.
const POISONED: u32 = 5;

/// Taken over so often in a short time, we give up: the other client comes back as well.
const TAKEN_OVER: u32 = 2;

/// Runs until `close`, until it is aborted, or until another client has our id.
pub(super) async fn supervise(shared: Arc<Shared>, transports: Transports) {
    let mut end = End { shared: shared.clone(), last: BusStatus::Closed };
    let mut closing = shared.closing.subscribe();
    let mut history = History::new(&shared.settings);
    loop {
        let connected = tokio::select! {
            connected = attempt(&shared, &transports, history.rota.now()) => connected,
            () = is_closing(&mut closing) => return,
        };
        let error = match connected {
            Ok(link) => match history.serve(link, &shared).await {
                Ended::Failed(error) => error,
                Ended::Goodbye => return,
            },
            Err(error) => {
                history.attempts += 1;
                error
            }
        };
        let error = history.count_takeovers(error, &shared.settings);
        if let BusError::TakenOver { times: TAKEN_OVER.., .. } = error {
            tracing::error!(%error, "gave up MQTT: two clients have one client id");
            end.last = BusStatus::GivenUp(Arc::new(error));
            return;
        }
        let wait = history.wait(&error, &shared.settings);
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

/// One attempt at one broker, in the version that the settings name, or in one after the other.
async fn attempt(shared: &Shared, transports: &Transports, index: usize) -> Result<Link, BusError> {
    let settings = &shared.settings;
    let Some(server) = settings.servers.get(index) else { return Err(BusError::Closed) };
    let opening = || -> Result<Opening<'_>, BusError> {
        Ok(Opening {
            server,
            transport: transports.to(server, settings)?,
            credentials: settings.credentials(server)?,
            client_id: &settings.client_id,
            session: settings.session,
            receipts: settings.receipts,
            keep_alive: settings.keep_alive,
            attempt_timeout: settings.attempt_timeout,
        })
    };
    let first = if settings.version == Version::Three { Protocol::V311 } else { Protocol::V5 };
    match Wire::connect(opening()?, first).await {
        Ok(parts) => Ok(Link::new(parts, server.address())),
        Err(Failed { error, perhaps_old: true }) if settings.version == Version::Auto => {
            let parts = Wire::connect(opening()?, Protocol::V311).await.map_err(|older| later(error, older.error))?;
            if !shared.told_older.swap(true, Ordering::Relaxed) {
                let address = server.address();
                tracing::warn!(
                    address,
                    "the broker does not speak MQTT 5: it is served in MQTT 3.1.1, without message expiry and without reasons"
                );
            }
            Ok(Link::new(parts, server.address()))
        }
        Err(failed) => Err(failed.error),
    }
}

/// Which of two failures tells more: the older version's where the broker answered it at all.
fn later(newer: BusError, older: BusError) -> BusError {
    if matches!(older, BusError::Refused { .. }) { older } else { newer }
}

/// What earlier connections teach about the next.
struct History {
    backoff: Backoff,
    rota: Rota,
    /// Connections so far.
    generation: u64,
    /// Connections in a row that ended before any publish was acknowledged.
    fruitless: u32,
    /// When our session was last taken over, and how often in a short time.
    taken_over: Option<(Instant, u32)>,
    since: Instant,
    /// Failed attempts since then.
    attempts: u32,
}

impl History {
    fn new(settings: &Settings) -> Self {
        let first = settings.backoff.0;
        Self {
            // A fresh process retries from a tenth of that on: its broker may be starting at the same moment.
            backoff: Backoff::new(first / 10, first),
            rota: Rota::new(settings.servers.len()),
            generation: 0,
            fruitless: 0,
            taken_over: None,
            since: Instant::now(),
            attempts: 0,
        }
    }

    async fn serve(&mut self, mut link: Link, shared: &Shared) -> Ended {
        let (first, longest) = shared.settings.backoff;
        if self.generation == 0 {
            self.backoff = Backoff::new(first, longest);
        }
        self.generation += 1;
        let begun = Instant::now();
        let ended = link.run(shared, self.generation).await;
        self.fruitless = if link.fruitless() { self.fruitless + 1 } else { 0 };
        let unacknowledged = if self.fruitless < POISONED { Unacknowledged::Keep } else { Unacknowledged::Drop };
        link.salvage(shared, unacknowledged);
        if self.backoff.outlived(begun.elapsed()) {
            self.backoff.reset();
            self.rota.served();
        }
        (self.since, self.attempts) = (Instant::now(), 0);
        ended
    }

    /// Counts take-overs that follow each other within ten of the longest waits.
    fn count_takeovers(&mut self, error: BusError, settings: &Settings) -> BusError {
        let BusError::TakenOver { address, client_id, .. } = error else { return error };
        let now = Instant::now();
        let recent = self.taken_over.filter(|(at, _)| now.duration_since(*at) < 10 * settings.backoff.1);
        let times = recent.map_or(1, |(_, times)| times + 1);
        self.taken_over = Some((now, times));
        BusError::TakenOver { address, client_id, times }
    }

    /// Chooses the next broker and says how long to wait before it is tried.
    fn wait(&mut self, error: &BusError, settings: &Settings) -> Duration {
        let next = self.rota.failed(error.class() != Class::Transient);
        if let BusError::Ended { reference: Some(reference), .. } = error
            && let Some(index) = settings.servers.iter().position(|server| server.is_named(reference))
        {
            self.rota.sent_to(index);
        }
        match (error, next) {
            // The same client id may be in use at the other brokers of a cluster too.
            (BusError::TakenOver { .. }, _) => self.backoff.give_way(&mut rand::rng()),
            (_, Next::AtOnce) => Duration::ZERO,
            (_, Next::AfterWait) => self.backoff.next(&mut rand::rng()),
        }
    }

    fn tell(&self, shared: &Shared, error: BusError) {
        let (since, attempts, hopeless) = (self.since, self.attempts, self.rota.hopeless());
        // The first failure of an outage is news; its repetitions are not.
        if attempts <= 1 {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(%error, cause, "no MQTT connection");
        } else {
            tracing::debug!(%error, attempts, "MQTT connection attempt failed");
        }
        let last_error = Some(Arc::new(error));
        shared.status.send_replace(BusStatus::Connecting { since, attempts, last_error, hopeless });
    }
}

/// Whichever way the task ends, nobody is left waiting for it.
struct End {
    shared: Arc<Shared>,
    last: BusStatus,
}

impl Drop for End {
    fn drop(&mut self) {
        // First, so that whoever is sent away can see why.
        self.shared.status.send_replace(self.last.clone());
        self.shared.outbox.close();
        self.shared.registry.close();
    }
}
