//! Intervals beside a plain bitmap that does the same.

use proptest::prelude::*;

use super::*;

const BYTES: u64 = 96;

#[derive(Debug, Clone)]
enum Change {
    Insert(u64, u64),
    Remove(u64, u64),
}

fn change() -> impl Strategy<Value = Change> {
    let bounds = || (0..=BYTES, 0..=BYTES);
    prop_oneof![
        bounds().prop_map(|(a, b)| Change::Insert(a, b)),
        bounds().prop_map(|(a, b)| Change::Remove(a.min(b), a.max(b))),
        bounds().prop_map(|(a, b)| Change::Insert(a.min(b), a.max(b))),
    ]
}

fn bits(set: &Intervals) -> Vec<bool> {
    (0..BYTES).map(|byte| set.contains(Span::new(byte, byte + 1))).collect()
}

fn runs(bits: &[bool], wanted: bool, within: Span) -> Vec<Span> {
    let mut set = Vec::<Span>::new();
    for byte in within.start..within.end.min(BYTES) {
        if bits[byte as usize] == wanted {
            match set.last_mut() {
                Some(last) if last.end == byte => last.end += 1,
                _ => set.push(Span::new(byte, byte + 1)),
            }
        }
    }
    set
}

proptest! {
    #[test]
    fn behave_like_a_bitmap(changes in prop::collection::vec(change(), 0..60), at in 0..BYTES, len in 0..BYTES) {
        let mut set = Intervals::new();
        let mut model = vec![false; BYTES as usize];
        for change in changes {
            let (start, end, on) = match change {
                Change::Insert(start, end) => (start, end, true),
                Change::Remove(start, end) => (start, end, false),
            };
            let mut changed = 0;
            for byte in start..end {
                changed += u64::from(model[byte as usize] != on);
                model[byte as usize] = on;
            }
            let span = Span::new(start, end);
            prop_assert_eq!(if on { set.insert(span) } else { set.remove(span) }, changed);
            prop_assert_eq!(&bits(&set), &model);
        }
        let all = Span::new(0, BYTES);
        prop_assert_eq!(set.iter().collect::<Vec<_>>(), runs(&model, true, all));
        prop_assert_eq!(set.covered(), model.iter().filter(|bit| **bit).count() as u64);
        let within = Span::new(at, (at + len).min(BYTES));
        prop_assert_eq!(set.gaps(within).collect::<Vec<_>>(), runs(&model, false, within));
        prop_assert_eq!(set.parts(within).collect::<Vec<_>>(), runs(&model, true, within));
        prop_assert_eq!(set.covered_in(within), set.parts(within).map(Span::len).sum::<u64>());
        prop_assert_eq!(set.contains(within), within.is_empty() || set.covered_in(within) == within.len());
        prop_assert_eq!(set.prefix(), model.iter().take_while(|bit| **bit).count() as u64);
        let text = serde_json::to_string(&set).unwrap();
        prop_assert_eq!(serde_json::from_str::<Intervals>(&text).unwrap(), set);
    }

    #[test]
    fn intersect_like_bitmaps(a in prop::collection::vec((0..BYTES, 0..BYTES), 0..12),
                              b in prop::collection::vec((0..BYTES, 0..BYTES), 0..12)) {
        let set = |spans: Vec<(u64, u64)>| spans.into_iter().map(|(s, e)| Span::new(s, e)).collect::<Intervals>();
        let (a, b) = (set(a), set(b));
        let both: Vec<bool> = bits(&a).iter().zip(bits(&b)).map(|(a, b)| *a && b).collect();
        prop_assert_eq!(bits(&a.intersect(&b)), both);
    }
}

#[test]
fn the_ends_of_the_number_line_hold() {
    let mut set = Intervals::new();
    set.insert(Span::new(u64::MAX - 1, u64::MAX));
    set.insert(Span::new(0, 1));
    set.insert(Span::new(5, 3));
    assert_eq!(set.ranges(), 2);
    assert_eq!(set.insert(Span::new(0, u64::MAX)), u64::MAX - 2);
    assert_eq!(set.covered(), u64::MAX);
    assert!(serde_json::from_str::<Intervals>("[[5,3]]").is_err());
}
