//! How often each fault struck, and what was done: a run in which one never did proves nothing about it.

use std::fmt;

macro_rules! kinds {
    ($($name:ident = $words:literal,)*) => {
        /// What can strike.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Struck { $($name,)* }
        const ALL: &[(Struck, &str)] = &[$((Struck::$name, $words),)*];
    };
}

kinds! {
    Loss = "A1 lost",
    BurstLoss = "A1 lost in a burst",
    Duplicate = "A2 repeated",
    Reorder = "A3 overtaken",
    Flip = "A4 bit flipped",
    Truncated = "A4 truncated",
    Extended = "A4 extended",
    Emptied = "A4 emptied",
    Oversize = "A4 256 KiB of noise",
    Replayed = "A5 replay of an old frame",
    Foreign = "A5 frame of another device",
    StaleFrame = "A5 frame of an older session at a device",
    DeviceRestart = "A6 device restarted",
    DeviceForgot = "A6 device restarted with less",
    DeviceFuture = "A6 device claims what it never got",
    Lie = "A7 lie told",
    SlowDrip = "A9 device drips",
    SameDevice = "A10 runs at one device at once",
    Crossing = "A10 push and pull crossing",
    Offline = "A12 device offline",
    LongOffline = "A12 offline for days",
    RunnerCrash = "B1 runner crashed",
    TornCommit = "B1 commit lost in the crash",
    UnknownCommit = "B1 commit made, nobody told",
    Frozen = "B4 runner stopped and woke",
    Takeover = "B4 run taken over",
    Fenced = "B4 stale writer refused",
    WallJump = "B5 wall clock jumped",
    WallFrozen = "B5 wall clock stood still",
    StoreFails = "C1 store failed, result unknown",
    StoreSlow = "C1 slow commit",
    LostWrites = "C2 failover lost writes",
    LostProgress = "C3 checkpoint lost",
    RecordFlip = "C6 record flipped and found",
    BlobFails = "D1 file store refused",
    Orphan = "D2 died after the write",
    PartialAppend = "D3 partial append",
    BlobFull = "D4 file store full",
    ShortRead = "D4 short read",
    NotYet = "D4 not there yet, then there",
    WrongRead = "D4 wrong bytes read back",
    BrokerRestart = "E1 broker restarted",
    SessionLost = "E1 broker lost the session",
    Retained = "E5 retained junk",
    Expired = "E  message expired at the broker",
    BusDrop = "E  runner's connection broke",
    DevicePause = "   device asked for silence",
    Cancelled = "   run cancelled",
    Paused = "   run paused and resumed",
    Parked = "   runner parked and restarted",
    Codec = "   codec rejected a message",
}

/// Counters of one world or of many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Counts {
    struck: Vec<u64>,
    pub(crate) packets: u64,
    pub(crate) worlds: u64,
    pub(crate) runs: u64,
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    pub(crate) cancelled: u64,
    pub(crate) timed_out: u64,
    pub(crate) quarantined: u64,
    pub(crate) transfers: u64,
    pub(crate) bytes: u64,
    pub(crate) facts: u64,
    pub(crate) checkpoints: u64,
    pub(crate) effects: u64,
    pub(crate) sessions: u64,
    pub(crate) folds: u64,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            struck: vec![0; ALL.len()],
            packets: 0,
            worlds: 0,
            runs: 0,
            succeeded: 0,
            failed: 0,
            cancelled: 0,
            timed_out: 0,
            quarantined: 0,
            transfers: 0,
            bytes: 0,
            facts: 0,
            checkpoints: 0,
            effects: 0,
            sessions: 0,
            folds: 0,
        }
    }
}

impl Counts {
    pub(crate) fn add(&mut self, what: Struck) {
        self.struck[what as usize] += 1;
    }

    pub(crate) fn of(&self, what: Struck) -> u64 {
        self.struck[what as usize]
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.struck.iter_mut().zip(&other.struck).for_each(|(sum, more)| *sum += more);
        let mine = self.operations_mut();
        for (sum, (_, more)) in mine.into_iter().zip(other.operations()) {
            *sum += more;
        }
    }

    /// The faults that never struck, and the operations that never happened.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        let struck = ALL.iter().filter(|(what, _)| self.of(*what) == 0).map(|(_, name)| name.trim());
        struck.chain(self.operations().into_iter().filter(|(_, count)| *count == 0).map(|(name, _)| name)).collect()
    }

    fn operations(&self) -> [(&'static str, u64); 15] {
        [
            ("packets", self.packets),
            ("worlds", self.worlds),
            ("runs", self.runs),
            ("  succeeded", self.succeeded),
            ("  failed, as they must", self.failed),
            ("  cancelled", self.cancelled),
            ("  timed out", self.timed_out),
            ("  with a damaged record", self.quarantined),
            ("transfers that ended good", self.transfers),
            ("bytes compared at the sink", self.bytes),
            ("facts durable", self.facts),
            ("checkpoints durable", self.checkpoints),
            ("effects performed", self.effects),
            ("codec sessions", self.sessions),
            ("journals folded again", self.folds),
        ]
    }

    fn operations_mut(&mut self) -> [&mut u64; 15] {
        [
            &mut self.packets,
            &mut self.worlds,
            &mut self.runs,
            &mut self.succeeded,
            &mut self.failed,
            &mut self.cancelled,
            &mut self.timed_out,
            &mut self.quarantined,
            &mut self.transfers,
            &mut self.bytes,
            &mut self.facts,
            &mut self.checkpoints,
            &mut self.effects,
            &mut self.sessions,
            &mut self.folds,
        ]
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, count) in self.operations() {
            writeln!(f, "{name:<44}{count:>14}")?;
        }
        for (what, name) in ALL {
            writeln!(f, "{name:<44}{:>14}", self.of(*what))?;
        }
        Ok(())
    }
}
