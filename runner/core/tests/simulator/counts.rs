//! How often each fault struck: a run in which one never did proves nothing about it.

use std::fmt;

/// What can strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Struck {
    Loss,
    BurstLoss,
    Duplicate,
    Reorder,
    Malformed,
    BadSum,
    NotMine,
    StaleEpoch,
    DeviceRestart,
    DeviceForgot,
    PlatformRestart,
    OldCheckpoint,
    Disconnect,
    Offline,
    Pause,
    Timeout,
    DeviceTimeout,
    SlowDisk,
    RateLimit,
    NoWords,
    EmptyFile,
    ExactMultiple,
    Lie,
}

const ALL: [(Struck, &str); 23] = [
    (Struck::Loss, "loss"),
    (Struck::BurstLoss, "loss in bursts"),
    (Struck::Duplicate, "duplicate"),
    (Struck::Reorder, "reorder"),
    (Struck::Malformed, "corrupt, malformed"),
    (Struck::BadSum, "corrupt, bad sum"),
    (Struck::NotMine, "not mine"),
    (Struck::StaleEpoch, "stale epoch"),
    (Struck::DeviceRestart, "device restart"),
    (Struck::DeviceForgot, "device forgot"),
    (Struck::PlatformRestart, "platform restart"),
    (Struck::OldCheckpoint, "old checkpoint"),
    (Struck::Disconnect, "broker disconnect"),
    (Struck::Offline, "device offline"),
    (Struck::Pause, "device pause"),
    (Struck::Timeout, "platform time-out"),
    (Struck::DeviceTimeout, "device time-out"),
    (Struck::SlowDisk, "slow disk"),
    (Struck::RateLimit, "rate limit"),
    (Struck::NoWords, "command without words"),
    (Struck::EmptyFile, "empty file"),
    (Struck::ExactMultiple, "exact multiple"),
    (Struck::Lie, "lie"),
];

/// Counters of one world or of many.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    struck: [u64; ALL.len()],
    pub(crate) packets: u64,
    pub(crate) worlds: u64,
    pub(crate) good: u64,
    pub(crate) failed: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, what: Struck) {
        self.struck[what as usize] += 1;
    }

    pub(crate) fn of(&self, what: Struck) -> u64 {
        self.struck[what as usize]
    }

    /// Processes that died, on either side.
    pub(crate) fn of_restarts(&self) -> u64 {
        self.of(Struck::DeviceRestart) + self.of(Struck::PlatformRestart)
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (sum, more) in self.struck.iter_mut().zip(other.struck) {
            *sum += more;
        }
        self.packets += other.packets;
        self.worlds += other.worlds;
        self.good += other.good;
        self.failed += other.failed;
    }

    /// The faults that never struck.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        ALL.iter().filter(|(what, _)| self.struck[*what as usize] == 0).map(|(_, name)| *name).collect()
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<24}{:>12}", "packets", self.packets)?;
        writeln!(f, "{:<24}{:>12}", "transfers", self.worlds)?;
        writeln!(f, "{:<24}{:>12}", "  ended good", self.good)?;
        writeln!(f, "{:<24}{:>12}", "  ended in failure", self.failed)?;
        for (what, name) in ALL {
            writeln!(f, "{name:<24}{:>12}", self.struck[what as usize])?;
        }
        Ok(())
    }
}
