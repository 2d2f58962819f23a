//! Whether an effect may begin, where it is not known whether it has begun before, or where the store could forget that it has.

use crate::step::EffectClass;

/// What the store promises of what it has confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// It is on a disk: it survives a crash of the store and of its machine.
    #[default]
    Synced,
    /// A crash of the store may lose the last of it.
    Unsynced,
}

/// What is known of an effect that is to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has never begun.
    Fresh,
    /// It had begun, and the process ended before its outcome was recorded.
    Interrupted,
    /// The store has lost writes: it may have begun, and may have ended.
    Doubted,
}

/// Whether an effect may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may. One that is addressed by offsets asks the device where it is: a checkpoint is only a hint.
    Begin,
    /// A person must look whether it was done.
    Ask,
    /// The store must flush first.
    NeedsSync,
}

/// Judges. `consent`: a person has said that it may be done.
pub(super) const fn may_begin(class: EffectClass, standing: Standing, store: Durability, consent: bool) -> Verdict {
    match (class, standing, store) {
        (
            EffectClass::Pure | EffectClass::Keyed | EffectClass::OffsetAddressed | EffectClass::AtLeastOnce,
            Standing::Fresh | Standing::Interrupted | Standing::Doubted,
            Durability::Synced | Durability::Unsynced,
        ) => Verdict::Begin,
        (EffectClass::Once, _, Durability::Unsynced) => Verdict::NeedsSync,
        (EffectClass::Once, Standing::Fresh, Durability::Synced) => Verdict::Begin,
        (EffectClass::Once, Standing::Interrupted | Standing::Doubted, Durability::Synced) => {
            if consent {
                Verdict::Begin
            } else {
                Verdict::Ask
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANDINGS: [Standing; 3] = [Standing::Fresh, Standing::Interrupted, Standing::Doubted];

    #[test]
    fn what_may_be_repeated_always_begins() {
        let classes = [EffectClass::Pure, EffectClass::Keyed, EffectClass::OffsetAddressed, EffectClass::AtLeastOnce];
        for class in classes {
            for standing in STANDINGS {
                for store in [Durability::Synced, Durability::Unsynced] {
                    assert_eq!(may_begin(class, standing, store, false), Verdict::Begin, "{class:?} {standing:?}");
                }
            }
        }
    }

    #[test]
    fn once_begins_by_itself_only_where_nothing_is_in_doubt() {
        let judge = |standing, consent| may_begin(EffectClass::Once, standing, Durability::Synced, consent);
        assert_eq!(judge(Standing::Fresh, false), Verdict::Begin);
        assert_eq!(judge(Standing::Interrupted, false), Verdict::Ask);
        assert_eq!(judge(Standing::Doubted, false), Verdict::Ask);
        assert_eq!(judge(Standing::Interrupted, true), Verdict::Begin);
        assert_eq!(judge(Standing::Doubted, true), Verdict::Begin);
    }

    #[test]
    fn once_never_begins_on_a_store_that_could_forget_it() {
        for standing in STANDINGS {
            for consent in [false, true] {
                let verdict = may_begin(EffectClass::Once, standing, Durability::Unsynced, consent);
                assert_eq!(verdict, Verdict::NeedsSync, "{standing:?}");
            }
        }
    }
}
