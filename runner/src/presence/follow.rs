//! The task that follows generations: one task for each topic that stands in entries, and one that tells the engine who was heard.

use super::listen::{Ear, listen};
use crate::bus::Bus;
use crate::catalog::{Catalogs, Generation};
use crate::engine::{EngineHandle, Presences};
use crate::trigger::{Judge, Told};
use packhorse_core::failure::chain;
use packhorse_core::presence::Topic;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

/// What it is made of.
pub struct Parts {
    /// Where messages come from.
    pub bus: Arc<dyn Bus>,
    /// Keeps what is known.
    pub presences: Arc<Presences>,
    /// What counts.
    pub catalogs: Catalogs,
    /// Whose runs wait for devices.
    pub engine: EngineHandle,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Parts").field("presences", &self.presences).finish_non_exhaustive()
    }
}

/// Everything that listens; it ends with this handle.
#[derive(Debug)]
pub struct Presence {
    tasks: Vec<JoinHandle<()>>,
}

impl Presence {
    /// Begins to listen to what the newest generation says, and follows it. Runs have been taken up: they go on when their device is heard.
    ///
    /// # Errors
    ///
    /// Where the system gives no thread to evaluate expressions on.
    pub fn start(parts: Parts) -> std::io::Result<Self> {
        let Parts { bus, presences, catalogs, engine } = parts;
        let judge = Judge::start("presence")?;
        let telling = presences.heard_devices().map(|heard| tokio::spawn(tell(heard, engine)));
        let (generations, told) = (catalogs.subscribe(), Mutex::new(Told::default()));
        let ear = Arc::new(Ear { bus, presences, judge, generations: generations.clone(), told });
        let mut tasks = vec![tokio::spawn(follow(generations, ear))];
        tasks.extend(telling);
        Ok(Self { tasks })
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn tell(mut heard: mpsc::UnboundedReceiver<String>, engine: EngineHandle) {
    while let Some(device) = heard.recv().await {
        if let Err(error) = engine.device_heard(device).await {
            tracing::debug!("nobody goes on: {}", chain(&error));
            return;
        }
    }
}

async fn follow(mut generations: watch::Receiver<Arc<Generation>>, ear: Arc<Ear>) {
    // Dropped with this task, and all tasks with them.
    let mut live: BTreeMap<Topic, JoinSet<()>> = BTreeMap::new();
    loop {
        let generation = Arc::clone(&generations.borrow_and_update());
        ear.presences.follow(Arc::clone(&generation.registry));
        let wanted: BTreeSet<&Topic> = generation.registry.statuses().collect();
        live.retain(|topic, _| wanted.contains(topic));
        for topic in wanted {
            if !live.contains_key(topic) {
                let mut tasks = JoinSet::new();
                tasks.spawn(listen(Arc::clone(&ear), topic.clone()));
                live.insert(topic.clone(), tasks);
            }
        }
        if generations.changed().await.is_err() {
            return;
        }
    }
}
