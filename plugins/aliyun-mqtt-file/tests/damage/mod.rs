//! Damage, crashes and limits: what must not happen, whatever arrives.

use packhorse_codec::testing::{Hostile, PlatformEnd, incoming, mangled, transfer};
use packhorse_codec::{Chunk, Command, Data, Driver, Event, File, Receipt, Span, Sum, Transfer};

use crate::ends::{self, Ends, bytes, file};
use crate::{BLOCK, asked, block, want};

#[test]
fn a_damaged_block_is_never_taken_for_another() {
    let ends = Ends::announced();
    let request = asked(&ends.says(vec![want(1, BLOCK)]));
    let good = ends.platform.encode(vec![Command::Chunk(block(request.tag, BLOCK))]).messages.remove(0).payload;
    let saved = ends.device.save();
    let truth = [Command::Chunk(block(1, BLOCK))];
    let mut random = Hostile::new(21);
    let mut refused = 0;
    for _ in 0..20_000 {
        // Each copy meets a device that still waits for it.
        let device = Ends::device(Driver::DevicePull, saved.clone());
        let decoded = device.decode(vec![incoming(ends::DOWNLOAD_REPLY, mangled(&good, &mut random))]);
        assert!(decoded.commands.is_empty() || decoded.commands == truth, "{:?}", decoded.commands);
        refused += decoded.faults.len();
    }
    assert!(refused > 15_000, "{refused}");
}

#[test]
fn a_damaged_upload_block_is_bad_or_refused() {
    let ends = Ends::accepted(0);
    ends.says(vec![Event::Data(ends.data(5, 0, BLOCK))]);
    let saved = ends.platform.save();
    let good = ends.device.encode(vec![Event::Data(ends.data(6, BLOCK, BLOCK))]).messages.remove(0).payload;
    let truth = bytes(BLOCK, BLOCK);
    let mut random = Hostile::new(22);
    let mut bad = 0;
    for _ in 0..20_000 {
        let platform = Ends::platform(Driver::DevicePush, File::unknown(), saved.clone());
        let decoded = platform.decode(vec![incoming(ends::SEND, mangled(&good, &mut random))]);
        for event in decoded.events {
            let Event::Data(data) = event else { panic!("{event:?}") };
            assert!(data.sum == Sum::Bad || (data.offset == BLOCK && data.bytes == truth), "{:?}", data.offset);
            bad += u32::from(data.sum == Sum::Bad);
        }
    }
    assert!(bad > 10_000, "most damage hits the bytes, and the device hears of it: {bad}");
}

#[test]
fn a_batch_is_worth_its_parts() {
    let (one, other) = (Ends::accepted(0), Ends::accepted(0));
    let data: Vec<Event> = (0..8).map(|index| Event::Data(one.data(index + 1, index * BLOCK, BLOCK))).collect();
    let batch = one.device.encode(data.clone()).messages;
    assert_eq!(batch.iter().map(|message| message.cause).collect::<Vec<_>>(), (0..8).collect::<Vec<u16>>());
    let parts: Vec<_> = data.into_iter().flat_map(|event| other.device.encode(vec![event]).messages).collect();
    assert!(batch.iter().zip(&parts).all(|(one, other)| one.payload == other.payload));
    let batched = one.platform.decode(batch.into_iter().map(|it| incoming(it.route, it.payload)).collect());
    let single: Vec<Event> = parts
        .into_iter()
        .flat_map(|message| other.platform.decode(vec![incoming(message.route, message.payload)]).events)
        .collect();
    assert_eq!((batched.events, batched.faults), (single, vec![]));
    assert_eq!(one.platform.save(), other.platform.save());
}

#[test]
fn both_ends_go_on_from_what_they_saved() {
    let before = Ends::accepted(0);
    let waiting = before.says(vec![Event::Data(before.data(5, 0, BLOCK))]);
    let [Event::Data(Data { tag, .. })] = waiting[..] else { panic!("{waiting:?}") };
    let after = Ends {
        platform: Ends::platform(Driver::DevicePush, File::unknown(), before.platform.save()),
        device: Ends::device(Driver::DevicePush, before.device.save()),
    };
    let receipt = |tag| Command::Ack(Receipt { tag, span: Span::new(0, BLOCK), good: true });
    assert_eq!(after.hears(vec![receipt(tag)]), [receipt(5)]);
    let heard = after.says(vec![Event::Data(after.data(6, BLOCK, BLOCK))]);
    assert!(matches!(heard[..], [Event::Data(Data { offset: 5120, sum: Sum::Good, .. })]), "{heard:?}");
}

#[test]
fn after_a_crash_what_is_here_counts_and_not_what_was_saved() {
    let before = Ends::accepted(0);
    before.says(vec![Event::Data(before.data(5, 0, BLOCK)), Event::Data(before.data(6, BLOCK, BLOCK))]);
    let opening = Transfer {
        epoch: 9,
        done: vec![Span::new(0, BLOCK)],
        saved: before.platform.save(),
        ..transfer(Driver::DevicePush, File::unknown())
    };
    let after = Ends { platform: PlatformEnd::open(opening).unwrap(), device: before.device };
    let beyond = after.device.encode(vec![Event::Data(after.data(7, BLOCK * 2, BLOCK))]).messages.remove(0);
    assert_eq!(after.platform.decode(vec![incoming(beyond.route, beyond.payload)]).events, []);
    let heard = after.says(vec![Event::Data(after.data(8, BLOCK, BLOCK))]);
    assert!(matches!(heard[..], [Event::Data(Data { offset: 5120, sum: Sum::Good, .. })]), "{heard:?}");
}

#[test]
fn what_is_saved_is_bounded() {
    let ends = Ends::announced();
    let request = |id: u32| {
        let id = format!("{id:036}");
        let token = "t".repeat(64);
        format!(r#"{{"id":"{id}","params":{{"fileToken":"{token}","fileBlock":{{"size":256,"offset":0}}}}}}"#)
    };
    for id in 0..1000 {
        let decoded = ends.platform.decode(vec![incoming(ends::DOWNLOAD, request(id))]);
        assert_eq!((decoded.events.len(), decoded.faults.len()), (1, 0));
    }
    ends.device.encode((0..1000).map(|tag| want(tag, 0)).collect());
    assert!(ends.platform.save().len() <= 4096, "{}", ends.platform.save().len());
    assert!(ends.device.save().len() <= 4096, "{}", ends.device.save().len());
}

#[test]
fn a_full_block_keeps_to_the_limit_that_was_declared() {
    let ends = Ends::announced();
    let id = "f".repeat(36);
    let token = "t".repeat(64);
    let offset = u64::from(u32::MAX) - 131_072;
    let request = format!(
        r#"{{"id":"{id}","params":{{"fileToken":"{token}","fileBlock":{{"size":131072,"offset":{offset}}}}}}}"#
    );
    let tag = asked(&ends.platform.decode(vec![incoming(ends::DOWNLOAD, request)]).events).tag;
    let chunk = Chunk { tag, offset, bytes: vec![7; 131_072], last: false };
    let message = ends.platform.encode(vec![Command::Chunk(chunk)]).messages.remove(0).payload;
    assert!(message.len() <= 131_072 + 224, "{}", message.len() - 131_072);
    assert_eq!(message.len(), message.capacity(), "the host takes it without a copy");
    let ends = Ends::with_upload_id(&"u".repeat(64), 0);
    let data = Data { tag: 1, offset, bytes: vec![7; 131_072], sum: Sum::Absent, last: false };
    let message = ends.device.encode(vec![Event::Data(data)]).messages.remove(0).payload;
    assert!(message.len() <= 131_072 + 176 - 8, "ids may grow to ten digits: {}", message.len() - 131_072);
}

#[test]
fn an_opening_that_cannot_work_is_refused() {
    let code = |opening| PlatformEnd::<aliyun_mqtt_file::AliyunPlatform>::open(opening).unwrap_err().code;
    assert_eq!(code(transfer(Driver::DevicePull, File { digests: vec![], ..file() })), "file-unknown");
    assert_eq!(code(transfer(Driver::DevicePull, File { size: None, ..file() })), "file-unknown");
    assert_eq!(code(Transfer { saved: vec![9], ..transfer(Driver::DevicePull, file()) }), "saved");
    assert_eq!(code(Transfer { saved: vec![1, 0], ..transfer(Driver::DevicePush, File::unknown()) }), "saved");
}
