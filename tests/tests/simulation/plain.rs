//! Effects that are over in a moment, as `engine::world` carries them out, on the simulated services.

use crate::ground::{Origin, Stop};
use crate::mutant::Mutant;
use crate::outside::Outside;
use packhorse::bus::Message;
use packhorse_core::effect::{Effect, MessageReply, MqttRequest, Outcome, PublishRequest, Reply};
use packhorse_core::failure::{Class, Failure};
use packhorse_core::file::FileRef;
use packhorse_core::run::{EffectId, WallTime};

/// Does it.
pub(crate) fn perform(id: &EffectId, index: usize, effect: Effect, out: &mut Outside) -> Result<Outcome, Stop> {
    match effect {
        Effect::Transfer(_) => Err(Stop::Wrong("a transfer came as a plain effect".to_owned())),
        Effect::Kv(request) => {
            out.oracle.keyed(id, &request)?;
            let done = out.files.operate(request, WallTime(out.wall_ms()));
            Ok(done
                .map(|value| Reply::Value { value })
                .map_err(|error| Failure::new("PH7001", Class::Permanent, error.to_string())))
        }
        Effect::Upload { file, .. } => upload(file, out),
        Effect::Publish(request) => publish(index, request, out).map(|()| Ok(Reply::Done)),
        Effect::Request(request) => ask(id, index, request, out),
        Effect::BlobInfo { uri } => Ok(out.files.open(&uri, &mut out.ground).map(|stored| Reply::Info {
            size: stored.bytes.len() as u64,
            crc32: None,
            created: None,
        })),
        Effect::BlobDelete { uri } => {
            out.files.stored.remove(&uri);
            Ok(Ok(Reply::Done))
        }
        Effect::Digest { file } => Ok(out.files.open(&file.uri, &mut out.ground).map(|stored| Reply::Digests {
            size: stored.bytes.len() as u64,
            md5: stored.md5,
            sha256: stored.sha256,
        })),
        Effect::Download { file, .. } => Ok(out.files.open(&file.uri, &mut out.ground).map(|_| Reply::Done)),
        Effect::Wait(_)
        | Effect::BlobPut { .. }
        | Effect::BlobAppend { .. }
        | Effect::BlobRead { .. }
        | Effect::PluginRun(_) => Err(Stop::Wrong("no workflow of these worlds asks for that".to_owned())),
        Effect::Log { message, fields, .. } => {
            let mut line = format!("{message} {fields:?}");
            if out.ground.is(Mutant::LogsSecret) {
                line.push_str(&out.oracle.canary);
            }
            out.oracle.said(&line)?;
            Ok(Ok(Reply::Done))
        }
    }
}

/// Stores a file, or finds it stored already; the process may die between any two of its parts.
fn upload(file: FileRef, out: &mut Outside) -> Result<Outcome, Stop> {
    if file.uri.starts_with("fastdfs:") {
        return Ok(Ok(Reply::Stored { file }));
    }
    let key = format!("\u{1}file:sha256:{}", file.sha256);
    if let Some(uri) = out.files.value(&key)
        && out.files.stored.get(&uri).is_some_and(|stored| stored.bytes.len() as u64 == file.size)
    {
        return Ok(Ok(Reply::Stored { file: FileRef { uri, ..file } }));
    }
    let Some(local) = out.files.local.get(&file.uri).cloned() else {
        return Ok(Err(Failure::new("PH4013", Class::Permanent, format!("cannot read {}", file.uri))));
    };
    out.ground.boundary("before an upload")?;
    let uri = match out.files.put(&local.bytes, false, &mut out.ground) {
        Ok(uri) => uri,
        Err(failure) => return Ok(Err(failure)),
    };
    out.oracle.uploaded(&uri);
    out.ground.boundary("after an upload")?;
    out.files.remember(key, uri.clone());
    out.ground.boundary("an upload is remembered")?;
    let file = FileRef { uri, ..file };
    match out.files.stored.get(&file.uri) {
        Some(stored) if stored.sha256 == file.sha256 => Ok(Ok(Reply::Stored { file })),
        _ => Err(Stop::Wrong(format!("O1: an upload gave {}, which is not {}", file.uri, file.name))),
    }
}

fn publish(index: usize, request: PublishRequest, out: &mut Outside) -> Result<(), Stop> {
    out.publish(Message::new(request.topic, request.payload), Origin::Session { run: index, epoch: 0, at: 0 })
}

/// A service answers with what it was asked; sometimes nobody does.
fn ask(id: &EffectId, index: usize, request: MqttRequest, out: &mut Outside) -> Result<Outcome, Stop> {
    let mut payload = request.publish.payload.clone();
    publish(index, request.publish, out)?;
    if out.ground.chance.hit(0.1) && !out.oracle.healed {
        return Ok(Err(Failure::new("PH5301", Class::Transient, format!("no answer on {}", request.reply_topic))));
    }
    if out.ground.is(Mutant::WrongReply)
        && let Some(other) = out.oracle.runs.iter().find(|run| run.created.run != id.run)
    {
        payload = other.created.run.as_str().as_bytes().to_vec();
    }
    Ok(Ok(Reply::Message(MessageReply { topic: request.reply_topic, payload })))
}
