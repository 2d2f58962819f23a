//! Runs that may be why the process died: after a start each of them waits until it is its turn.

use super::actor::Actor;
use super::gate::Gate;
use super::lane::Lane;
use packhorse_core::run::{RunEvent, RunId, WallTime};

impl Actor {
    /// A run was read from the journal. `wanted`: by a person, who is asked for no patience.
    pub(super) fn take_up(&mut self, run: &RunId, wanted: bool) {
        let Some(lane) = self.lanes.get(run) else { return };
        // Most runs wait for something: their checkpoints need not be looked at.
        let at_work = lane.course.run.state().live_attempt().is_some();
        let done = if at_work { lane.course.done() } else { 0 };
        self.act(run, RunEvent::Recovered { done, wanted }, None);
        let suspect = |lane: &Lane| !wanted && lane.course.run.state().is_suspect();
        if self.lanes.get(run).is_some_and(suspect) {
            self.gate.trials.suspect(run.clone());
        }
    }

    /// Admission lets it begin: it does, unless it is a suspect and another one's turn.
    pub(super) fn begin_in_turn(&mut self, run: &RunId) {
        let admitted = self.gate.trials.admits(run, self.clock.now());
        if let Some(lane) = self.lanes.get_mut(run) {
            lane.ticket.after = self.gate.trials.whose().filter(|_| !admitted).cloned();
        }
        if admitted {
            self.act(run, RunEvent::Begin, None);
        }
    }
}

impl Gate {
    /// It is no suspect any more.
    pub(super) fn clear(&mut self, run: &RunId) {
        for next in self.trials.clear(run) {
            self.mark(&next);
        }
    }

    /// The same by a person's wish.
    pub(super) fn hear(&mut self, run: &RunId) {
        if self.trials.suspects(run) {
            self.clear(run);
            self.mark(run);
        }
    }

    /// A transfer tells where it is: whoever gets further is no suspect.
    pub(super) fn look(&mut self, lane: &Lane) {
        let state = lane.course.run.state();
        if self.trials.suspects(&state.created.run) && state.gets_further(lane.course.done()) {
            self.clear(&state.created.run);
        }
    }

    /// The turn of one who neither got further nor killed the process may be over.
    pub(super) fn end_turn(&mut self, now: WallTime) {
        for next in self.trials.expire(now) {
            self.mark(&next);
        }
    }
}
