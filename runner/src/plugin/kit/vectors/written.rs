//! The other way round: words, messages and sessions as a vectors file writes them. What is empty or 0 is left out.

use packhorse_core::transfer::{
    Command, Data, Digest, Event, Fault, Faulted, FileInfo, Finish, Incoming, More, Opening, Outcome, Outgoing, Pairs,
    Span, Sum, Text, Want,
};
use serde_json::{Map, Value, json};

use super::super::super::describe::driver_name;
use super::super::super::host::hex;
use super::Side;

/// A case, to be filled with steps.
pub fn case(name: &str, side: Side, opening: &Opening, steps: Vec<Value>) -> Value {
    let side = if side == Side::Platform { "platform" } else { "device" };
    json!({ "name": name, "side": side, "open": open(opening), "steps": steps })
}

/// A whole file.
pub fn vectors(codec: &str, cases: Vec<Value>) -> Value {
    json!({ "codec": codec, "cases": cases })
}

fn open(opening: &Opening) -> Value {
    let direction = serde_json::to_value(opening.direction).unwrap_or_default();
    let done: Vec<Value> = opening.done.iter().map(|done| span(*done)).collect();
    object([
        ("direction", direction),
        ("driver", json!(driver_name(opening.driver))),
        ("device", json!(opening.device)),
        ("file", file(&opening.file)),
        ("packet_size", json!(opening.packet_size)),
        ("epoch", json!(opening.epoch)),
        ("attempt", json!(opening.attempt)),
        ("started_at", json!(opening.started_at)),
        ("vars", pairs(&opening.vars)),
        ("done", json!(done)),
        ("saved", json!(hex(&opening.saved))),
    ])
}

/// A message that arrives.
pub fn incoming(message: &Incoming) -> Value {
    wire(message.route, &message.payload, message.more.as_ref(), None)
}

/// A message that was made.
pub fn outgoing(message: &Outgoing) -> Value {
    wire(message.route, &message.payload, message.more.as_ref(), Some(message.cause))
}

fn wire(route: u16, payload: &[u8], more: Option<&More>, cause: Option<u16>) -> Value {
    let text = std::str::from_utf8(payload).ok().filter(|text| !text.is_empty() && !text.contains(char::is_control));
    let mut fields = Map::new();
    fields.insert("route".to_owned(), json!(route));
    match text {
        Some(text) => fields.insert("text".to_owned(), json!(text)),
        None => fields.insert("hex".to_owned(), json!(hex(payload))),
    };
    if let Some(more) = more {
        fields.extend(entries([
            ("captures", json!(more.captures)),
            ("response_topic", json!(more.response_topic)),
            ("correlation", json!(more.correlation.as_ref().map(|bytes| hex(bytes)))),
            ("content_type", json!(more.content_type)),
            ("user", pairs(&more.user)),
        ]));
    }
    fields.extend(cause.map(|cause| ("cause".to_owned(), json!(cause))));
    Value::Object(fields)
}

/// A fault.
pub fn fault(faulted: &Faulted) -> Value {
    let (kind, words) = match &faulted.fault {
        Fault::NotMine => ("not_mine", json!(true)),
        Fault::Malformed(words) => ("malformed", json!(words)),
        Fault::Unsupported => ("unsupported", json!(true)),
        Fault::Fatal(words) => ("fatal", json!(words.message)),
    };
    json!({ "index": faulted.index, kind: words })
}

/// A word of the device.
pub fn event(event: &Event) -> Value {
    match event {
        Event::Hello(hello) => json!({ "hello": object([
            ("tag", json!(hello.tag)),
            ("title", json!(hello.title)),
            ("version", json!(hello.version)),
            ("meta", pairs(&hello.meta)),
        ]) }),
        Event::AskOffer(tag) => json!({ "ask_offer": tag }),
        Event::StartUpload(start) => json!({ "start_upload": object([
            ("tag", json!(start.tag)),
            ("file", file(&start.file)),
            ("resume_key", json!(start.resume_key)),
        ]) }),
        Event::Want(asked) => json!({ "want": want(asked) }),
        Event::Data(given) => json!({ "data": data(given) }),
        Event::Ack(acked) => json!({ "ack": span(*acked) }),
        Event::AckThrough(offset) => json!({ "ack_through": offset }),
        Event::Missing(missing) => json!({ "missing": span(*missing) }),
        Event::Progress(progress) => json!({ "progress": object([
            ("phase", json!(progress.phase)),
            ("done", json!(progress.done)),
            ("total", json!(progress.total)),
        ]) }),
        Event::Finish(Finish { tag, size, digests }) => json!({ "finish": object([
            ("tag", json!(tag)),
            ("size", json!(size)),
            ("digests", self::digests(digests)),
        ]) }),
        Event::Outcome(ended) => json!({ "outcome": outcome(ended) }),
        Event::Retrying(ended) => json!({ "retrying": outcome(ended) }),
        Event::Cancel(words) => json!({ "cancel": text(words) }),
        Event::Pause(millis) => json!({ "pause": millis }),
    }
}

/// A word of the host.
pub fn command(command: &Command) -> Value {
    match command {
        Command::Offer(offer) => json!({ "offer": object([
            ("tag", json!(offer.tag)),
            ("file", file(&offer.file)),
            ("url", json!(offer.url)),
        ]) }),
        Command::Accept(accept) => json!({ "accept": object([
            ("tag", json!(accept.tag)),
            ("upload_id", json!(accept.upload_id)),
            ("resume_at", json!(accept.resume_at)),
        ]) }),
        Command::Refuse(refuse) => json!({ "refuse": object([
            ("tag", json!(refuse.tag)),
            ("code", json!(refuse.text.code)),
            ("message", json!(refuse.text.message)),
        ]) }),
        Command::Chunk(chunk) => {
            let mut fields = piece(chunk.tag, chunk.offset, &chunk.bytes);
            fields.extend(chunk.last.then(|| ("last".to_owned(), json!(true))));
            json!({ "chunk": fields })
        }
        Command::Ack(receipt) => {
            json!({ "ack": { "tag": receipt.tag, "span": span(receipt.span), "good": receipt.good } })
        }
        Command::Need(asked) => json!({ "need": want(asked) }),
        Command::RequestUpload(tag) => json!({ "request_upload": tag }),
        Command::Query(tag) => json!({ "query": tag }),
        Command::Outcome(ended) => json!({ "outcome": outcome(ended) }),
        Command::Cancel(words) => json!({ "cancel": text(words) }),
        Command::Pause(millis) => json!({ "pause": millis }),
    }
}

fn data(data: &Data) -> Map<String, Value> {
    let mut fields = piece(data.tag, data.offset, &data.bytes);
    let sum = match data.sum {
        Sum::Absent => None,
        Sum::Good => Some("good"),
        Sum::Bad => Some("bad"),
    };
    fields.extend(sum.map(|sum| ("sum".to_owned(), json!(sum))));
    fields.extend(data.last.then(|| ("last".to_owned(), json!(true))));
    fields
}

fn piece(tag: u64, offset: u64, bytes: &[u8]) -> Map<String, Value> {
    let mut fields: Map<String, Value> = entries([("tag", json!(tag))]).collect();
    fields.insert("offset".to_owned(), json!(offset));
    fields.insert("bytes".to_owned(), json!(hex(bytes)));
    fields
}

fn want(want: &Want) -> Value {
    json!({ "tag": want.tag, "span": span(want.span), "limit": want.limit })
}

fn outcome(outcome: &Outcome) -> Value {
    let verdict = serde_json::to_value(outcome.verdict).unwrap_or_default();
    object([("verdict", verdict), ("code", json!(outcome.text.code)), ("message", json!(outcome.text.message))])
}

fn text(text: &Text) -> Value {
    json!({ "code": text.code, "message": text.message })
}

fn span(span: Span) -> Value {
    json!([span.start, span.end])
}

fn file(file: &FileInfo) -> Value {
    object([
        ("name", json!(file.name)),
        ("size", json!(file.size)),
        ("digests", digests(&file.digests)),
        ("meta", pairs(&file.meta)),
    ])
}

fn digests(digests: &[Digest]) -> Value {
    let named = |digest: &Digest| {
        let name = serde_json::to_value(digest.algorithm).ok()?.as_str()?.to_owned();
        Some((name, json!(hex(&digest.value))))
    };
    Value::Object(digests.iter().filter_map(named).collect())
}

fn pairs(pairs: &Pairs) -> Value {
    Value::Object(pairs.iter().map(|(name, value)| (name.clone(), json!(value))).collect())
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Object(entries(fields).collect())
}

/// Those that say something.
fn entries<const N: usize>(fields: [(&str, Value); N]) -> impl Iterator<Item = (String, Value)> {
    let says = |value: &Value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        // A size of 0 is one; a tag of 0 is none, and is what a tag is that is left out.
        Value::Number(_) | Value::Bool(_) => true,
    };
    fields.into_iter().filter(move |(_, value)| says(value)).map(|(name, value)| (name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::super::{Call, read};
    use super::*;
    use packhorse_core::transfer::{Algorithm, Chunk, Direction, Driver, StartUpload, Verdict};

    #[test]
    fn what_is_written_is_read_as_it_was() {
        let digest = |algorithm| Digest { algorithm, value: vec![1, 2] };
        let digests = vec![digest(Algorithm::Md5), digest(Algorithm::Crc64Ecma), digest(Algorithm::Murmur3X8632)];
        let meta = vec![("version".to_owned(), "1".to_owned())];
        let file = FileInfo { name: "x \"y\": z".to_owned(), size: Some(0), digests, meta };
        let opening = Opening {
            direction: Direction::Pull,
            driver: Driver::DevicePush,
            device: "dev-9".to_owned(),
            file: file.clone(),
            packet_size: 7,
            epoch: 5,
            attempt: 2,
            started_at: 1_790_000_000,
            done: vec![Span::new(3, 9)],
            vars: vec![("id".to_owned(), "007".to_owned())],
            saved: vec![0xff, 0],
        };
        let messages = [b"{\"a\":1}".to_vec(), vec![0, 255], Vec::new()];
        let messages = messages.map(|payload| Incoming { route: 2, payload, more: None });
        let data = Data { tag: 0, offset: 5, bytes: vec![9], sum: Sum::Good, last: true };
        let events = [
            Event::StartUpload(StartUpload { tag: 1, file, resume_key: String::new() }),
            Event::Data(data),
            Event::Ack(Span::new(0, u64::MAX)),
            Event::Missing(Span::new(1, 2)),
            Event::Retrying(Outcome { verdict: Verdict::BadSize, text: Text::default() }),
        ];
        let chunk = Command::Chunk(Chunk { tag: 3, offset: 0, bytes: Vec::new(), last: false });
        let faults = [Faulted { index: 1, fault: Fault::Malformed("why".to_owned()) }];
        let steps = vec![
            json!({
                "decode": messages.iter().map(incoming).collect::<Vec<_>>(),
                "events": events.iter().map(event).collect::<Vec<_>>(),
                "faults": faults.iter().map(fault).collect::<Vec<_>>(),
            }),
            json!({ "encode": [command(&chunk)] }),
        ];
        let whole = vectors("some", vec![case("one", Side::Platform, &opening, steps)]);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("v.yaml");
        std::fs::write(&path, serde_yaml::to_string(&whole).unwrap()).unwrap();
        let back = read(&path).unwrap();
        assert_eq!(back.cases[0].opening, opening);
        let [decode, encode] = &back.cases[0].steps[..] else { panic!("{back:?}") };
        let Call::Decode { batch, events: read, faults: wanted, .. } = &decode.call else { panic!("{decode:?}") };
        assert_eq!(batch.iter().map(|message| message.0.clone()).collect::<Vec<_>>(), messages);
        assert_eq!(read[..], events);
        assert!(wanted[0].is(&faults[0].fault));
        assert!(matches!(&encode.call, Call::Encode { batch, .. } if batch[..] == [chunk]));
    }
}
