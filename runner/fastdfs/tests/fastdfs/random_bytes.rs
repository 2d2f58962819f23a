//! Random and damaged bytes to every reader: the laws that the fuzz targets check, for a moment and on every day.

use std::{fs, path::Path};

use proptest::{collection::vec, prelude::*, sample::Index};

use crate::laws::LAWS;

proptest! {
    #[test]
    fn every_law_holds_for_random_bytes(bytes in vec(any::<u8>(), 0..600)) {
        for (_, law) in LAWS {
            law(&bytes);
        }
    }

    #[test]
    fn every_law_holds_for_damaged_messages(which: Index, damage in vec((any::<Index>(), any::<u8>()), 0..4), cut: Index) {
        for (target, law) in LAWS {
            let seeds = seeds(target);
            let mut bytes = seeds[which.index(seeds.len())].clone();
            // One has no bytes to damage.
            for (at, byte) in damage.iter().take(if bytes.is_empty() { 0 } else { damage.len() }) {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            law(&bytes);
            bytes.truncate(cut.index(bytes.len() + 1));
            law(&bytes);
        }
    }
}

/// Recorded messages of one fuzz target.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let files = fs::read_dir(folder).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap());
    files.collect()
}

#[test]
fn every_law_holds_for_what_was_recorded() {
    for (target, law) in LAWS {
        let seeds = seeds(target);
        assert!(!seeds.is_empty(), "{target}");
        seeds.iter().for_each(|bytes| law(bytes));
    }
}

#[test]
fn each_law_has_its_fuzz_target() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    let mut targets: Vec<_> =
        fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    let mut laws: Vec<_> = LAWS.iter().map(|(target, _)| format!("{target}.rs")).collect();
    targets.sort();
    laws.sort();
    assert_eq!(targets, laws);
}
