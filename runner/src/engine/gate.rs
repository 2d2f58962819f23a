//! Admission in the engine: which runs are to be judged together, what holds mean them, and carrying verdicts out.
//!
//! Whatever may change a verdict marks its run; at the end of each turn the marked runs, and all that share a device or a group with them,
//! are judged at once. While runs are being taken up after a start nothing is judged: a seat may belong to one that comes later.

use super::actor::Actor;
use super::command::Reply;
use super::handle::EngineError;
use super::lane::Lane;
use packhorse_core::admission::{Candidate, Hold, Selector, Standing, Trials, Verdict, judge};
use packhorse_core::run::{Bar, Decision, Fact, Reason, RunEvent, RunId, RunState, Stage, WallTime};
use packhorse_core::transfer::WaitReason;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

/// Times that verdicts are carried out in one turn: each may free a seat for another run.
const ROUNDS: usize = 8;
/// Judging rests for so many times as long as it took, so that thousands of runs in one group leave the thread to others.
const REST: u32 = 4;
/// Judging that took less than this needs no rest.
const SHORT: Duration = Duration::from_millis(2);

/// What the engine knows for admission.
#[derive(Default)]
pub(super) struct Gate {
    holds: Vec<(Hold, Option<Selector>)>,
    /// Who shares what: devices and groups by name, with their runs.
    places: HashMap<Place, BTreeSet<RunId>>,
    marked: BTreeSet<RunId>,
    /// Runs are being taken up.
    pub(super) waits: bool,
    pub(super) trials: Trials,
    rest: Option<Instant>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Place {
    Device(String),
    Group(String),
}

/// What admission needs of a run and what never changes, beside the hold that means it.
#[derive(Debug, Default)]
pub(super) struct Ticket {
    image: Option<String>,
    held: Option<String>,
    /// Asks for the first time.
    new: bool,
    /// The suspect whose turn it is, where this is another one.
    pub(super) after: Option<RunId>,
}

impl Ticket {
    pub(super) fn of(run: &packhorse_core::run::Run, new: bool) -> Self {
        let pushes = run.workflow().pushes();
        let image = pushes.then(|| image(run.state())).filter(|image| !image.is_empty());
        Self { image, held: None, new, after: None }
    }
}

/// The digests of all files that a run was given.
fn image(run: &RunState) -> String {
    let digests = run.created.inputs.values().filter_map(|value| value.get("sha256").and_then(Value::as_str));
    digests.collect::<Vec<_>>().join("+")
}

impl Gate {
    /// When judging is due at the latest.
    pub(super) fn due_in(&self) -> Option<Duration> {
        let due = !self.marked.is_empty() && !self.waits;
        due.then(|| self.rest.map_or(Duration::ZERO, |rest| rest.saturating_duration_since(Instant::now())))
    }

    pub(super) fn mark(&mut self, run: &RunId) {
        self.marked.insert(run.clone());
    }

    fn hold_of(&self, lane: &Lane) -> Option<String> {
        let created = &lane.course.run.state().created;
        let means = |(hold, selector): &&(Hold, Option<Selector>)| match selector.as_ref()?.means(created) {
            Ok(true) => Some(()),
            Ok(false) => None,
            Err(failure) => {
                tracing::warn!(run = %created.run, hold = hold.id, %failure, "the hold does not mean the run");
                None
            }
        };
        let found = self.holds.iter().find(|hold| means(hold).is_some())?;
        Some(found.0.id.clone())
    }

    /// What is cleaning up waits too.
    fn is_still(&self) -> bool {
        self.holds.iter().any(|(hold, _)| hold.still)
    }

    /// Nothing rests: whoever may be refused must hear of it now.
    pub(super) fn hurry(&mut self) {
        self.rest = None;
    }

    /// A run that the engine works on from now on.
    pub(super) fn enter(&mut self, run: &RunId, lane: &mut Lane) {
        lane.ticket.held = self.hold_of(lane);
        for place in places(lane.course.run.state()) {
            self.places.entry(place).or_default().insert(run.clone());
        }
        self.mark(run);
    }

    /// One that it lets go of; whoever waited for it is judged.
    pub(super) fn leave(&mut self, run: &RunId, lane: &Lane) {
        self.clear(run);
        self.marked.remove(run);
        for place in places(lane.course.run.state()) {
            let Some(runs) = self.places.get_mut(&place) else { continue };
            runs.remove(run);
            match runs.first().cloned() {
                Some(other) => self.mark(&other),
                None => drop(self.places.remove(&place)),
            }
        }
    }

    /// Takes all marked runs, and whoever shares a place with one of them, and so on.
    fn together(&mut self, lanes: &HashMap<RunId, Lane>) -> Vec<RunId> {
        let mut found: BTreeSet<RunId> = BTreeSet::new();
        let mut seen: std::collections::HashSet<Place> = std::collections::HashSet::new();
        let mut open: Vec<RunId> = std::mem::take(&mut self.marked).into_iter().collect();
        while let Some(run) = open.pop() {
            let Some(lane) = lanes.get(&run) else { continue };
            if !found.insert(run) {
                continue;
            }
            for place in places(lane.course.run.state()) {
                if !seen.contains(&place) {
                    open.extend(self.places.get(&place).into_iter().flatten().cloned());
                    seen.insert(place);
                }
            }
        }
        found.into_iter().collect()
    }
}

fn places(run: &RunState) -> impl Iterator<Item = Place> {
    let device = run.created.device.get("id").and_then(Value::as_str).map(str::to_owned);
    let group = run.created.terms.group.as_ref().map(|group| group.name.clone());
    device.map(Place::Device).into_iter().chain(group.map(Place::Group))
}

/// Whether a fact may change a verdict.
pub(super) fn matters(fact: &Fact, barred: bool) -> bool {
    match fact {
        Fact::Paused { .. }
        | Fact::Resumed { .. }
        | Fact::Retried { .. }
        | Fact::Recovered { .. }
        | Fact::Withheld { .. }
        | Fact::Admitted
        | Fact::Superseded { .. }
        | Fact::CancelAsked { .. }
        | Fact::LimitReached
        | Fact::MainEnded { .. }
        | Fact::WaitSet { .. }
        | Fact::Reachable { .. }
        | Fact::AttemptParked { .. } => true,
        Fact::AttemptEnded { .. } => barred,
        _ => false,
    }
}

impl Actor {
    /// Judges what is marked, until nothing more follows or it is time for others.
    pub(super) fn admit(&mut self) {
        self.gate.end_turn(self.clock.now());
        for _ in 0..ROUNDS {
            if !self.shutdown_asked() && self.gate.due_in() == Some(Duration::ZERO) {
                let begun = Instant::now();
                self.judge_marked();
                let took = begun.elapsed();
                self.gate.rest = (took > SHORT).then(|| Instant::now() + took * REST);
            }
        }
    }

    fn judge_marked(&mut self) {
        let runs = self.gate.together(&self.lanes);
        let now = self.clock.now();
        let candidates: Vec<Candidate> =
            runs.iter().filter_map(|run| self.lanes.get(run)).map(|lane| candidate(lane, now)).collect();
        for (run, verdict) in runs.into_iter().zip(judge(&candidates, now)) {
            self.carry_verdict_out(&run, verdict);
        }
    }

    fn carry_verdict_out(&mut self, run: &RunId, verdict: Verdict) {
        let Some(lane) = self.lanes.get_mut(run) else { return };
        let (new, state) = (std::mem::take(&mut lane.ticket.new), lane.course.run.state());
        match verdict {
            Verdict::Begin => {
                let waits = state.stage == Stage::Queued || state.bar.is_some() || lane.course.run.asks();
                if waits || (state.stage == Stage::Main && !state.seated) {
                    self.begin_in_turn(run);
                }
            }
            Verdict::Wait { why, behind } => {
                if state.bar != Some(why) || lane.course.run.behind() != behind.as_deref() {
                    self.act(run, RunEvent::Withhold { why, behind }, None);
                }
            }
            Verdict::Supersede(by) => {
                self.act(run, RunEvent::Supersede { by }, None);
            }
            Verdict::Replace(by) => {
                let reason = Some(format!("replaced by {by} in its concurrency group"));
                self.act(run, RunEvent::Cancel { reason }, None);
            }
            Verdict::Reject(by) => self.reject(run, &by),
            // What a person paused, or what ends anyway, is asked about when it goes on.
            Verdict::Leave => {
                if lane.course.run.asks() && state.pause.is_none() && !self.gate.is_still() {
                    self.begin_in_turn(run);
                }
                if let Some(lane) = self.lanes.get_mut(run) {
                    lane.ticket.new = new && lane.first.is_some();
                }
            }
        }
        self.introduce(run);
    }

    /// A run that was not accepted leaves nothing behind.
    fn reject(&mut self, run: &RunId, by: &RunId) {
        let Some(lane) = self.lanes.remove(run) else { return };
        self.gate.leave(run, &lane);
        let group = lane.course.run.state().created.terms.group.as_ref().map_or("", |group| &group.name).to_owned();
        let error = || EngineError::GroupFull { group: group.clone(), by: by.clone() };
        match lane.first {
            Some((_, reply)) => drop(reply.send(Err(error()))),
            None => tracing::error!(%run, error = %error(), "a bug: a run that was accepted is refused"),
        }
    }

    /// The first fact of a new run, where nothing that was decided has taken it along.
    pub(super) fn introduce(&mut self, run: &RunId) {
        let Some(lane) = self.lanes.get_mut(run) else { return };
        if lane.first.is_some() {
            // From here on it is accepted.
            lane.ticket.new = false;
            self.carry_out(run, Decision::default(), None);
        }
    }

    /// These holds count from now on.
    pub(super) fn hold(&mut self, holds: Vec<Hold>, reply: Reply<()>) {
        let read = |hold: Hold| match Selector::parse(&hold.selector) {
            Ok(selector) => (hold, Some(selector)),
            Err(failure) => {
                tracing::error!(hold = hold.id, %failure, "a hold means nothing");
                (hold, None)
            }
        };
        self.gate.holds = holds.into_iter().map(read).collect();
        for (run, lane) in &mut self.lanes {
            let held = self.gate.hold_of(lane);
            if held != lane.ticket.held {
                lane.ticket.held = held;
                self.gate.mark(run);
            }
        }
        drop(reply.send(Ok(())));
    }
}

fn candidate(lane: &Lane, now: WallTime) -> Candidate {
    let run = &lane.course.run;
    let state = run.state();
    let (_, reason) = state.standing();
    let queued = state.stage == Stage::Queued;
    let unreachable = reason == Some(Reason::DeviceOffline);
    let in_line = lane.waits_as() == Some(WaitReason::DeviceBusy);
    Candidate {
        run: state.created.run.clone(),
        created_at: state.created_at,
        since: if queued { state.created_at } else { state.since.min(now) },
        device: state.created.device.get("id").and_then(Value::as_str).map(str::to_owned),
        terms: state.created.terms.clone(),
        image: lane.ticket.image.clone(),
        held: lane.ticket.held.clone(),
        paused: state.pause.is_some(),
        live: state.live_attempt().is_some(),
        parked: !run.transfers() && (rests(state) || queued) || unreachable || in_line,
        standing: standing(state, lane.ticket.new),
    }
}

/// Whether nothing of it goes on by itself right now.
fn rests(state: &RunState) -> bool {
    state.live_attempt().is_none() && (state.pause.is_some() || state.bar.is_some() || !state.seated)
}

fn standing(state: &RunState, new: bool) -> Standing {
    let over = !matches!(state.stage, Stage::Queued | Stage::Main);
    match state.stage {
        _ if over || state.cancel.is_some() || state.limit_reached => Standing::Leaving,
        _ if new => Standing::New,
        _ if state.seated => Standing::Seated,
        _ => Standing::Waiting { overtaken: state.bar == Some(Bar::Overtaken) },
    }
}
