//! Every word that the protocol has goes through one side and comes out of the other with the same meaning.

mod damage;
mod ends;

use ends::{Ends, PIECE, SIZE, arrived, bytes, chunk, data, file, opening, piece, platform, start};
use packhorse_codec::testing::Hostile;
use packhorse_codec::{
    Chunk, Command, Data, Driver, Event, Offer, Outcome, Receipt, Span, Sum, Text, Transfer, Verdict, Want,
};

const BOTH_HEADERS: [&[(&str, &str)]; 2] = [&[], &[("header", "2013")]];

/// The pieces among what the terminal heard.
fn pieces(commands: Vec<Command>) -> Vec<Chunk> {
    commands
        .into_iter()
        .filter_map(|command| if let Command::Chunk(chunk) = command { Some(chunk) } else { None })
        .collect()
}

#[test]
fn a_package_goes_to_the_terminal_and_each_piece_is_acknowledged_once() {
    for vars in BOTH_HEADERS {
        let ends = Ends::push(vars);
        for offset in (0..SIZE).step_by(PIECE as usize) {
            let heard = ends.hears(vec![chunk(offset)]);
            if offset == 0 {
                assert!(
                    matches!(&heard[0], Command::Offer(Offer { file, .. })
                    if file.size == Some(SIZE) && file.name == "V2.1"),
                    "{:?}",
                    heard[0]
                );
            }
            assert_eq!(pieces(heard).into_iter().map(Command::Chunk).collect::<Vec<_>>(), [chunk(offset)]);
            assert_eq!(ends.says(vec![Event::AckThrough(piece(offset).end)]), [Event::Ack(piece(offset))]);
        }
        let good = Event::Outcome(Outcome { verdict: Verdict::Good, text: Text::new("", "") });
        let text = Text::new("0", "the upgrade succeeded");
        assert_eq!(ends.says(vec![good]), [Event::Outcome(Outcome { verdict: Verdict::Good, text })]);
    }
}

#[test]
fn random_files_in_random_pieces_come_as_they_are_in_any_order() {
    let mut random = Hostile::new(9);
    for _ in 0..300 {
        let (size, packet) = (random.below(20_000) as u64, 64 + random.below(885) as u64);
        let opening = Transfer {
            packet_size: packet as u32,
            epoch: random.next() as u32,
            ..opening(Driver::PlatformPush, file(size), &[])
        };
        let ends = Ends { platform: platform(opening), device: ends::device(Driver::PlatformPush, &[]) };
        let whole = random.bytes(size as usize);
        let starts: Vec<u64> = (0..size.max(1)).step_by(packet as usize).collect();
        // The first packet tells what the others are; those behind it may overtake each other.
        let mut order: Vec<u64> = starts[1..].to_vec();
        for at in (1..order.len()).rev() {
            order.swap(at, random.below(at + 1));
        }
        order.insert(0, 0);
        let mut found = vec![0; size as usize];
        let mut acked = 0;
        for start in order {
            let end = (start + packet).min(size);
            let bytes = whole[start as usize..end as usize].to_vec();
            let heard = ends.hears(vec![Command::Chunk(Chunk { tag: 0, offset: start, bytes, last: end == size })]);
            let [piece] = &pieces(heard)[..] else { panic!("one piece a packet") };
            assert_eq!(piece.last, end == size);
            found[piece.offset as usize..][..piece.bytes.len()].copy_from_slice(&piece.bytes);
            for event in ends.says(vec![Event::Ack(Span::new(start, end))]) {
                let Event::Ack(span) = event else { panic!("{event:?}") };
                acked += span.length();
            }
        }
        assert!(found == whole && acked == size, "{size} bytes in packets of {packet}");
    }
}

#[test]
fn a_terminal_that_answers_only_the_last_packet_acknowledges_everything_by_it() {
    let ends = Ends::push(&[("answers", "last")]);
    for offset in (0..SIZE).step_by(PIECE as usize) {
        ends.hears(vec![chunk(offset)]);
        let whole = piece(offset).end == SIZE;
        let meant: &[Event] = if whole { &[Event::Ack(Span::new(0, SIZE))] } else { &[] };
        assert_eq!(ends.says(vec![Event::AckThrough(piece(offset).end)]), meant);
    }
}

#[test]
fn what_a_terminal_lacks_is_listed_by_packets() {
    for vars in BOTH_HEADERS {
        let ends = Ends::push(vars);
        ends.hears(vec![chunk(0)]);
        let lacks = Event::Missing(Span::new(PIECE * 3, PIECE * 9));
        assert_eq!(ends.says(vec![lacks]), [Event::Missing(Span::new(PIECE * 3, PIECE * 9))]);
        // 195 packets: more than one list of 2013 would have room for are still one here.
        assert_eq!(ends.says(vec![Event::Missing(Span::new(0, SIZE))]), [Event::Missing(Span::new(0, SIZE))]);
    }
}

#[test]
fn without_the_first_packet_a_terminal_asks_for_it() {
    let ends = Ends::push(&[]);
    let second = arrived(ends.platform.encode(vec![chunk(PIECE)]).messages);
    let decoded = ends.device.decode(second);
    assert_eq!((decoded.commands, decoded.faults), (vec![], vec![]));
    let asked = ends.platform.decode(arrived(decoded.replies)).events;
    assert_eq!(asked, [Event::Missing(Span::new(0, PIECE))]);
}

#[test]
fn how_an_upgrade_may_end_badly() {
    let ends = Ends::push(&[]);
    ends.hears(vec![chunk(0)]);
    let ended = |verdict| Event::Outcome(Outcome { verdict, text: Text::new("", "") });
    let heard = |verdict, code: &str, words: &str| Event::Outcome(Outcome { verdict, text: Text::new(code, words) });
    let cancel = Event::Cancel(Text::new("", "x"));
    assert_eq!(
        ends.says(vec![ended(Verdict::BadSize), ended(Verdict::DeviceFull), cancel]),
        [
            heard(Verdict::Failed, "1", "the upgrade failed"),
            heard(Verdict::Failed, "1", "the upgrade failed"),
            heard(Verdict::Cancelled, "2", "the upgrade was cancelled"),
        ]
    );
}

#[test]
fn media_come_from_the_terminal_packet_by_packet() {
    for vars in BOTH_HEADERS {
        let ends = Ends::pull(vars, SIZE);
        let mut whole = Vec::new();
        for offset in (0..SIZE).step_by(PIECE as usize) {
            let heard = ends.says(vec![data(offset + 3, offset, SIZE)]);
            let data = heard.iter().find_map(|event| if let Event::Data(data) = event { Some(data) } else { None });
            let Some(Data { tag, offset: at, bytes, sum: Sum::Good, last }) = data else { panic!("{heard:?}") };
            assert_eq!((*at, *last), (offset, piece(offset).end == SIZE));
            whole.extend_from_slice(bytes);
            let receipt = |tag| Command::Ack(Receipt { tag, span: piece(offset), good: true });
            assert_eq!(ends.hears(vec![receipt(*tag)]), [receipt(offset + 3)]);
        }
        assert!(whole == bytes(0, SIZE, SIZE));
        let good = Command::Outcome(Outcome { verdict: Verdict::Good, text: Text::new("", "") });
        assert_eq!(ends.hears(vec![good.clone()]), [good]);
    }
}

#[test]
fn random_media_come_as_they_are_whichever_packets_come_first() {
    let mut random = Hostile::new(10);
    for _ in 0..300 {
        let size = random.below(30_000) as u64;
        let ends = Ends::pull(&[], size);
        let mut left: Vec<u64> = (0..size.max(1)).step_by(PIECE as usize).collect();
        let mut found = vec![0; size as usize];
        // What cannot be placed yet comes again.
        for _ in 0..10_000 {
            if left.is_empty() {
                break;
            }
            let at = random.below(left.len());
            for event in ends.says(vec![data(1, left[at], size)]) {
                if let Event::Data(data) = event {
                    assert_eq!(data.offset, left[at]);
                    found[data.offset as usize..][..data.bytes.len()].copy_from_slice(&data.bytes);
                    left.remove(at);
                    break;
                }
            }
        }
        assert!(left.is_empty() && found == bytes(0, size, size), "{size}");
    }
}

#[test]
fn holes_in_media_are_asked_for_in_either_message() {
    for vars in [&[("resend", "8800")], &[("resend", "8003")]] {
        let ends = Ends::pull(vars, SIZE);
        ends.says(vec![data(1, 0, SIZE), data(2, PIECE, SIZE)]);
        let need =
            |start: u64, end: u64| Command::Need(Want { tag: 0, span: Span::new(start, end), limit: PIECE as u32 });
        assert_eq!(ends.hears(vec![need(PIECE * 5, PIECE * 9)]), [need(PIECE * 5, PIECE * 9)]);
        // A hole that is not on the grid brings whole packets.
        assert_eq!(ends.hears(vec![need(PIECE * 5 + 9, PIECE * 6 + 1)]), [need(PIECE * 5, PIECE * 7)]);
        assert_eq!(ends.hears(vec![need(0, u64::MAX)]), [need(0, SIZE)]);
    }
}

#[test]
fn a_terminal_is_asked_for_media_and_sends_them_or_says_that_it_cannot() {
    for request in ["photo", "stored"] {
        let vars = [("request", request)];
        let ends = Ends {
            platform: platform(opening(Driver::DevicePush, packhorse_codec::File::unknown(), &vars)),
            device: ends::device(Driver::DevicePush, &vars),
        };
        assert_eq!(ends.hears(vec![Command::RequestUpload(1)]), [Command::RequestUpload(0)]);
        let none = Event::Outcome(Outcome { verdict: Verdict::Refused, text: Text::new("", "no such file") });
        let heard = ends.says(vec![none]);
        assert!(matches!(heard[..], [Event::Outcome(Outcome { verdict: Verdict::Refused, .. })]), "{heard:?}");
        assert_eq!(ends.hears(vec![Command::RequestUpload(2)]), [Command::RequestUpload(0)]);
        let heard = ends.says(vec![start(10)]);
        assert!(matches!(heard[..], [Event::StartUpload(_)]), "the answer to the wish says nothing: {heard:?}");
        assert_eq!(ends.hears(vec![Command::RequestUpload(3)]), [], "it said yes");
    }
}

#[test]
fn media_that_could_not_be_used_are_answered_so() {
    let ends = Ends::pull(&[], SIZE);
    ends.says(vec![data(1, 0, SIZE)]);
    let bad = Command::Outcome(Outcome { verdict: Verdict::BadSize, text: Text::new("", "") });
    let text = Text::new("1", "the platform could not use the media");
    assert_eq!(ends.hears(vec![bad]), [Command::Outcome(Outcome { verdict: Verdict::Failed, text })]);
}
