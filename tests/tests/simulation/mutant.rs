//! Bugs planted in the simulated shell: an oracle that does not see them is blind.

macro_rules! mutants {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// One planted bug.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Mutant { $($(#[$doc])* $name,)* }

        impl Mutant {
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)*];
        }
    };
}

mutants! {
    /// Pulled pieces count as durable when they are written.
    AckBeforeDurable,
    /// The spool says durable without a sync: a crash loses it.
    SkipsSync,
    /// The store takes writes of any token.
    NoFence,
    /// The device takes up a session that is older than its own.
    AcceptsStaleEpoch,
    /// A session opens without a look at the claim: another runner may have the run.
    SleepsThroughClaim,
    /// A transfer whose digest differs is reported as good.
    IgnoresDigest,
    /// Checkpoints hold what was only sent.
    CheckpointsAhead,
    /// Every attempt begins without its checkpoint.
    ForgetsCheckpoint,
    /// The store applies a fact twice.
    AppliesTwice,
    /// The store leaves a fact out.
    LosesAFact,
    /// Effects begin before their facts are durable.
    BeginsBeforeDurable,
    /// Reads one byte too far on when a piece goes out.
    WrongRange,
    /// Publishes to another device's topic.
    OtherTopic,
    /// What was under way before a restart is not begun again.
    NeverAsksAgain,
    /// The bus takes any number of messages while the broker is away.
    UnboundedQueue,
    /// The run's timers are not looked at.
    TimerNeverFires,
    /// An upload tells the uri of another file.
    OtherFilesUri,
    /// The digest of a pulled file is not computed but believed.
    SkipsPullDigest,
    /// An answer is given to another run.
    WrongReply,
    /// The beginning of a file stands in a log line.
    LogsSecret,
    /// The whole file goes out again after each reconnect.
    ResendsAll,
    /// `finally` is left out.
    ForgetsFinally,
    /// A resumed session has the epoch of the one before it.
    SameEpoch,
    /// An effect's outcome never reaches its run.
    DropsOutcome,
    /// One byte of a piece is another.
    SpoilsAByte,
    /// A record with a wrong checksum is read all the same.
    BelievesFlips,
    /// Every message goes out twice and is told once.
    SendsTwice,
}
