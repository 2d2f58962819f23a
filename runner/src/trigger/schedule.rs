//! Times that start runs. What is due is decided by the wall clock at each tick, so that no jump of it is missed.

use super::books::Name;
use super::judge::Definition;
use super::shared::{Came, Order, Shared, now, passes};
use packhorse_core::effect::KvRequest;
use packhorse_core::failure::Failure;
use packhorse_core::run::WallTime;
use packhorse_core::trigger::{self, Due, Mark, Source, due};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Between looks at the clock.
const TICK: Duration = Duration::from_secs(1);
/// Longest wait after failures, in ticks.
const LONGEST: u32 = 60;

/// A schedule at work.
struct Clock {
    shared: Arc<Shared>,
    name: Name,
    definition: watch::Receiver<Definition>,
    mark: Option<Mark>,
    /// Nothing is due before; nothing where it must be asked.
    wake_at: Option<WallTime>,
    /// Of what `wake_at` was told.
    identity: String,
    behind: bool,
}

/// Listens until it is dropped.
pub(super) async fn listen(shared: Arc<Shared>, name: Name, definition: watch::Receiver<Definition>) {
    let key = key(&name);
    let mark = loop {
        match shared.read(&key).await {
            Ok(text) => break text.and_then(|text| serde_json::from_str(&text).ok()),
            Err(failure) => shared.tell(&name, "the store", &failure),
        }
        tokio::time::sleep(TICK).await;
    };
    let mut clock = Clock { shared, name, definition, mark, wake_at: None, identity: String::new(), behind: false };
    let mut failures = 0;
    loop {
        failures = match clock.tick().await {
            Ok(()) => 0,
            Err(failure) => {
                clock.shared.tell(&clock.name, "the clock", &failure);
                (failures + 1).min(LONGEST)
            }
        };
        tokio::time::sleep(TICK * failures.max(1)).await;
    }
}

fn key(name: &Name) -> String {
    format!("\u{1}trigger-schedule:{}", super::mqtt::hash(&[&name.workflow, &name.id]))
}

impl Clock {
    /// Carries out what is due.
    async fn tick(&mut self) -> Result<(), Failure> {
        let definition = self.definition.borrow().clone();
        let Source::Schedule(schedule) = &definition.trigger.source else { return Ok(()) };
        let now = now();
        let before = self.mark.as_ref().is_some_and(|mark| now < mark.settled);
        if !before && self.identity == schedule.identity() && self.wake_at.is_some_and(|wake| now < wake) {
            return Ok(());
        }
        let due = due(schedule, &format!("{} {}", self.name.workflow, self.name.id), self.mark.as_ref(), now);
        self.say(&due);
        for nominal in &due.fire {
            self.fire(&definition, *nominal).await?;
        }
        if !due.clock_behind && self.mark.as_ref() != Some(&due.mark) {
            let value = serde_json::to_string(&due.mark).unwrap_or_default();
            self.shared.ask(KvRequest::Set { key: key(&self.name), value, expire: None }).await?;
            self.mark = Some(due.mark.clone());
        }
        self.identity = schedule.identity();
        // A schedule that never comes again is asked once more each day.
        self.wake_at = Some(due.wake_at.unwrap_or_else(|| now.after(Duration::from_secs(86_400))));
        self.shared.books.note(&self.name, |page| {
            page.next_fire = due.wake_at;
            page.last_fired = due.mark.fired;
        });
        Ok(())
    }

    /// One run for a nominal time, however often it is asked for.
    async fn fire(&self, definition: &Definition, nominal: WallTime) -> Result<(), Failure> {
        let came = Came {
            source: nominal.to_rfc3339(),
            context: trigger::scheduled(nominal),
            own_key: Some(nominal.0.to_string()),
            // The inputs are the workflow's own words.
            folder: Some(PathBuf::from(".")),
            ..Came::default()
        };
        let start = match self.shared.judged(&self.name, definition, &came).await {
            Ok(Some(start)) => start,
            Ok(None) => return Ok(()),
            Err(failure) => {
                self.shared.bury(&self.name, definition, &came, &failure).await;
                return Ok(());
            }
        };
        let order = Order { came, start };
        match self.shared.begin(&self.name, &order).await {
            Ok(_) => Ok(()),
            Err(failure) if passes(&failure) => Err(failure),
            Err(failure) => {
                self.shared.bury(&self.name, definition, &order.came, &failure).await;
                Ok(())
            }
        }
    }

    fn say(&mut self, due: &Due) {
        let (workflow, trigger) = (&self.name.workflow, &self.name.id);
        if due.clock_behind && !self.behind {
            tracing::warn!(%workflow, %trigger, "clock_behind: the clock lies before what a schedule has carried out, or was never set; it waits until the clock has caught up");
        }
        self.behind = due.clock_behind;
        let trouble = due.clock_behind.then(|| "clock_behind".to_owned());
        self.shared.books.listens(&self.name, trouble, !due.clock_behind);
        if due.skipped {
            tracing::warn!(%workflow, %trigger, "times of a schedule passed unseen and were passed over");
        }
    }
}
