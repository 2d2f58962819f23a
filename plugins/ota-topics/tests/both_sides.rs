//! Every word that the scheme has goes through one side and comes out of the other with the same meaning.

use ota_topics::{OtaTopicsDevice, OtaTopicsPlatform};
use packhorse_codec::testing::{DeviceEnd, Hostile, PlatformEnd, mangled, transfer};
use packhorse_codec::{
    Algorithm, Command, Digest, Driver, Event, Fault, Faulted, File, Finish, Hello, Incoming, Offer, Outcome, Outgoing,
    Phase, Progress, Text, Transfer, Verdict,
};

const SIZE: u64 = 100_000;

struct Pair {
    platform: PlatformEnd<OtaTopicsPlatform>,
    device: DeviceEnd<OtaTopicsDevice>,
}

fn file(random: &mut Hostile) -> File {
    let version = format!("1.{}", random.below(1_000));
    let (md5, sha256) = (random.bytes(16), random.bytes(32));
    File {
        name: format!("fw \"{}\" é", random.below(1_000)),
        size: Some(random.next() >> random.below(64)),
        digests: vec![Digest::new(Algorithm::Md5, md5), Digest::new(Algorithm::Sha256, sha256)],
        meta: vec![("version".into(), version)],
    }
}

fn opening(file: &File, epoch: u32) -> Transfer {
    Transfer { epoch, ..transfer(Driver::DevicePull, file.clone()) }
}

fn arrived(messages: Vec<Outgoing>) -> Vec<Incoming> {
    messages.into_iter().map(|Outgoing { route, payload, more, .. }| Incoming { route, payload, more }).collect()
}

impl Pair {
    fn open(file: &File) -> Self {
        Self {
            platform: PlatformEnd::open(opening(file, 7)).expect("the opening is complete"),
            device: DeviceEnd::open(opening(&File::unknown(), 1)).expect("a device opens"),
        }
    }

    fn offered(file: &File) -> Self {
        let pair = Self::open(file);
        assert_eq!(pair.to_device(vec![offer(0, file)]), [offer(0, file)]);
        pair
    }

    fn to_device(&self, commands: Vec<Command>) -> Vec<Command> {
        let encoded = self.platform.encode(commands);
        let decoded = self.device.decode(arrived(encoded.messages));
        assert_eq!((encoded.faults, decoded.faults), (vec![], vec![]));
        decoded.commands
    }

    fn to_platform(&self, events: Vec<Event>) -> Vec<Event> {
        let encoded = self.device.encode(events);
        let decoded = self.platform.decode(arrived(encoded.messages));
        assert_eq!((encoded.faults, decoded.faults), (vec![], vec![]));
        decoded.events
    }
}

fn offer(tag: u64, file: &File) -> Command {
    Command::Offer(Offer { tag, file: file.clone(), url: "http://files/x?a=\"b\"&c=\\".into() })
}

fn outcome(verdict: Verdict, code: &str, message: &str) -> Event {
    Event::Outcome(Outcome { verdict, text: Text::new(code, message) })
}

fn progress(phase: Phase, done: Option<u64>, total: Option<u64>) -> Event {
    Event::Progress(Progress { phase, done, total })
}

fn some_file() -> File {
    File { size: Some(SIZE), ..file(&mut Hostile::new(3)) }
}

#[test]
fn offers_reach_the_device_as_they_were_made() {
    let mut random = Hostile::new(1);
    for tag in 0..50_000 {
        let file = file(&mut random);
        let pair = Pair::open(&file);
        assert_eq!(pair.to_platform(vec![Event::AskOffer(tag)]), [Event::AskOffer(0)]);
        assert_eq!(pair.to_device(vec![offer(0, &file)]), [offer(tag, &file)]);
    }
}

#[test]
fn progress_reaches_the_platform_as_it_was_told() {
    let phases = [Phase::Downloading, Phase::Downloaded, Phase::Installing, Phase::SelfTest, Phase::Rebooting];
    let pair = Pair::offered(&some_file());
    let mut random = Hostile::new(2);
    for _ in 0..50_000 {
        let (phase, done) = (phases[random.below(5)], Some(random.next() >> random.below(64)));
        let heard = pair.to_platform(vec![progress(phase, done, None)]);
        assert_eq!(heard, [progress(phase, done, Some(SIZE))]);
    }
}

#[test]
fn a_good_end_carries_the_digests_that_were_verified() {
    let mut random = Hostile::new(4);
    for _ in 0..5_000 {
        let file = file(&mut random);
        let pair = Pair::offered(&file);
        let heard = pair.to_platform(vec![outcome(Verdict::Good, "", "")]);
        let finish = Event::Finish(Finish { tag: 0, size: None, digests: file.digests.clone() });
        let verified = progress(Phase::Verified, file.size, file.size);
        assert_eq!(heard, [verified, finish, outcome(Verdict::Good, "success", "")]);
    }
}

#[test]
fn whatever_digest_a_device_computes_only_ours_is_a_success() {
    let file = some_file();
    let mut random = Hostile::new(5);
    for _ in 0..20_000 {
        let pair = Pair::offered(&file);
        let mut told = file.digests.clone();
        let at = random.below(2);
        let flipped = random.below(told[at].value.len());
        told[at].value[flipped] ^= 1 << random.below(8);
        told.swap(0, random.below(2));
        told.truncate(1 + random.below(2));
        let ours = told.iter().all(|digest| file.digests.contains(digest));
        let heard = pair.to_platform(vec![Event::Finish(Finish { tag: 0, size: Some(SIZE), digests: told })]);
        let verified = matches!(&heard[0], Event::Progress(progress) if progress.phase == Phase::Verified);
        let failed = matches!(&heard[0], Event::Retrying(outcome) if outcome.verdict == Verdict::BadDigest);
        assert!(verified == ours && failed != ours, "{heard:?}");
    }
}

#[test]
fn verdicts_keep_their_meaning_and_fail_after_three_retries() {
    for (verdict, code) in [
        (Verdict::BadDigest, "digest"),
        (Verdict::BadSize, "size"),
        (Verdict::DeviceFull, "storage"),
        (Verdict::Failed, "network"),
    ] {
        let file = some_file();
        let pair = Pair::offered(&file);
        for _ in 0..3 {
            let said = [outcome(verdict, code, "why"), outcome(verdict, code, "why")];
            let again = Event::Retrying(Outcome { verdict, text: Text::new(code, "why") });
            let heard = pair.to_platform(said.to_vec());
            assert_eq!(heard, [again, Event::AskOffer(0), Event::AskOffer(0)], "said twice, it counts once");
            assert_eq!(pair.to_device(vec![offer(0, &file), offer(0, &file)]).len(), 2);
        }
        let heard = pair.to_platform(vec![outcome(verdict, code, "why")]);
        assert_eq!(heard[1..], [outcome(verdict, code, "4 downloads failed, the last one: why")]);
    }
}

#[test]
fn a_device_that_will_not_is_believed_at_once() {
    for (verdict, code) in [(Verdict::Refused, "refused"), (Verdict::Cancelled, "cancelled")] {
        let heard = Pair::offered(&some_file()).to_platform(vec![outcome(verdict, "", "no")]);
        assert_eq!(heard[1..], [outcome(verdict, code, "no")]);
    }
    let gave_up = Pair::offered(&some_file()).to_platform(vec![Event::Cancel(Text::new("", "no"))]);
    assert_eq!(gave_up[1..], [outcome(Verdict::Cancelled, "cancelled", "no")]);
}

#[test]
fn a_withdrawn_offer_is_cancelled_on_the_device() {
    let heard = Pair::offered(&some_file()).to_device(vec![Command::Cancel(Text::new("x", "y"))]);
    assert!(matches!(&heard[..], [Command::Cancel(_)]));
}

#[test]
fn a_greeting_asks_for_the_offer() {
    let hello = Hello { tag: 9, title: "thermo".into(), version: "1.0".into(), meta: vec![] };
    let (file, pair) = (some_file(), Pair::open(&some_file()));
    assert_eq!(pair.to_platform(vec![Event::Hello(hello)]), [Event::AskOffer(0)]);
    assert_eq!(pair.to_device(vec![offer(0, &file)]), [offer(9, &file)]);
}

#[test]
fn a_damaged_offer_is_refused_or_still_a_whole_one() {
    let file = some_file();
    let pair = Pair::open(&file);
    let good = pair.platform.encode(vec![offer(0, &file)]).messages.remove(0);
    let mut random = Hostile::new(11);
    let (mut refused, mut told) = (0, 0);
    for _ in 0..50_000 {
        let payload = mangled(&good.payload, &mut random);
        let decoded = pair.device.decode(vec![Incoming { route: good.route, payload, more: None }]);
        refused += decoded.faults.len();
        told += decoded.commands.len();
        let whole =
            |offer: &Offer| offer.file.size.is_some() && !offer.url.is_empty() && !offer.file.digests.is_empty();
        assert!(decoded.commands.iter().all(|command| matches!(command, Command::Offer(offer) if whole(offer))));
        assert_eq!(decoded.faults.len() + decoded.commands.len(), 1);
    }
    assert!(refused > 10_000 && told > 1_000, "{refused} {told}");
}

#[test]
fn a_damaged_report_never_ends_well_against_the_digest() {
    let file = some_file();
    let bad = Event::Finish(Finish {
        tag: 0,
        size: Some(SIZE),
        digests: vec![Digest::new(Algorithm::Sha256, [9; 32]), Digest::new(Algorithm::Md5, [9; 16])],
    });
    let messages = Pair::offered(&file).device.encode(vec![bad]).messages;
    let mut random = Hostile::new(12);
    for round in 0..20_000 {
        let pair = Pair::offered(&file);
        let payload = mangled(&messages[0].payload, &mut random);
        let heard = pair.platform.decode(vec![Incoming { route: 4, payload, more: None }]).events;
        let good = |event: &Event| matches!(event, Event::Outcome(outcome) if outcome.verdict == Verdict::Good);
        let bare = |event: &Event| matches!(event, Event::Finish(_));
        // A damaged key is a key that is not known: a success without a digest that still names the offer is the device's word.
        assert!(!heard.iter().any(good) || !heard.iter().any(bare), "{round}: {heard:?}");
    }
}

#[test]
fn both_sides_go_on_from_what_they_saved() {
    let file = some_file();
    let pair = Pair::offered(&file);
    pair.to_platform(vec![outcome(Verdict::Failed, "", "")]);
    pair.to_device(vec![offer(0, &file)]);
    let (platform, device) = (pair.platform.save(), pair.device.save());
    assert!(platform.len() <= 4096 && device.len() <= 4096);
    let again = Pair {
        platform: PlatformEnd::open(Transfer { saved: platform.clone(), ..opening(&file, 99) }).unwrap(),
        device: DeviceEnd::open(Transfer { saved: device.clone(), ..opening(&File::unknown(), 1) }).unwrap(),
    };
    assert_eq!((again.platform.save(), again.device.save()), (platform, device));
    for _ in 2..4 {
        again.to_platform(vec![outcome(Verdict::Failed, "", "")]);
        assert_eq!(again.to_device(vec![offer(0, &file)]), [offer(0, &file)], "the same offer, under the same id");
    }
    let heard = again.to_platform(vec![outcome(Verdict::Failed, "", "")]);
    assert_eq!(heard[1..], [outcome(Verdict::Failed, "failed", "4 downloads failed, the last one")]);
    assert_eq!(again.platform.save(), [0u8; 0], "it is over");
}

#[test]
fn the_next_attempt_offers_anew_whatever_ended_the_one_before() {
    let file = some_file();
    let pair = Pair::offered(&file);
    for _ in 0..3 {
        pair.to_platform(vec![outcome(Verdict::Failed, "", "")]);
        pair.to_device(vec![offer(0, &file)]);
    }
    let saved = pair.platform.save();
    let next = Transfer { saved, attempt: 2, ..opening(&file, 99) };
    let pair = Pair { platform: PlatformEnd::open(next).unwrap(), device: pair.device };
    let late = pair.device.encode(vec![outcome(Verdict::Failed, "", "")]);
    let heard = pair.platform.decode(arrived(late.messages));
    let not_mine = [Faulted { index: 0, fault: Fault::NotMine }];
    assert_eq!((&heard.events[..], &heard.faults[..]), (&[][..], &not_mine[..]), "it is about the offer of before");
    pair.to_device(vec![offer(0, &file)]);
    let heard = pair.to_platform(vec![outcome(Verdict::Failed, "", "")]);
    assert!(matches!(&heard[..], [Event::Retrying(_), Event::AskOffer(0)]), "{heard:?}");
}

#[test]
fn an_opening_that_cannot_work_is_refused() {
    let code = |opening| PlatformEnd::<OtaTopicsPlatform>::open(opening).unwrap_err().code;
    assert_eq!(code(opening(&File { size: None, ..some_file() }, 1)), "no-size");
    assert_eq!(code(opening(&File { digests: vec![], ..some_file() }, 1)), "no-checksum");
    for saved in [vec![9], vec![1, 9], vec![2; 17], [&[1; 17][..], &[0; 9]].concat()] {
        assert_eq!(code(Transfer { saved: saved.clone(), ..opening(&some_file(), 1) }), "saved");
        let device = DeviceEnd::<OtaTopicsDevice>::open(Transfer { saved, ..opening(&File::unknown(), 1) });
        assert_eq!(device.unwrap_err().code, "saved");
    }
}
