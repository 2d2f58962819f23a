//! A second opinion: the encoders and decoders of the crate `rustot`, an update agent for devices that shares no code with this codec.
//! Requests that it writes must mean the same here, and it must read the same out of every answer.
//!
//! 2 000 messages; `PACKHORSE_FULL=1` makes it 100 000.

use std::collections::BTreeSet;
use std::ops::DerefMut as _;

use aws_iot_streams::AwsPlatform;
use packhorse_codec::testing::{Hostile, PlatformEnd, transfer};
use packhorse_codec::{
    Algorithm, Chunk, Command, Digest, Driver, Event, File, Incoming, More, Offer, Outcome, Outgoing, Transfer,
    Verdict, Want,
};
use rustot::jobs::data_types::{
    DescribeJobExecutionResponse, ErrorResponse, JobStatus, NextJobExecutionChanged,
    StartNextPendingJobExecutionResponse, UpdateJobExecutionResponse,
};
use rustot::jobs::{Jobs, StatusDetailsOwned};
use rustot::ota::encoding::Bitmap;
use rustot::ota::encoding::cbor::{GetStreamRequest, GetStreamResponse, StreamError, to_slice};
use rustot::ota::encoding::json::OtaJob;
use serde::Deserialize;

const NOTIFY_NEXT: u16 = 0;
const START_NEXT: u16 = 10;
const GET: u16 = 11;
const UPDATE: u16 = 12;
const GET_STREAM: u16 = 14;
const THING: &str = "dev-1";

/// Job documents as rustot's agent reads them.
#[derive(Debug, Deserialize)]
enum Document<'a> {
    #[serde(rename = "afr_ota", borrow)]
    Ota(OtaJob<'a>),
}

fn count() -> usize {
    if std::env::var("PACKHORSE_FULL").is_ok_and(|full| full == "1") { 100_000 } else { 2_000 }
}

/// A platform with a file, and what is known of it.
struct Served {
    platform: PlatformEnd<AwsPlatform>,
    size: u64,
    stream: String,
}

impl Served {
    fn new(random: &mut Hostile, vars: &[(&str, &str)]) -> Self {
        let size = 1 + random.next() % (8 << 20);
        let md5 = random.bytes(16);
        let stream = format!("AFR_OTA-{}", packhorse_codec::hex::encode(&md5));
        let meta = vec![("signature".into(), "MEQCIF".into())];
        let digests = vec![Digest::new(Algorithm::Md5, md5)];
        let file = File { name: "app.bin".into(), size: Some(size), digests, meta };
        let vars = vars.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let epoch = random.next() as u32;
        let opening = Transfer { vars, epoch, started_at: 1_790_000_000, ..transfer(Driver::DevicePull, file) };
        Self { platform: PlatformEnd::open(opening).expect("everything is known"), size, stream }
    }

    fn hears(&self, route: u16, captures: &[&str], payload: &[u8]) -> (Vec<Event>, Vec<Outgoing>) {
        let captures: Vec<String> = captures.iter().map(|capture| (*capture).to_owned()).collect();
        let more = (!captures.is_empty()).then(|| More { captures, ..More::captures([]) });
        let decoded = self.platform.decode(vec![Incoming { route, payload: payload.to_vec(), more }]);
        assert_eq!(decoded.faults, []);
        (decoded.events, decoded.replies)
    }

    fn says(&self, command: Command) -> Outgoing {
        let encoded = self.platform.encode(vec![command]);
        assert_eq!((encoded.messages.len(), encoded.faults), (1, vec![]));
        encoded.messages.into_iter().next().expect("one message")
    }

    fn offer(&self, tag: u64) -> Outgoing {
        self.says(Command::Offer(Offer { tag, file: File::unknown(), url: String::new() }))
    }
}

fn json<'a, T: Deserialize<'a>>(message: &'a Outgoing) -> T {
    let read = serde_json_core::from_slice(&message.payload);
    let shown = || String::from_utf8_lossy(&message.payload).into_owned();
    let (value, length) = read.unwrap_or_else(|error| panic!("{error:?}: {}", shown()));
    assert_eq!(length, message.payload.len(), "nothing is left: {}", shown());
    value
}

/// A request by rustot's own hand: some of its blocks, by bitmap.
struct Asked {
    block: u64,
    first: u64,
    bits: BTreeSet<u64>,
    number: Option<u32>,
    token: Option<String>,
}

impl Asked {
    fn random(served: &Served, random: &mut Hostile) -> Self {
        let block = [256, 512, 1000, 2048, 4096, 16_384][random.below(6)];
        let total = served.size.div_ceil(block);
        let first = random.next() % total.min(98_304);
        // All bits that rustot ever sets, at times only some of them: what a half-filled window asks for again.
        let window = (total - first).min(31);
        let all = random.below(3) == 0;
        let mut bits: BTreeSet<u64> = (0..window).filter(|_| all || random.below(2) == 0).collect();
        bits.insert(random.next() % window);
        let number = (random.below(4) == 0).then(|| 1 + random.below((131_072 / block) as usize) as u32);
        let token = (random.below(3) > 0).then(|| format!("t{}", random.next()));
        Self { block, first, bits, number, token }
    }

    fn message(&self, served: &Served) -> Vec<u8> {
        let mut bitmap = Bitmap::new(served.size as usize, self.block as usize, self.first as u32);
        (0..32).for_each(|bit| {
            bitmap.deref_mut().set(bit, self.bits.contains(&(bit as u64)));
        });
        let request = GetStreamRequest {
            client_token: self.token.as_deref(),
            stream_version: Some(1),
            file_id: 0,
            block_size: self.block as usize,
            block_offset: Some(self.first as u32),
            block_bitmap: Some(&bitmap),
            number_of_blocks: self.number,
        };
        let mut room = [0; 128];
        let length = to_slice(&request, &mut room).expect("a request has less than 128 bytes");
        room[..length].to_vec()
    }

    /// The blocks that must come, by the rule of the developer guide.
    fn meant(&self) -> Vec<u64> {
        let most = self.number.map_or(131_072 / self.block, u64::from);
        self.bits.iter().take(most as usize).map(|bit| self.first + bit).collect()
    }
}

fn blocks(events: &[Event], block: u64) -> Vec<(u64, u64)> {
    let mut blocks = Vec::new();
    for event in events {
        let Event::Want(Want { tag, span, limit }) = event else { panic!("{event:?}") };
        assert_eq!(u64::from(*limit), block);
        blocks.extend((span.start / block..span.end.div_ceil(block)).map(|index| (*tag, index)));
    }
    blocks
}

#[test]
fn requests_for_blocks_mean_the_same_and_the_blocks_are_read_as_they_are() {
    let mut random = Hostile::new(1);
    let mut messages = 0;
    while messages < count() {
        let served = Served::new(&mut random, &[]);
        for _ in 0..20 {
            let asked = Asked::random(&served, &mut random);
            let (events, replies) = served.hears(GET_STREAM, &[&served.stream, "cbor"], &asked.message(&served));
            assert!(replies.is_empty(), "{:?}", String::from_utf8_lossy(&replies[0].payload));
            let found = blocks(&events, asked.block);
            assert_eq!(found.iter().map(|(_, index)| *index).collect::<Vec<_>>(), asked.meant());
            messages += 1;
            for (tag, index) in found {
                let offset = index * asked.block;
                let length = asked.block.min(served.size - offset);
                let bytes = random.bytes(length as usize);
                let last = offset + length == served.size;
                let mut data = served.says(Command::Chunk(Chunk { tag, offset, bytes: bytes.clone(), last })).payload;
                let read: GetStreamResponse<'_> = serde_cbor::de::from_mut_slice(&mut data).expect("rustot reads it");
                assert_eq!((read.client_token, read.file_id), (asked.token.as_deref(), 0));
                assert_eq!((read.block_id as u64, read.block_size as u64), (index, length));
                assert!(read.block_payload == bytes);
                messages += 1;
            }
        }
    }
}

#[test]
fn what_is_rejected_is_read_with_its_code() {
    let mut random = Hostile::new(2);
    let served = Served::new(&mut random, &[]);
    for number in 0..count() / 20 {
        let token = format!("t{number}");
        let total = served.size.div_ceil(256) as u32;
        let wrong = random.below(6);
        let request = GetStreamRequest {
            client_token: Some(&token),
            stream_version: Some(if wrong == 0 { 2 } else { 1 }),
            file_id: u8::from(wrong == 1),
            block_size: [256, 256, 255, 131_073, 256, 256][wrong],
            block_offset: Some(if wrong == 4 { total.max(1) } else { 0 }),
            block_bitmap: None,
            number_of_blocks: Some(if wrong == 5 { 513 } else { 1 }),
        };
        let mut room = [0; 128];
        let length = to_slice(&request, &mut room).expect("a request has less than 128 bytes");
        let (events, mut replies) = served.hears(GET_STREAM, &[&served.stream, "cbor"], &room[..length]);
        assert!(events.is_empty() && replies.len() == 1);
        let error: StreamError<'_> = serde_cbor::de::from_mut_slice(&mut replies[0].payload).expect("rustot reads it");
        let code = [
            "VersionMismatch",
            "ResourceNotFound",
            "BlockSizeOutOfBounds",
            "BlockSizeOutOfBounds",
            "OffsetOutOfBounds",
            "BlockCountLimitExceeded",
        ][wrong];
        assert_eq!((error.error_code, error.client_token), (code, Some(token.as_str())), "{}", error.error_message);
    }
}

#[test]
fn the_job_and_its_document_are_read_as_they_are() {
    let mut random = Hostile::new(3);
    let kinds = ["sig-sha256-ecdsa", "sig-sha256-rsa", "sig-sha1-ecdsa", "sig-sha1-rsa"];
    for number in 0..count() / 20 {
        let file_id = random.below(256).to_string();
        let vars = [("signature_kind", kinds[number % 4]), ("file_id", file_id.as_str()), ("cert_file", "/c.pem")];
        let served = Served::new(&mut random, &vars);
        let notice = served.offer(0);
        assert_eq!(notice.route, NOTIFY_NEXT);
        let read: NextJobExecutionChanged<'_, Document<'_>> = json(&notice);
        let execution = read.execution.expect("there is a job");
        assert_eq!((execution.status, execution.version_number), (JobStatus::Queued, 1));
        assert_eq!((execution.thing_name, execution.execution_number), (Some(THING), Some(1)));
        let Some(Document::Ota(job)) = execution.job_document else { panic!("a document") };
        let file = &job.files[0];
        assert_eq!((job.streamname, file.filesize as u64), (served.stream.as_str(), served.size));
        assert_eq!((file.filepath, file.certfile, file.fileid.to_string()), ("app.bin", "/c.pem", file_id));
        let signatures = [file.sha256_ecdsa, file.sha256_rsa, file.sha1_ecdsa, file.sha1_rsa];
        for (at, signature) in signatures.into_iter().enumerate() {
            assert_eq!(signature, (at == number % 4).then_some("MEQCIF"));
        }
    }
}

#[test]
fn questions_and_updates_mean_the_same_and_their_answers_are_read() {
    let mut random = Hostile::new(4);
    let mut messages = 0;
    while messages < count() {
        let served = Served::new(&mut random, &[]);
        let notice = served.offer(0);
        let read: NextJobExecutionChanged<'_, Document<'_>> = json(&notice);
        let job = read.execution.expect("there is a job").job_id.to_owned();
        let mut life = Life { served: &served, job: &job, version: 1, started: false };
        messages += 1;
        for _ in 0..20 {
            messages += match random.below(3) {
                0 => life.start(&mut random),
                1 => life.ask(&mut random),
                _ => life.report(&mut random),
            };
        }
        messages += life.end(&mut random);
    }
}

/// One job, as rustot drives it.
struct Life<'a> {
    served: &'a Served,
    job: &'a str,
    version: i64,
    started: bool,
}

impl Life<'_> {
    fn start(&mut self, random: &mut Hostile) -> usize {
        let token = format!("s{}", random.next());
        let (_, payload) = Jobs::start_next().client_token(&token).topic_payload(THING).expect("it fits");
        let tag = asked(&self.served.hears(START_NEXT, &[], &payload));
        self.version += i64::from(!std::mem::replace(&mut self.started, true));
        let answer = self.served.offer(tag);
        let read: StartNextPendingJobExecutionResponse<'_, Document<'_>> = json(&answer);
        let execution = read.execution.expect("there is a job");
        assert_eq!((read.client_token, execution.job_id), (token.as_str(), self.job));
        assert_eq!((execution.status, execution.version_number), (JobStatus::InProgress, self.version));
        2
    }

    fn ask(&self, random: &mut Hostile) -> usize {
        let token = format!("g{}", random.next());
        let next = random.below(2) == 0;
        let question = Jobs::describe().client_token(&token).include_job_document();
        let question = if next { question } else { question.job_id(self.job) };
        let (topic, payload) = question.topic_payload(THING).expect("it fits");
        let level = if next { "$next" } else { self.job };
        assert_eq!(topic.as_str(), format!("$aws/things/{THING}/jobs/{level}/get"));
        let tag = asked(&self.served.hears(GET, &[level], &payload));
        let answer = self.served.offer(tag);
        let read: DescribeJobExecutionResponse<'_, Document<'_>> = json(&answer);
        let execution = read.execution.expect("there is a job");
        assert_eq!((read.client_token, execution.job_id), (Some(token.as_str()), self.job));
        assert_eq!((execution.version_number, execution.job_document.is_some()), (self.version, true));
        2
    }

    fn report(&mut self, random: &mut Hostile) -> usize {
        let token = format!("u{}", random.next());
        let (total, late) = (1 + random.below(999), random.below(5) == 0);
        let done = random.below(total + 1);
        let mut details = StatusDetailsOwned::new();
        let progress = format!("{done}/{total}");
        details.insert("progress".into(), progress.as_str().into()).expect("there is room");
        details.insert("self_test".into(), "receiving".into()).expect("there is room");
        let expected = if late { self.version + 1 } else { self.version };
        let update = Jobs::update(self.job, JobStatus::InProgress).status_details(&details).client_token(&token);
        let update = update.expected_version(expected).include_job_execution_state();
        let (_, payload) = update.topic_payload(THING).expect("it fits");
        let (events, replies) = self.served.hears(UPDATE, &[self.job], &payload);
        if late {
            let read: ErrorResponse<'_> = json(&replies[0]);
            assert!(events.is_empty() && format!("{read:?}").contains("VersionMismatch"));
            assert_eq!(read.client_token, Some(token.as_str()));
            assert_eq!(read.execution_state.map(|state| state.version_number), Some(self.version));
            return 2;
        }
        (self.version, self.started) = (self.version + 1, true);
        let [Event::Progress(heard)] = events[..] else { panic!("{events:?}") };
        let bytes = u128::from(self.served.size) * done as u128 / total as u128;
        assert_eq!((heard.done.map(u128::from), heard.total), (Some(bytes), Some(self.served.size)));
        let read: UpdateJobExecutionResponse<'_, Document<'_>> = json(&replies[0]);
        let state = read.execution_state.expect("it was asked for");
        assert_eq!((read.client_token, state.version_number), (token.as_str(), self.version));
        let told = state.status_details.expect("they were given");
        assert_eq!((told.get("progress").copied(), told.len()), (Some(progress.as_str()), 2));
        2
    }

    fn end(self, random: &mut Hostile) -> usize {
        let (status, meant) = [
            (JobStatus::Succeeded, Verdict::Good),
            (JobStatus::Failed, Verdict::Failed),
            (JobStatus::Rejected, Verdict::Refused),
        ][random.below(3)];
        let end = || Jobs::update(self.job, status).client_token("end").topic_payload(THING).expect("it fits").1;
        let (events, replies) = self.served.hears(UPDATE, &[self.job], &end());
        assert!(matches!(&events[..], [Event::Outcome(Outcome { verdict, .. })] if *verdict == meant), "{events:?}");
        let read: UpdateJobExecutionResponse<'_, Document<'_>> = json(&replies[0]);
        assert_eq!(read.client_token, "end");
        let next: NextJobExecutionChanged<'_, Document<'_>> = json(&replies[1]);
        assert!(next.execution.is_none(), "nothing is next");
        let (events, replies) = self.served.hears(UPDATE, &[self.job], &end());
        let read: ErrorResponse<'_> = json(&replies[0]);
        assert!(events.is_empty() && format!("{read:?}").contains("InvalidStateTransition"));
        5
    }
}

fn asked((events, replies): &(Vec<Event>, Vec<Outgoing>)) -> u64 {
    let ([Event::AskOffer(tag)], []) = (&events[..], &replies[..]) else { panic!("{events:?} {replies:?}") };
    *tag
}
