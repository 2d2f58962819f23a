//! Damage, crashes and limits: what must not happen, whatever arrives.

use aws_iot_streams::AwsPlatform;
use packhorse_codec::testing::{Hostile, PlatformEnd, mangled, transfer};
use packhorse_codec::{Chunk, Command, Driver, Event, File, Incoming, Outcome, Text, Transfer, Verdict};

use crate::ends::{self, BLOCK, Ends, SIZE, STREAM, UPDATE, arrived, bytes, file, from_device, offer};
use crate::{chunk, want, wanted};

#[test]
fn damaged_requests_never_ask_for_what_the_file_has_not() {
    for format in ["cbor", "json"] {
        let ends = Ends::announced(format);
        ends.says(vec![want(1, 0, BLOCK)]);
        let good = arrived(ends.device.encode(vec![want(9, BLOCK, BLOCK)]).messages).remove(0);
        let mut random = Hostile::new(21);
        let (mut asked, mut rejected) = (0, 0);
        for _ in 0..20_000 {
            let message = Incoming { payload: mangled(&good.payload, &mut random), ..good.clone() };
            let decoded = ends.platform.decode(vec![message]);
            assert!(decoded.faults.is_empty(), "{:?}", decoded.faults);
            for want in wanted(&decoded.events) {
                assert!(want.span.start < want.span.end && want.span.end <= SIZE, "{want:?}");
                assert!(want.span.length() <= 131_072 && want.span.start.is_multiple_of(want.limit.into()), "{want:?}");
                asked += 1;
            }
            rejected += decoded.replies.len();
        }
        assert!(asked > 1000 && rejected > 4000, "{asked} {rejected}");
    }
}

#[test]
fn a_damaged_block_keeps_within_the_file() {
    let ends = Ends::announced("cbor");
    let [asked] = wanted(&ends.says(vec![want(1, BLOCK, BLOCK)]))[..] else { panic!("one request") };
    let good = arrived(ends.platform.encode(vec![chunk(asked.tag, BLOCK, BLOCK)]).messages).remove(0);
    let mut random = Hostile::new(22);
    for _ in 0..20_000 {
        let message = Incoming { payload: mangled(&good.payload, &mut random), ..good.clone() };
        for command in ends.device.decode(vec![message]).commands {
            let Command::Chunk(Chunk { offset, bytes, .. }) = command else { panic!("{command:?}") };
            assert!(offset + bytes.len() as u64 <= SIZE && bytes.len() as u64 <= BLOCK * 2, "{offset} {}", bytes.len());
        }
    }
}

#[test]
fn a_batch_is_worth_its_parts() {
    let (one, other) = (Ends::announced("cbor"), Ends::announced("cbor"));
    let wants: Vec<Event> = (0..64).map(|index| want(index + 1, index * BLOCK, BLOCK)).collect();
    let batch = one.device.encode(wants.clone()).messages;
    let parts: Vec<_> = wants.into_iter().flat_map(|event| other.device.encode(vec![event]).messages).collect();
    assert!(batch.iter().zip(&parts).all(|(one, other)| one.payload == other.payload));
    let batched = one.platform.decode(arrived(batch));
    let single = arrived(parts).into_iter().flat_map(|message| other.platform.decode(vec![message]).events);
    assert_eq!(batched.events, single.collect::<Vec<_>>());
    assert_eq!(one.platform.save(), other.platform.save());
}

#[test]
fn both_ends_go_on_from_what_they_saved() {
    let before = Ends::announced("json");
    let [asked] = wanted(&before.says(vec![want(1, BLOCK, BLOCK)]))[..] else { panic!("one request") };
    let details = r#"{"status":"IN_PROGRESS","statusDetails":{"self_test":"ready"}}"#;
    before.platform.decode(vec![from_device(UPDATE, &["ota-00000001-0"], details)]);
    let after = Ends {
        platform: ends::platform(before.platform.save(), 1),
        device: ends::device("json", before.device.save()),
    };
    assert_eq!(after.hears(vec![chunk(asked.tag, BLOCK, BLOCK)]), [chunk(1, BLOCK, BLOCK)]);
    let notice = after.platform.encode(vec![offer(0)]).messages.remove(0).payload;
    let notice = String::from_utf8(notice).unwrap();
    assert!(
        notice.contains(r#""statusDetails":{"self_test":"ready"}"#),
        "a device reads it after its restart: {notice}"
    );
    assert!(notice.contains(r#""status":"IN_PROGRESS""#) && notice.contains(r#""versionNumber":3"#), "{notice}");
}

#[test]
fn after_a_crash_a_job_goes_on_and_one_that_ended_does_not() {
    let job = |platform: &PlatformEnd<AwsPlatform>| {
        let notice = platform.encode(vec![offer(0)]).messages.remove(0).payload;
        let notice = String::from_utf8(notice).unwrap();
        let from = notice.find("ota-").unwrap();
        (notice[from..from + 14].to_owned(), notice.contains(STREAM))
    };
    let ends = Ends::announced("cbor");
    ends.says(vec![want(1, 0, BLOCK)]);
    assert_eq!(job(&ends::platform(ends.platform.save(), 9)), ("ota-00000001-0".to_owned(), true));
    ends.says(vec![Event::Outcome(Outcome { verdict: Verdict::Failed, text: Text::new("", "") })]);
    assert_eq!(job(&ends::platform(ends.platform.save(), 1)), ("ota-00000001-1".to_owned(), true));
    assert_eq!(job(&ends::platform(ends.platform.save(), 9)), ("ota-00000009-0".to_owned(), true));
}

#[test]
fn what_is_saved_is_bounded() {
    let ends = Ends::announced("cbor");
    let details: String = (0..10).map(|at| format!(r#""k{at}{}":"{}","#, "n".repeat(50), "v".repeat(100))).collect();
    let update = format!(r#"{{"status":"IN_PROGRESS","statusDetails":{{{details}}}}}"#);
    assert_eq!(ends.platform.decode(vec![from_device(UPDATE, &["ota-00000001-0"], update)]).events.len(), 1);
    for number in 0..1000 {
        let question = format!(r#"{{"clientToken":"{number:0138}"}}"#);
        ends.platform.decode(vec![from_device(11, &["ota-00000001-0"], question)]);
        let request = format!(r#"{{"c":"{number:064}","f":0,"l":256,"n":1}}"#);
        ends.platform.decode(vec![from_device(ends::GET_STREAM, &[STREAM, "json"], request)]);
    }
    assert!(ends.platform.save().len() <= 4096, "{}", ends.platform.save().len());
    assert!(ends.platform.save().len() > 2500, "it is full: {}", ends.platform.save().len());
    assert!(ends.device.save().len() <= 4096);
}

#[test]
fn a_full_block_keeps_to_the_limit_that_was_declared() {
    let ends = Ends::announced("cbor");
    let offset = 131_072 * 7;
    for (format, most) in [("json", 131_072 * 1334 / 1000 + 128), ("cbor", 131_072 + 128)] {
        let token = "t".repeat(64);
        let payload = format!(r#"{{"c":"{token}","f":0,"l":131072,"o":7,"n":1}}"#);
        let asked =
            wanted(&ends.platform.decode(vec![from_device(ends::GET_STREAM, &[STREAM, "json"], payload)]).events);
        let tag = if format == "json" { asked[0].tag } else { asked[0].tag & !(1 << 32) };
        let last = Command::Chunk(Chunk { tag, offset, bytes: bytes(offset, 131_072), last: true });
        let message = ends.platform.encode(vec![last]).messages.remove(0).payload;
        assert!(message.len() <= most, "{format}: {}", message.len());
        assert_eq!(message.len(), message.capacity(), "the host takes it without a copy");
    }
}

#[test]
fn an_opening_that_cannot_work_is_refused() {
    let code = |opening| PlatformEnd::<AwsPlatform>::open(opening).unwrap_err().code;
    assert_eq!(code(transfer(Driver::DevicePull, File { size: None, ..file() })), "file-unknown");
    for saved in [vec![9], vec![1, 0], vec![1, 0, 0, 1, b'a', 9]] {
        assert_eq!(code(Transfer { saved, ..transfer(Driver::DevicePull, file()) }), "saved");
    }
}
