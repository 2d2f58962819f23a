//! From what was asked for to the plan of a transfer and an open codec.

use super::channel::Channel;
use super::codec::{Codec, refused};
use super::order::Kept;
use super::settle::{packet, piece_limit, settle};
use crate::plugin::Plugin;
use packhorse_core::effect::{TransferRequest, TransferTask};
use packhorse_core::failure::{Class, Failure};
use packhorse_core::file::FileRef;
use packhorse_core::hex;
use packhorse_core::transfer::{
    Algorithm, Checkpoint, Digest, Direction, FileInfo, Flow, Intervals, Mode, Opening, Pairs, Plan,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a transfer begins with.
#[derive(Debug)]
pub struct Beginning<'a> {
    /// What the workflow asked for.
    pub request: &'a TransferRequest,
    /// The codec, pinned by the run.
    pub plugin: &'a Arc<Plugin>,
    /// Variables for the codec.
    pub vars: &'a Pairs,
    /// Of this session.
    pub epoch: u32,
    /// Of the step, from 1 on.
    pub attempt: u32,
    /// What this session's codec is told of the date: Unix seconds.
    pub started_at: u64,
    /// Of an earlier attempt: [`Kept`] as bytes.
    pub checkpoint: Option<&'a [u8]>,
    /// Which way.
    pub direction: Direction,
    /// What travels, as far as it is known.
    pub file: FileInfo,
    /// Pull: what the spool holds. It counts, whatever the checkpoint says.
    pub held: Option<Intervals>,
    /// The broker's maximum packet size.
    pub broker: Option<u32>,
}

/// What machine and loop start from.
#[derive(Debug)]
pub struct Begun {
    /// The codec's mode.
    pub mode: Mode,
    /// For the machine.
    pub plan: Plan,
    /// For the machine.
    pub checkpoint: Option<Checkpoint>,
    /// Open.
    pub codec: Codec,
    /// Not subscribed yet.
    pub channel: Channel,
    /// Bytes of the largest packet that this end sends with file bytes in it (0 where it sends none), and whether that cannot be
    /// another one in the next attempt.
    pub packet: (u64, bool),
}

/// Settles the plan and opens the codec.
pub fn begin(beginning: Beginning<'_>) -> Result<Begun, Failure> {
    let Beginning { request, plugin, vars, epoch, direction, file, .. } = beginning;
    let mode = mode(plugin, direction)?;
    let routes = plugin.routes(&request.device, vars).map_err(|error| refused(&error))?;
    let topic = Channel::new(Arc::new(routes), Flow::FromDevice).longest_topic();
    let settled = settle(request, &mode, topic, beginning.broker)?;
    let (checkpoint, saved) = kept(beginning.checkpoint, beginning.held);
    let packet_size = checkpoint.as_ref().filter(|_| mode.grid).map_or(settled.packet_size, |kept| kept.packet_size);
    let mut plan = Plan::new(mode.clone(), request.device.clone(), file.clone());
    (plan.packet_size, plan.window, plan.epoch) = (packet_size, settled.window, epoch);
    plan.piece_limit = piece_limit(request, &mode, topic, beginning.broker);
    (plan.rate, plan.seed) = (request.rate, u64::from(epoch));
    let opening = Opening {
        direction,
        driver: mode.driver,
        device: request.device.clone(),
        file,
        packet_size,
        epoch,
        attempt: beginning.attempt,
        started_at: beginning.started_at,
        done: checkpoint.as_ref().map(|kept| kept.done.iter().collect()).unwrap_or_default(),
        vars: vars.clone(),
        saved,
    };
    let codec = Codec::open(Arc::clone(plugin), opening)?;
    let channel = Channel::new(Arc::clone(codec.routes()), Flow::FromDevice);
    let sends = matches!(request.task, TransferTask::Push { .. });
    let packet = if sends { packet(&mode, packet_size, topic) } else { 0 };
    let fixed = mode.grid || request.packet_size.is_some();
    Ok(Begun { mode, plan, checkpoint, codec, channel, packet: (packet, fixed) })
}

/// The checkpoint of an earlier attempt, with what the spool holds by now.
fn kept(checkpoint: Option<&[u8]>, held: Option<Intervals>) -> (Option<Checkpoint>, Vec<u8>) {
    let kept = checkpoint.and_then(Kept::read);
    let Some((mut checkpoint, kept)) = kept.and_then(|kept| Some((kept.checkpoint()?, kept))) else {
        return (None, Vec::new());
    };
    if let Some(held) = held {
        checkpoint.done = held;
    }
    (Some(checkpoint), kept.saved)
}

fn mode(plugin: &Plugin, direction: Direction) -> Result<Mode, Failure> {
    plugin.description().mode(direction).cloned().ok_or_else(|| {
        let way = if direction == Direction::Push { "push files to" } else { "pull files from" };
        Failure::new("PH5106", Class::Permanent, format!("codec {} cannot {way} devices", plugin.title()))
            .hint("`packhorse plugin inspect` tells what a codec can do")
    })
}

/// A file of ours as codecs are told of it.
pub fn told(file: &FileRef, meta: &BTreeMap<String, String>) -> FileInfo {
    let digest = |algorithm, text: &str| hex::decode(text).map(|value| Digest { algorithm, value });
    let digests = [digest(Algorithm::Md5, &file.md5), digest(Algorithm::Sha256, &file.sha256)];
    let mut all = file.meta.clone();
    all.extend(meta.iter().map(|(name, value)| (name.clone(), value.clone())));
    FileInfo {
        name: file.name.clone(),
        size: Some(file.size),
        digests: digests.into_iter().flatten().collect(),
        meta: pairs(&all),
    }
}

pub(super) fn pairs(map: &BTreeMap<String, String>) -> Pairs {
    map.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}
