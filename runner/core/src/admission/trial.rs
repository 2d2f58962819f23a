//! Runs that may be why the process died twice: taken up one after another, so that one more death tells which of them it was.
//!
//! Whoever was at work when the process died is a suspect, the innocent too. Alone each soon gets further, and is none any more.

use crate::run::{RunId, WallTime};
use std::collections::BTreeSet;
use std::time::Duration;

/// A suspect that neither gets further nor kills the process has its turn for so long.
const TURN: Duration = Duration::from_secs(10);
/// After so long all that are left go on together: thousands that wait for somebody must not keep each other for hours.
const ALL: Duration = Duration::from_secs(300);

/// Who is suspected, and whose turn it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trials {
    suspects: BTreeSet<RunId>,
    turn: Option<(RunId, WallTime)>,
    /// When no more turns are given; known from the first one on.
    end: Option<WallTime>,
}

impl Trials {
    /// Suspects a run that is about to be taken up.
    pub fn suspect(&mut self, run: RunId) {
        self.suspects.insert(run);
    }

    /// Whether it is suspected.
    pub fn suspects(&self, run: &RunId) -> bool {
        self.suspects.contains(run)
    }

    /// Whether nothing of trials keeps it from beginning now; a suspect takes the turn with it.
    pub fn admits(&mut self, run: &RunId, now: WallTime) -> bool {
        if !self.suspects(run) {
            return true;
        }
        let end = *self.end.get_or_insert_with(|| now.after(ALL));
        if end <= now {
            self.suspects.remove(run);
            return true;
        }
        let turn = self.turn.get_or_insert_with(|| (run.clone(), now.after(TURN).min(end)));
        turn.0 == *run
    }

    /// Whose turn it is.
    pub fn whose(&self) -> Option<&RunId> {
        self.turn.as_ref().map(|(run, _)| run)
    }

    /// It has got further, is over, or a person wants it to go on. Gives those who are to be asked about now.
    pub fn clear(&mut self, run: &RunId) -> Vec<RunId> {
        self.suspects.remove(run);
        if self.whose() != Some(run) {
            return Vec::new();
        }
        self.turn = None;
        self.suspects.iter().cloned().collect()
    }

    /// When a turn is over at the latest.
    pub fn due(&self) -> Option<WallTime> {
        self.turn.as_ref().map(|(_, until)| *until)
    }

    /// Time has passed. Gives those who are to be asked about now.
    pub fn expire(&mut self, now: WallTime) -> Vec<RunId> {
        match self.turn.clone() {
            Some((run, until)) if until <= now => self.clear(&run),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(number: u8) -> RunId {
        format!("run_01J9ZK3M5N7P9Q1R3S5T7V9W0{number}").parse().expect("an id")
    }

    fn suspecting(count: u8) -> Trials {
        let mut trials = Trials::default();
        (0..count).for_each(|number| trials.suspect(run(number)));
        trials
    }

    #[test]
    fn one_after_another_and_who_is_no_suspect_at_once() {
        let (mut trials, now) = (suspecting(3), WallTime(5));
        assert!(trials.admits(&run(7), now));
        assert_eq!(trials.whose(), None, "who is no suspect takes no turn");
        assert!(trials.admits(&run(1), now) && trials.admits(&run(1), now));
        assert!(!trials.admits(&run(0), now) && !trials.admits(&run(2), now));
        assert_eq!(trials.clear(&run(0)), [], "it was not its turn");
        assert_eq!(trials.clear(&run(1)), [run(2)]);
        assert!(trials.admits(&run(0), now), "cleared");
        assert!(trials.admits(&run(2), now));
        assert_eq!(trials.clear(&run(2)), []);
        assert_eq!((trials.whose(), trials.due()), (None, None));
    }

    #[test]
    fn a_turn_ends_by_time() {
        let mut trials = suspecting(2);
        assert!(trials.admits(&run(0), WallTime(0)));
        let due = trials.due().expect("it is somebody's turn");
        assert_eq!(trials.expire(WallTime(due.0 - 1)), []);
        assert_eq!(trials.expire(due), [run(1)]);
        assert!(!trials.suspects(&run(0)) && trials.admits(&run(1), due));
    }

    #[test]
    fn at_the_end_all_go_on() {
        let mut trials = suspecting(9);
        let mut now = WallTime(0);
        assert!(trials.admits(&run(0), now));
        now = now.after(ALL);
        assert!(!trials.expire(now).is_empty());
        assert!((1..9).all(|number| trials.admits(&run(number), now)));
        assert_eq!(trials.whose(), None);
    }
}
