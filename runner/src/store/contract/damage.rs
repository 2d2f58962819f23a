//! What becomes of the others where one run is damaged.

use super::*;

/// `spoil` makes what is stored of a run beside its facts something that nobody wrote.
pub(in crate::store) fn a_damaged_run_stays_alone(journal: &dyn Journal, spoil: impl Fn(&RunId)) {
    let claims: Vec<Claim> =
        (0..5).map(|number| Claim { run: run(number), owner: "a".to_owned(), ttl: TTL, now: at(0) }).collect();
    let tokens: Vec<Token> =
        journal.claim_many(&claims).expect("the store works").into_iter().map(|token| token.expect("free")).collect();
    for number in 0..5 {
        let mark = if number == 4 { Mark::Finished } else { Mark::Unfinished };
        one(journal, Append { mark, ..facts(number, tokens[number as usize], 0, &["x"]) }).expect("claimed");
    }
    spoil(&run(2));
    assert_eq!(journal.unfinished(None, 9).expect("readable"), [run(0), run(1), run(2), run(3)]);
    assert_eq!(journal.unfinished(Some(&run(1)), 1).expect("readable"), [run(2)]);
    assert_eq!(journal.recent(None, 9).expect("readable"), [run(4), run(3), run(2), run(1), run(0)]);
    assert_eq!(journal.recent(Some(&run(3)), 2).expect("readable"), [run(2), run(1)]);
    for number in 0..5 {
        match journal.read(&run(number), 0) {
            Ok(facts) => assert_eq!((number != 2, facts.len()), (true, 1)),
            Err(error) => assert!(number == 2 && matches!(error, StoreError::Damaged { .. }), "{number}: {error}"),
        }
    }
    // With the token from before, in one batch with others.
    let batch: Vec<Append> = (0..5).map(|number| facts(number, tokens[number as usize], 1, &["y"])).collect();
    for (number, judged) in (0..5).zip(journal.append_many(&batch).expect("the store works")) {
        assert_eq!(judged, if number == 2 { Err(AppendError::Damaged { run: run(2) }) } else { Ok(2) }, "{number}");
    }
    for (number, claimed) in (0..5).zip(journal.claim_many(&claims).expect("the store works")) {
        match claimed {
            Ok(_) => assert_ne!(number, 2),
            Err(error) => assert!(number == 2 && matches!(error, StoreError::Damaged { .. }), "{number}: {error}"),
        }
    }
    let token = journal.claim(&run(1), "a", TTL, at(0)).expect("its own");
    assert_eq!(one(journal, facts(1, token, 2, &["z"])), Ok(3), "the store goes on");
}
