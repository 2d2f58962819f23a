//! The engine's thread: gathers what happens into one event after another, decides, hands facts to the writer, begins and stops jobs.

use super::away::Away;
use super::clock::Clock;
use super::command::{Command, Finish, Reply, Signal, Wish};
use super::gate::{Gate, Ticket};
use super::handle::{Counted, EngineError, NewRun, Parts, not_live};
use super::lane::{Lane, Pending};
use super::load::{CLAIM, Loaded, Loader};
use crate::counts;
use crate::store::{Claim, Token, Writer};
use packhorse_core::failure::{Failure, chain};
use packhorse_core::run::{Moment, Reason, Run, RunEvent, RunId, RunStatus, WallTime};
use packhorse_core::workflow::Workflow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Weak};
use tokio::sync::mpsc::{Receiver, UnboundedReceiver, UnboundedSender};

/// Appends under way at the most, before commands have to wait: bounds the memory that a slow disk may cost.
const MOST_OUTSTANDING: usize = 16_384;

/// Runs that are counted together: their workflow, status, reason and priority.
type Kind<'a> = (&'a str, RunStatus, Option<Reason>, u8);

/// One thing that happened.
enum Event {
    Command(Command),
    Signal(Signal),
    Time,
    /// All handles are gone.
    Abandoned,
}

/// What is due at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    Tick,
    /// A job's time to stop is over.
    Grace(u64),
}

/// Why the engine ends.
enum End {
    Parked,
    Abandoned,
    /// The journal cannot be written.
    Broken(Arc<str>),
}

/// The engine.
pub(super) struct Actor {
    pub(super) parts: Parts,
    pub(super) clock: Clock,
    pub(super) writer: Writer,
    commands: Receiver<Command>,
    inbox: UnboundedReceiver<Signal>,
    pub(super) signals: UnboundedSender<Signal>,
    pub(super) lanes: HashMap<RunId, Lane>,
    pub(super) gate: Gate,
    pub(super) away: Away,
    /// New runs that are being claimed.
    starting: HashMap<RunId, (Box<NewRun>, Reply<()>)>,
    /// Runs that are being read, with what is wished of them.
    loading: HashMap<RunId, Vec<(Wish, Reply<()>)>>,
    pub(super) due: BTreeSet<(WallTime, RunId, Due)>,
    pub(super) outstanding: usize,
    pub(super) ticket: u64,
    workflows: HashMap<String, Weak<Workflow>>,
    shutdown: Vec<Reply<()>>,
}

impl Actor {
    pub(super) fn new(
        parts: Parts,
        clock: Clock,
        writer: Writer,
        commands: Receiver<Command>,
        (signals, inbox): (UnboundedSender<Signal>, UnboundedReceiver<Signal>),
    ) -> Self {
        Self {
            parts,
            clock,
            writer,
            commands,
            inbox,
            signals,
            lanes: HashMap::new(),
            gate: Gate::default(),
            away: Away::default(),
            starting: HashMap::new(),
            loading: HashMap::new(),
            due: BTreeSet::new(),
            outstanding: 0,
            ticket: 0,
            workflows: HashMap::new(),
            shutdown: Vec::new(),
        }
    }

    /// Works until the end; gives its reason, and who waits for it.
    pub(super) async fn work(mut self) -> (String, Vec<Reply<()>>) {
        let end = loop {
            let event = self.next().await;
            if let Some(end) = self.handle(event) {
                break end;
            }
        };
        let why = match end {
            End::Parked => "it was shut down".to_owned(),
            End::Abandoned => "nobody needs it any more".to_owned(),
            End::Broken(why) => why.to_string(),
        };
        let stopped = || EngineError::Stopped(why.clone());
        for (_, mut lane) in self.lanes.drain() {
            lane.first.take().into_iter().for_each(|(_, reply)| drop(reply.send(Err(stopped()))));
            lane.pending.drain(..).for_each(|pending| pending.refuse(stopped));
        }
        for reply in self.loading.drain().flat_map(|(_, wishes)| wishes).map(|(_, reply)| reply) {
            let _ = reply.send(Err(stopped()));
        }
        for (_, (_, reply)) in self.starting.drain() {
            let _ = reply.send(Err(stopped()));
        }
        (why, self.shutdown)
    }

    async fn next(&mut self) -> Event {
        let pause = self.due.first().map(|(at, ..)| self.clock.until(*at));
        let turn = self.gate.trials.due().map(|at| self.clock.until(at));
        let pause = pause.into_iter().chain(self.gate.due_in()).chain(turn).min();
        let time = async {
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // The engine holds a sender itself: the channel cannot close.
            Some(signal) = self.inbox.recv() => Event::Signal(signal),
            command = self.commands.recv(), if self.outstanding < MOST_OUTSTANDING => {
                command.map_or(Event::Abandoned, Event::Command)
            }
            () = time => Event::Time,
        }
    }

    fn handle(&mut self, event: Event) -> Option<End> {
        match event {
            Event::Command(command) => self.command(command),
            Event::Signal(signal) => {
                if let Err(why) = self.signal(signal) {
                    return Some(End::Broken(why));
                }
            }
            Event::Time => {}
            Event::Abandoned => return Some(End::Abandoned),
        }
        self.time();
        self.admit();
        let parked = !self.shutdown.is_empty() && self.lanes.values().all(Lane::is_parked) && self.starting.is_empty();
        parked.then_some(End::Parked)
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Start { new, reply } => self.start(new, reply),
            Command::Wish { run, wish, reply } => self.wish(run, wish, reply),
            Command::View { run, reply } => match self.lanes.get_mut(&run) {
                Some(lane) => lane.show(Pending { views: vec![reply], ..Pending::default() }, self.clock.now()),
                None => drop(reply.send(Ok(None))),
            },
            Command::Subscribe { run, reply } => match self.lanes.get_mut(&run) {
                Some(lane) => lane.show(Pending { watchers: vec![reply], ..Pending::default() }, self.clock.now()),
                None => drop(reply.send(Ok(None))),
            },
            Command::Compile { digest, source, reply } => drop(reply.send(Ok(self.compile(&digest, &source).ok()))),
            Command::Census { reply } => drop(reply.send(Ok(self.census()))),
            Command::Hold { holds, reply } => self.hold(holds, reply),
            Command::Heard { device, reply } => {
                self.device_heard(&device);
                drop(reply.send(Ok(())));
            }
            Command::TakingUp { begun, reply } => {
                self.gate.waits = begun;
                drop(reply.send(Ok(())));
            }
            Command::Shutdown { reply } => {
                self.shutdown.push(reply);
                let runs: Vec<RunId> = self.lanes.keys().cloned().collect();
                runs.iter().for_each(|run| self.act(run, RunEvent::Park, None));
            }
        }
    }

    fn census(&self) -> Vec<Counted> {
        let now = self.clock.now();
        let mut counts = BTreeMap::new();
        for lane in self.lanes.values() {
            let state = lane.course.run.state();
            let (status, reason) = state.standing();
            let key: Kind<'_> = (lane.context.workflow.as_str(), status, reason, lane.context.priority);
            let (runs, first) = counts.entry(key).or_insert((0_usize, now));
            (*runs, *first) = (*runs + 1, state.created_at.min(*first));
        }
        let counted = |((workflow, status, reason, priority), (runs, first)): (Kind<'_>, (usize, WallTime))| {
            let oldest = now.since(first);
            Counted { workflow: workflow.to_owned(), status, reason, priority, runs, oldest }
        };
        counts.into_iter().map(counted).collect()
    }

    fn signal(&mut self, signal: Signal) -> Result<(), Arc<str>> {
        match signal {
            Signal::Committed { run, committed } => {
                self.outstanding -= 1;
                self.committed(&run, committed)?;
            }
            Signal::Saved { run, committed } => {
                self.outstanding -= 1;
                if let Some(lane) = self.lanes.get_mut(&run) {
                    lane.saving = false;
                }
                if self.judge(&run, committed)? {
                    self.save_checkpoint(&run);
                }
            }
            Signal::Refused { run, committed } => {
                self.judge(&run, committed)?;
            }
            Signal::Noted { run, ticket } => {
                let job = self.lanes.get(&run).and_then(|lane| lane.job.as_ref()).filter(|job| job.ticket == ticket);
                if let Some(notes) = job.and_then(|job| job.mailbox.take()) {
                    self.noted(&run, notes);
                    self.save_checkpoint(&run);
                }
            }
            Signal::Ended { run, ticket, finish } => self.ended(&run, ticket, finish),
            Signal::Loaded { run, loaded } => self.loaded(&run, loaded),
            Signal::Claimed { run, claimed } => self.claimed(&run, claimed),
        }
        Ok(())
    }

    fn start(&mut self, new: Box<NewRun>, reply: Reply<()>) {
        let run = new.created.run.clone();
        if !self.shutdown.is_empty() {
            drop(reply.send(Err(EngineError::Stopped("it is being shut down".to_owned()))));
            return;
        }
        if self.lanes.contains_key(&run) || self.loading.contains_key(&run) || self.starting.contains_key(&run) {
            drop(reply.send(Err(EngineError::Taken(run))));
            return;
        }
        let (digest, source) = (new.created.digest.clone(), new.source.clone());
        self.starting.insert(run.clone(), (new, reply));
        self.loader().prepare(self.claim(run), digest, source);
    }

    fn claimed(&mut self, run: &RunId, claimed: Result<Token, EngineError>) {
        let Some((new, reply)) = self.starting.remove(run) else { return };
        let token = match claimed {
            Ok(token) => token,
            Err(error) => return drop(reply.send(Err(error))),
        };
        let (created, first) = Run::create(new.workflow, new.created, self.clock.now());
        let mut lane = Lane::new(created.on(self.parts.durability).gated(), token, 0, None);
        lane.first = Some((first, reply));
        lane.ticket = Ticket::of(&lane.course.run, true);
        self.gate.enter(run, &mut lane);
        if lane.may_be_refused() {
            self.gate.hurry();
        }
        self.lanes.insert(run.clone(), lane);
        self.admit();
        self.introduce(run);
        if self.shutdown_asked() {
            self.act(run, RunEvent::Park, None);
        }
    }

    fn wish(&mut self, run: RunId, wish: Wish, reply: Reply<()>) {
        if !self.shutdown.is_empty() {
            drop(reply.send(Err(EngineError::Stopped("it is being shut down".to_owned()))));
        } else if self.lanes.contains_key(&run) {
            self.fulfil(&run, wish, reply);
        } else if let Some(wishes) = self.loading.get_mut(&run) {
            wishes.push((wish, reply));
        } else {
            self.loading.insert(run.clone(), vec![(wish, reply)]);
            self.loader().load(self.claim(run));
        }
    }

    fn fulfil(&mut self, run: &RunId, wish: Wish, reply: Reply<()>) {
        let paused = self.lanes.get(run).is_some_and(|lane| lane.course.run.state().pause.is_some());
        match wish {
            Wish::Event(event) => self.act(run, event, Some(reply)),
            Wish::Resume if paused => self.act(run, RunEvent::Resume, Some(reply)),
            Wish::Resume => {
                self.gate.hear(run);
                self.act(run, RunEvent::Tick, Some(reply));
            }
            Wish::TakeUp => self.act(run, RunEvent::Tick, Some(reply)),
        }
    }

    fn loaded(&mut self, run: &RunId, loaded: Result<Loaded, EngineError>) {
        let wishes = self.loading.remove(run).unwrap_or_default();
        match loaded.and_then(|loaded| self.adopt(run, loaded)) {
            Ok(()) => {
                let wanted = wishes.iter().any(|(wish, _)| *wish == Wish::Resume);
                self.take_up(run, wanted);
                wishes.into_iter().for_each(|(wish, reply)| match self.lanes.contains_key(run) {
                    true => self.fulfil(run, wish, reply),
                    false => drop(reply.send(Err(not_live(run)))),
                });
                self.settle(run);
                if !self.shutdown.is_empty() {
                    self.act(run, RunEvent::Park, None);
                }
            }
            Err(error) => {
                // The first hears the error itself, the others its words.
                let why = chain(&error);
                let mut replies = wishes.into_iter().map(|(_, reply)| reply);
                if let Some(reply) = replies.next() {
                    drop(reply.send(Err(error)));
                }
                for reply in replies {
                    drop(reply.send(Err(EngineError::Unreadable { run: run.clone(), why: why.clone() })));
                }
            }
        }
    }

    fn adopt(&mut self, run: &RunId, loaded: Loaded) -> Result<(), EngineError> {
        let unreadable = |why: String| EngineError::Unreadable { run: run.clone(), why };
        let digest = loaded.stored.created().digest.clone();
        let source = loaded.stored.source.as_ref().ok_or_else(|| unreadable("its workflow is lost".to_owned()))?;
        let workflow = self.compile(&digest, source).map_err(|failure| unreadable(failure.to_string()))?;
        let records = &loaded.stored.records;
        let adopted = Run::recover(workflow, records).map_err(|error| unreadable(error.to_string()))?;
        if records.last().is_some_and(|last| last.at > self.clock.now()) {
            tracing::warn!(%run, "the clock lies before the last record of the run: its timers are moved");
        }
        let run_again = adopted.on(self.parts.durability).gated();
        let mut lane = Lane::new(run_again, loaded.token, records.len() as u64, loaded.checkpoint);
        lane.ticket = Ticket::of(&lane.course.run, false);
        self.gate.enter(run, &mut lane);
        self.lanes.insert(run.clone(), lane);
        Ok(())
    }

    fn compile(&mut self, digest: &str, source: &[u8]) -> Result<Arc<Workflow>, Failure> {
        if let Some(known) = self.workflows.get(digest).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let workflow = (self.parts.compile)(source)?;
        let workflow = Arc::new(workflow);
        self.workflows.retain(|_, known| known.strong_count() > 0);
        self.workflows.insert(digest.to_owned(), Arc::downgrade(&workflow));
        Ok(workflow)
    }

    /// Does all that is due.
    fn time(&mut self) {
        let now = self.clock.now();
        counts::timers(self.due.len());
        while let Some((at, ..)) = self.due.first()
            && *at <= now
        {
            let Some((at, run, due)) = self.due.pop_first() else { return };
            counts::timer_fired(now.since(at));
            match due {
                Due::Tick => {
                    if let Some(lane) = self.lanes.get_mut(&run) {
                        lane.wake_at = None;
                    }
                    self.act(&run, RunEvent::Tick, None);
                }
                Due::Grace(ticket) => {
                    let late = self.lanes.get(&run).and_then(|lane| lane.job.as_ref()).map(|job| (job.ticket, &job.id));
                    if let Some((_, id)) = late.filter(|(current, _)| *current == ticket) {
                        tracing::warn!(%run, effect = %id, "a job did not stop in time: it is dropped");
                        self.ended(&run, ticket, Finish::Dropped);
                    }
                }
            }
        }
    }

    pub(super) fn shutdown_asked(&self) -> bool {
        !self.shutdown.is_empty()
    }

    pub(super) fn moment(&self) -> Moment {
        Moment { now: self.clock.now(), random: rand::random() }
    }

    fn claim(&self, run: RunId) -> Claim {
        Claim { run, owner: self.parts.owner.clone(), ttl: CLAIM, now: self.clock.now() }
    }

    fn loader(&self) -> Loader {
        Loader {
            journal: self.parts.journal.clone(),
            writer: self.writer.clone(),
            signals: self.signals.clone(),
            jobs: self.parts.jobs.clone(),
        }
    }
}

/// Whether a run needs a person or nothing at all: who waits for it need not wait longer.
pub(super) fn is_at_rest(status: RunStatus) -> bool {
    status.is_final() || status == RunStatus::Paused
}
