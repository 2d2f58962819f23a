//! Damage, crashes and limits: what must not happen, whatever arrives.

use jt808::Jt808Platform;
use packhorse_codec::testing::{Hostile, PlatformEnd, incoming, mangled, transfer};
use packhorse_codec::{Chunk, Command, Data, Driver, Event, File, Span, Transfer};

use crate::ends::{self, DOWN, Ends, PIECE, SIZE, UP, arrived, chunk, data, file, opening, platform};
use crate::pieces;

/// One byte guards a frame, so that in 256 damaged ones about one passes: the more, the more bits are wrong.
#[test]
fn damage_is_found_as_well_as_one_byte_can() {
    let ends = Ends::push(&[]);
    ends.hears(vec![chunk(0)]);
    let good = ends.platform.encode(vec![chunk(PIECE)]).messages.remove(0).payload;
    let mut random = Hostile::new(21);
    let (mut refused, mut wrong) = (0, 0);
    for _ in 0..20_000 {
        let decoded = ends.device.decode(vec![incoming(DOWN, mangled(&good, &mut random))]);
        refused += decoded.faults.len();
        for Chunk { offset, bytes, .. } in pieces(decoded.commands) {
            assert!(offset + bytes.len() as u64 <= SIZE && bytes.len() as u64 <= PIECE);
            wrong += usize::from(Command::Chunk(Chunk { tag: 0, offset, bytes, last: false }) != chunk(PIECE));
        }
    }
    assert!(refused > 14_000, "{refused}");
    assert!(wrong < 200, "{wrong}");
}

#[test]
fn damaged_media_keep_within_what_packets_can_be() {
    let ends = Ends::pull(&[], SIZE);
    ends.says(vec![data(1, 0, SIZE), data(2, PIECE, SIZE)]);
    let good = ends.device.encode(vec![data(3, PIECE * 2, SIZE)]).messages.remove(0).payload;
    let mut random = Hostile::new(22);
    for _ in 0..20_000 {
        for event in ends.platform.decode(vec![incoming(UP, mangled(&good, &mut random))]).events {
            if let Event::Data(Data { offset, bytes, .. }) = event {
                assert!(offset.is_multiple_of(PIECE) && bytes.len() as u64 <= PIECE && offset <= 65_535 * PIECE);
            }
        }
    }
}

#[test]
fn a_batch_is_worth_its_parts() {
    let (one, other) = (Ends::push(&[]), Ends::push(&[]));
    let chunks: Vec<Command> = (0..64).map(|index| chunk(index * PIECE)).collect();
    let batch = one.platform.encode(chunks.clone()).messages;
    let parts: Vec<_> = chunks.into_iter().flat_map(|command| other.platform.encode(vec![command]).messages).collect();
    assert!(batch.iter().zip(&parts).all(|(one, other)| one.payload == other.payload));
    let batched = one.device.decode(arrived(batch));
    let single = arrived(parts).into_iter().flat_map(|message| other.device.decode(vec![message]).commands);
    assert_eq!(batched.commands, single.collect::<Vec<_>>());
    assert_eq!(one.device.save(), other.device.save());
    let held = |ends: &Ends| ends.says(vec![Event::AckThrough(64 * PIECE)]);
    assert_eq!(held(&one), held(&other));
    assert_eq!(one.platform.save(), other.platform.save());
}

#[test]
fn a_package_keeps_its_numbers_when_it_goes_on_and_has_others_in_another_session() {
    let before = Ends::push(&[]);
    let message =
        |platform: &PlatformEnd<Jt808Platform>| platform.encode(vec![chunk(PIECE)]).messages.remove(0).payload;
    let first = message(&before.platform);
    let later = |saved| Transfer { epoch: 2, saved, ..opening(Driver::PlatformPush, file(SIZE), &[]) };
    assert_eq!(message(&platform(later(before.platform.save()))), first, "the terminal goes on as well");
    assert_ne!(message(&platform(later(vec![]))), first, "an answer to an earlier package is none to this one");
}

#[test]
fn an_upload_goes_on_from_what_was_saved() {
    let before = Ends::pull(&[], SIZE);
    before.says(vec![data(1, 0, SIZE), data(2, PIECE, SIZE)]);
    for epoch in [1, 9] {
        let opening = Transfer {
            epoch,
            saved: before.platform.save(),
            done: vec![Span::new(0, PIECE * 2)],
            ..opening(Driver::DevicePush, File::unknown(), &[])
        };
        let after = Ends { platform: platform(opening), device: ends::device(Driver::DevicePush, &[]) };
        let more = before.device.encode(vec![data(3, PIECE * 7, SIZE)]).messages;
        let events = after.platform.decode(arrived(more)).events;
        assert!(matches!(events[..], [Event::Data(Data { offset, .. })] if offset == PIECE * 7), "{events:?}");
    }
}

#[test]
fn what_is_saved_is_bounded() {
    let ends = Ends::pull(&[], SIZE);
    let all: Vec<Event> = (0..SIZE).step_by(PIECE as usize).map(|offset| data(offset + 1, offset, SIZE)).collect();
    for event in all.iter().chain(&all) {
        ends.says(vec![event.clone()]);
    }
    assert!(ends.device.save().len() <= 4096, "{}", ends.device.save().len());
    assert!(ends.platform.save().len() <= 4096, "{}", ends.platform.save().len());
}

#[test]
fn full_packets_keep_to_the_limits_that_were_declared() {
    let [push, pull] = [948_u64, 987];
    let all_flags = |length: u64| vec![0x7e; length as usize];
    let meta = vec![("version".into(), "~".repeat(64))];
    let whole = File { name: "x".into(), size: Some(push * 65_535), digests: vec![], meta };
    let opened = Transfer { packet_size: push as u32, ..opening(Driver::PlatformPush, whole, &[]) };
    let first = Command::Chunk(Chunk { tag: 0, offset: 0, bytes: all_flags(push), last: false });
    let message = platform(opened).encode(vec![first]).messages.remove(0).payload;
    assert!(message.len() as u64 <= push * 2 + 196, "{}", message.len());
    assert_eq!(message.len(), message.capacity(), "the host takes it without a copy");
    let opened = Transfer { packet_size: pull as u32, ..opening(Driver::DevicePush, File::unknown(), &[]) };
    let device = packhorse_codec::testing::DeviceEnd::<jt808::Jt808Device>::open(opened).unwrap();
    device.encode(vec![ends::start(pull * 65_535)]);
    let bytes = all_flags(pull);
    let sum = packhorse_codec::Sum::Absent;
    let first = Event::Data(Data { tag: 1, offset: 0, bytes, sum, last: false });
    let message = device.encode(vec![first]).messages.remove(0).payload;
    assert!(message.len() as u64 <= pull * 2 + 118, "{}", message.len());
}

#[test]
fn an_opening_that_cannot_work_is_refused() {
    let code = |opening| PlatformEnd::<Jt808Platform>::open(opening).unwrap_err().code;
    let push = |file| opening(Driver::PlatformPush, file, &[]);
    assert_eq!(code(push(File { size: None, ..file(1) })), "file-unknown");
    assert_eq!(code(push(file(1 << 32))), "file-unknown");
    assert_eq!(code(push(file(PIECE * 65_535 + 1))), "packets");
    assert!(PlatformEnd::<Jt808Platform>::open(push(file(PIECE * 65_535))).is_ok());
    assert_eq!(code(push(File { meta: vec![("version".into(), "版本".into())], ..file(1) })), "version");
    assert_eq!(code(push(File { name: "n".repeat(65), meta: vec![], ..file(1) })), "version");
    let long = opening(Driver::PlatformPush, file(1), &[("phone", "1234567890123"), ("header", "2013")]);
    assert_eq!(code(long), "phone");
    for saved in [vec![9], vec![1, 0], vec![1, 0, 0, 0, 1, 0, 0]] {
        assert_eq!(code(Transfer { saved, ..transfer(Driver::PlatformPush, file(1)) }), "saved");
    }
}
