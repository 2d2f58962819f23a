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
    /// SHA-256 of the codec whose `saved` is in a checkpoint that does not say.
    pub began_with: Option<&'a str>,
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
    let Beginning { request, plugin, vars, epoch, direction, .. } = beginning;
    let mode = mode(plugin, direction)?;
    let routes = plugin.routes(&request.device, vars).map_err(|error| refused(&error))?;
    let topic = Channel::new(Arc::new(routes), Flow::FromDevice).longest_topic();
    let settled = settle(request, &mode, topic, beginning.broker)?;
    let (checkpoint, saved) = kept(&beginning);
    let checkpoint = checkpoint.map(|checkpoint| regridded(checkpoint, &mode, settled.packet_size));
    let packet_size = checkpoint.as_ref().filter(|_| mode.grid).map_or(settled.packet_size, |kept| kept.packet_size);
    let file = beginning.file;
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

/// The checkpoint of an earlier attempt, with what the spool holds by now. What another build of the codec saved is not given to this one.
fn kept(beginning: &Beginning<'_>) -> (Option<Checkpoint>, Vec<u8>) {
    let kept = beginning.checkpoint.and_then(Kept::read);
    let Some((mut checkpoint, kept)) = kept.and_then(|kept| Some((kept.checkpoint()?, kept))) else {
        return (None, Vec::new());
    };
    if let Some(held) = &beginning.held {
        checkpoint.done = held.clone();
    }
    let ours = is_ours(&kept, beginning.began_with, beginning.plugin.digest());
    (Some(checkpoint), if ours { kept.saved } else { Vec::new() })
}

/// Whether `saved` is of the codec with this digest.
fn is_ours(kept: &Kept, began_with: Option<&str>, digest: &str) -> bool {
    kept.codec.as_deref().or(began_with).is_none_or(|whose| whose == digest)
}

/// A grid that this build of the codec does not take is left: what a device stored by it would not be found again, so that a push begins
/// at the first byte; the bytes of a pull lie in the spool, whatever they travelled in.
fn regridded(mut kept: Checkpoint, mode: &Mode, packet_size: u32) -> Checkpoint {
    if mode.grid && !mode.takes(kept.packet_size) {
        kept.packet_size = packet_size;
        if mode.driver.direction() == Direction::Push {
            (kept.done, kept.sent) = (Intervals::default(), Intervals::default());
        }
    }
    kept
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

#[cfg(test)]
mod tests {
    use super::*;
    use packhorse_core::effect::Traffic;
    use packhorse_core::transfer::{Driver, Span};

    fn checkpoint(packet_size: u32) -> Checkpoint {
        let mut done = Intervals::default();
        done.insert(Span::new(0, 1_000));
        Checkpoint {
            version: 1,
            sent: done.clone(),
            done,
            size: Some(10_000),
            packet_size,
            name: String::new(),
            digests: Vec::new(),
            upload_id: String::new(),
            resume_key: String::new(),
            traffic: Traffic { packets: 7, ..Traffic::default() },
        }
    }

    fn mode(driver: Driver, grid: bool) -> Mode {
        Mode { driver, grid, packet_min: 256, packet_max: 512, packet_align: 256, ..mode_of_anything() }
    }

    fn mode_of_anything() -> Mode {
        use packhorse_core::transfer::{Acks, Order, Replies};
        Mode {
            driver: Driver::PlatformPush,
            packet_min: 1,
            packet_max: 0,
            packet_default: 0,
            packet_align: 1,
            grid: false,
            window_default: 1,
            window_max: 1,
            overhead_fixed: 0,
            overhead_per_mille: 1_000,
            replies: Replies::Resend,
            acks: Acks::Message,
            order: Order::Any,
            confirms: false,
            can_query: false,
            can_cancel: false,
            file_max: 0,
        }
    }

    #[test]
    fn what_another_build_saved_is_not_given_to_this_one() {
        let kept = |codec: Option<&str>| {
            let (machine, saved) = (b"{}".to_vec(), vec![1, 2]);
            Kept { machine, saved, heard: None, codec: codec.map(str::to_owned) }
        };
        assert!(is_ours(&kept(Some("new")), Some("old"), "new"));
        assert!(!is_ours(&kept(Some("old")), Some("old"), "new"));
        // As programs before this one wrote it: of what the run began with.
        assert!(is_ours(&kept(None), Some("old"), "old") && !is_ours(&kept(None), Some("old"), "new"));
        assert!(is_ours(&kept(None), None, "new"), "a run of which nobody says what it began with was never moved");
        let old = br#"{"machine":"{}","saved":[1,2],"heard":null}"#;
        assert_eq!(Kept::read(old), Some(kept(None)));
        assert_eq!(Kept::read(&kept(Some("a")).to_bytes()), Some(kept(Some("a"))));
    }

    #[test]
    fn a_grid_that_the_codec_does_not_take_is_left() {
        let push = mode(Driver::PlatformPush, true);
        assert_eq!(regridded(checkpoint(512), &push, 256), checkpoint(512), "it fits");
        let left = regridded(checkpoint(640), &push, 256);
        assert_eq!((left.packet_size, left.done.covered(), left.sent.covered()), (256, 0, 0));
        assert_eq!(left.traffic, checkpoint(640).traffic, "what it cost stays on the books");
        let pull = regridded(checkpoint(640), &mode(Driver::PlatformPull, true), 256);
        assert_eq!((pull.packet_size, pull.done), (256, checkpoint(640).done), "its bytes lie in the spool");
        let free = regridded(checkpoint(640), &mode(Driver::PlatformPush, false), 256);
        assert_eq!(free, checkpoint(640), "without a grid any offset will do");
    }
}
