//! The decision: for each of these runs whether it begins, waits, stands back or ends. A pure function of what is known of all of them.
//!
//! A run that has begun has a seat in its group until it is over. A critical run has its device for itself: what else is begun there
//! stands back at the next packet and gives up its seat, which is kept for it against all but the run that it stood back for.

use super::terms::{OnConflict, Priority, Terms};
use crate::run::{Bar, RunId, WallTime};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// After so long in the queue a run counts as one level more urgent.
const AGEING: Duration = Duration::from_secs(3_600);

/// The level of a run, or of a transfer in the line of its device, that has waited: each hour makes it one more urgent, so that nobody
/// waits for ever.
pub fn aged(level: u8, waited: Duration) -> u8 {
    let hours = u8::try_from(waited.as_secs() / AGEING.as_secs()).unwrap_or(u8::MAX);
    level.saturating_sub(hours).max(1)
}

/// What is known of one unfinished run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its id.
    pub run: RunId,
    /// When it was created.
    pub created_at: WallTime,
    /// Since when it waits, where it does: it ages from then on.
    pub since: WallTime,
    /// Its device, where it has one.
    pub device: Option<String>,
    /// What it asks for.
    pub terms: Terms,
    /// What it pushes, where it pushes anything.
    pub image: Option<String>,
    /// The hold that means it.
    pub held: Option<String>,
    /// A person paused it, or must look at it.
    pub paused: bool,
    /// An effect is under way.
    pub live: bool,
    /// No transfer is under way that would have to be cut.
    pub parked: bool,
    /// How far it is.
    pub standing: Standing,
}

/// How far a run is, in the eyes of admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It asks for the first time and can still be refused.
    New,
    /// It has no seat.
    Waiting {
        /// It had begun and stood back for a critical one.
        overtaken: bool,
    },
    /// It has begun.
    Seated,
    /// It is being cancelled, or cleans up: nothing is decided about it, and it keeps its seat.
    Leaving,
}

/// What is decided about a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It begins, or goes on.
    Begin,
    /// Nothing of it begins, and a transfer under way parks at the next packet.
    Wait {
        /// Why.
        why: Bar,
        /// The run or hold that is in its way.
        behind: Option<String>,
    },
    /// It ends: a newer image for its device and slot has come.
    Supersede(RunId),
    /// It is cancelled for a newer run of its group.
    Replace(RunId),
    /// It is refused: its group is full, of this run and perhaps others.
    Reject(RunId),
    /// As it is: it is paused or ends already.
    Leave,
}

/// Decides about all of `runs`, in their order. What shares a device or a group with one of them must be among them.
pub fn judge(runs: &[Candidate], now: WallTime) -> Vec<Verdict> {
    let mut bench = Bench { runs, now, verdicts: vec![None; runs.len()], ..Bench::default() };
    bench.settled();
    bench.superseded();
    bench.replaced();
    bench.held();
    bench.take_seats();
    bench.call_up();
    bench.stand_back();
    bench.verdicts.into_iter().map(|verdict| verdict.unwrap_or(Verdict::Begin)).collect()
}

#[derive(Default)]
struct Bench<'a> {
    runs: &'a [Candidate],
    now: WallTime,
    verdicts: Vec<Option<Verdict>>,
    /// The critical run that has a device for itself.
    urgent: HashMap<&'a str, usize>,
    /// The critical run that waits for a seat, by device and group.
    wanting: HashMap<(&'a str, &'a str), usize>,
    /// Runs that have a seat in a group, or to which one is due.
    seats: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Bench<'a> {
    fn settled(&mut self) {
        for (at, run) in self.runs.iter().enumerate() {
            if run.standing == Standing::Leaving {
                self.verdicts[at] = Some(Verdict::Leave);
            }
        }
    }

    /// A parked push ends where a later one brings another image for the same slot of the device.
    fn superseded(&mut self) {
        let mut places: HashMap<(&str, &str), Vec<usize>> = HashMap::new();
        for (at, run) in self.runs.iter().enumerate().filter(|(_, run)| run.standing != Standing::Leaving) {
            if let (Some(device), Some(_)) = (&run.device, &run.image) {
                places.entry((device, &run.terms.slot)).or_default().push(at);
            }
        }
        for mut pushes in places.into_values().filter(|pushes| pushes.len() > 1) {
            pushes.sort_by_key(|at| self.runs[*at].age());
            for (place, at) in pushes.iter().enumerate().filter(|(_, at)| self.runs[**at].parked) {
                let image = &self.runs[*at].image;
                let mut later = pushes[place + 1..].iter().rev();
                let newer =
                    later.find(|later| self.runs[**later].image != *image && !self.runs[**later].may_be_refused());
                if let Some(newer) = newer {
                    self.verdicts[*at] = Some(Verdict::Supersede(self.runs[*newer].run.clone()));
                }
            }
        }
    }

    /// The newest run that replaces others, of each level, ends those of its group that are too many up to it.
    fn replaced(&mut self) {
        let mut groups: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, run) in self.open() {
            if let Some(group) = &run.terms.group {
                groups.entry(&group.name).or_default().push(at);
            }
        }
        for mut members in groups.into_values() {
            members.sort_by_key(|at| self.runs[*at].age());
            for priority in Priority::ALL {
                let replaces = |at: &usize| self.runs[*at].replaces() && self.runs[*at].terms.priority == priority;
                let Some(newest) = members.iter().rposition(replaces) else { continue };
                let newcomer = &self.runs[members[newest]];
                let kept = newcomer.terms.group.as_ref().map_or(1, |group| group.limit.max(1)) as usize;
                for at in members[..=newest].iter().rev().skip(kept) {
                    if self.runs[*at].terms.priority >= priority {
                        self.verdicts[*at] = Some(Verdict::Replace(newcomer.run.clone()));
                    }
                }
            }
        }
    }

    fn held(&mut self) {
        for (at, run) in self.runs.iter().enumerate() {
            if self.verdicts[at].is_some() {
                continue;
            }
            if run.paused {
                self.verdicts[at] = Some(Verdict::Leave);
            } else if let Some(hold) = &run.held {
                self.verdicts[at] = Some(Verdict::Wait { why: Bar::Held, behind: Some(hold.clone()) });
            }
        }
    }

    /// Who has a seat, and which critical runs are at work.
    fn take_seats(&mut self) {
        for (at, run) in self.runs.iter().enumerate() {
            let begun = matches!(run.standing, Standing::Seated | Standing::Leaving);
            if let Some(group) = run.terms.group.as_ref().filter(|_| begun || run.stood_back() || run.live) {
                self.seats.entry(&group.name).or_default().push(at);
            }
            let working = run.standing == Standing::Leaving || self.verdicts[at].is_none();
            let Some(device) = run.device.as_deref().filter(|_| run.is_critical() && working) else { continue };
            match &run.terms.group {
                Some(group) if !begun => drop(self.wanting.entry((device, &group.name)).or_insert(at)),
                _ => drop(self.urgent.entry(device).or_insert(at)),
            }
        }
    }

    /// Gives free seats to those that wait, in their order.
    fn call_up(&mut self) {
        let mut waiting: Vec<usize> = self.open().filter(|(_, run)| run.waits()).map(|(at, _)| at).collect();
        waiting.sort_by_cached_key(|at| (self.runs[*at].rank(self.now), self.runs[*at].age()));
        let mut full: HashSet<&str> = HashSet::new();
        for at in waiting {
            let run = &self.runs[at];
            let verdict = match (self.ahead(at), self.in_the_way(at, &full)) {
                (Some(critical), _) => {
                    let why = if run.stood_back() { Bar::Overtaken } else { Bar::BehindPriority };
                    Verdict::Wait { why, behind: Some(self.runs[critical].run.to_string()) }
                }
                (None, Some(holder)) => {
                    full.extend(run.terms.group.iter().map(|group| group.name.as_str()));
                    let holder = self.runs[holder].run.clone();
                    match run.may_be_refused() {
                        true => Verdict::Reject(holder),
                        false => Verdict::Wait { why: Bar::ConcurrencyLimit, behind: Some(holder.to_string()) },
                    }
                }
                (None, None) => self.begin(at),
            };
            self.verdicts[at] = Some(verdict);
        }
    }

    fn begin(&mut self, at: usize) -> Verdict {
        let run = &self.runs[at];
        if let Some(group) = &run.terms.group {
            let seats = self.seats.entry(&group.name).or_default();
            if !seats.contains(&at) {
                seats.push(at);
            }
        }
        if let Some(device) = run.device.as_deref().filter(|_| run.is_critical()) {
            self.urgent.entry(device).or_insert(at);
        }
        Verdict::Begin
    }

    /// The critical run that a lower one on its device must let pass: one at work, or one that waits for a seat in the same group.
    fn ahead(&self, at: usize) -> Option<usize> {
        let run = &self.runs[at];
        let device = run.device.as_deref().filter(|_| !run.is_critical())?;
        let at_work = self.urgent.get(device).copied();
        at_work.or_else(|| {
            let group = run.terms.group.as_ref()?;
            let next = self.wanting.get(&(device, group.name.as_str())).copied()?;
            let out = matches!(self.verdicts[next], Some(Verdict::Reject(_)));
            (!out).then_some(next)
        })
    }

    /// Somebody whose seat this run would need; the oldest of them.
    fn in_the_way(&self, at: usize, full: &HashSet<&str>) -> Option<usize> {
        let run = &self.runs[at];
        let group = run.terms.group.as_ref()?;
        let seats = self.seats.get(group.name.as_str()).map(Vec::as_slice).unwrap_or_default();
        let counts = |seat: &usize| {
            let other = &self.runs[*seat];
            let passes = run.is_critical() && other.device.is_some() && other.device == run.device;
            *seat != at && (self.sits(*seat) || !(passes || run.stood_back()))
        };
        let others: Vec<usize> = seats.iter().copied().filter(counts).collect();
        let turned_away = full.contains(group.name.as_str()) && !run.is_critical() && !run.stood_back();
        let taken = others.len() >= group.limit.max(1) as usize;
        others.into_iter().min_by_key(|seat| self.runs[*seat].age()).filter(|_| taken || turned_away)
    }

    /// Whether it has a seat and not only a right to one.
    fn sits(&self, at: usize) -> bool {
        let run = &self.runs[at];
        !run.waits() || run.live || self.verdicts[at] == Some(Verdict::Begin)
    }

    /// What has begun on a device goes aside for a critical run there.
    fn stand_back(&mut self) {
        for at in 0..self.runs.len() {
            if self.verdicts[at].is_some() || self.runs[at].standing != Standing::Seated {
                continue;
            }
            if let Some(critical) = self.ahead(at) {
                let behind = Some(self.runs[critical].run.to_string());
                self.verdicts[at] = Some(Verdict::Wait { why: Bar::Overtaken, behind });
            }
        }
    }

    fn open(&self) -> impl Iterator<Item = (usize, &'a Candidate)> + use<'a, '_> {
        self.runs.iter().enumerate().filter(|(at, _)| self.verdicts[*at].is_none())
    }
}

impl Candidate {
    /// The order of creation.
    fn age(&self) -> (WallTime, &RunId) {
        (self.created_at, &self.run)
    }

    /// Its level, less one for each hour waited.
    fn rank(&self, now: WallTime) -> u8 {
        aged(self.terms.priority.level(), now.since(self.since))
    }

    fn is_critical(&self) -> bool {
        self.terms.priority == Priority::Critical
    }

    fn waits(&self) -> bool {
        matches!(self.standing, Standing::New | Standing::Waiting { .. })
    }

    fn stood_back(&self) -> bool {
        self.standing == (Standing::Waiting { overtaken: true })
    }

    fn conflict(&self) -> Option<OnConflict> {
        self.terms.group.as_ref().map(|group| group.on_conflict)
    }

    fn may_be_refused(&self) -> bool {
        self.standing == Standing::New && self.conflict() == Some(OnConflict::Reject)
    }

    fn replaces(&self) -> bool {
        let able = self.waits() && !self.paused && self.held.is_none();
        able && self.conflict() == Some(OnConflict::Replace)
    }
}
