//! A whole transfer over a lossy link, in memory: the last check of `packhorse plugin test`.
//!
//! The codec's own device side plays the device; bus and file store are in memory, link and device are the real ones.

use crate::blob::{BlobStore as _, Contents, MemoryBlobs};
use crate::bus::{Bus, MemoryBus};
use crate::device::{Device, DeviceOptions, Faults, Pace};
use crate::link::{Control, Link, LinkEnd, NoMeter, Order, PlainShelf, Shelf, Spool, Unclaimed};
use crate::plugin::Plugin;
use crate::plugin::kit::test::{Check, NO_URL};
use crate::store::MemoryKeyValue;
use packhorse_core::effect::{Layout, TransferReport, TransferRequest, TransferTask};
use packhorse_core::file::FileRef;
use packhorse_core::hex;
use packhorse_core::transfer::{Direction, Pairs};
use rand::rngs::SmallRng;
use rand::{RngCore as _, SeedableRng as _};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Bytes of the file that travels.
const SIZE: usize = 256 * 1024;
/// Messages lost, each way.
const LOSS: f64 = 0.1;
/// Longest time for one way.
const PATIENCE: Duration = Duration::from_secs(60);
/// The device of the trial.
const DEVICE: &str = "trial-1";

/// Moves a file each way that the codec knows. `vars` are for codecs that need some.
pub async fn trial(plugin: &Arc<Plugin>, vars: &Pairs, seed: u64) -> Vec<Check> {
    let ways = [(Direction::Push, "push over a lossy link"), (Direction::Pull, "pull over a lossy link")];
    let mut checks = Vec::new();
    for (direction, name) in ways {
        checks.push(if plugin.description().mode(direction).is_none() {
            Check::skipped(name, "the codec has no mode for it")
        } else if !plugin.has_device_side() {
            Check::skipped(name, "the codec has no device side")
        } else {
            match one(plugin, direction, (vars, seed)).await {
                Err(problem) if problem.contains(NO_URL) => {
                    Check::skipped(name, "it offers by URL alone: the file does not go over its topics")
                }
                came => Check::of(name, came),
            }
        });
    }
    checks
}

async fn one(plugin: &Arc<Plugin>, direction: Direction, (vars, seed): (&Pairs, u64)) -> Result<(u64, String), String> {
    let folder = std::env::temp_dir().join(format!("packhorse-trial-{}-{seed}-{direction:?}", std::process::id()));
    let made = tokio::time::timeout(PATIENCE, played(plugin, direction, (vars, seed), &folder)).await;
    drop(std::fs::remove_dir_all(&folder));
    made.map_err(|_| format!("no end after {PATIENCE:?}"))?
}

async fn played(
    plugin: &Arc<Plugin>,
    direction: Direction,
    (vars, seed): (&Pairs, u64),
    folder: &Path,
) -> Result<(u64, String), String> {
    let mut bytes = vec![0; SIZE];
    SmallRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    let dir = folder.join("device");
    std::fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
    let source = if direction == Direction::Push { folder.join("file.bin") } else { dir.join("file.bin") };
    std::fs::write(&source, &bytes).map_err(|error| error.to_string())?;
    let bus: Arc<dyn Bus> = Arc::new(MemoryBus::new());
    let blobs = Arc::new(MemoryBlobs::new());
    let (stop, stopping) = watch::channel(false);
    let device = tokio::spawn(device(plugin, &bus, &dir, (vars, seed))?.run(stopping));
    let spool = Spool::open(&folder.join("spool")).map_err(|error| error.to_string())?;
    let contents = Arc::new(Contents::new(blobs.clone()));
    let link = Link::new(bus, contents, spool, folder.join("data"), Arc::new(MemoryKeyValue::default()));
    let shelf: Arc<dyn Shelf> = Arc::new(PlainShelf(blobs.clone()));
    let task = match direction {
        Direction::Push => TransferTask::Push { file: told(&source, &bytes) },
        Direction::Pull => TransferTask::Pull { file_type: "file.bin".to_owned(), name: None, layout: Layout::Whole },
    };
    let report = carried(&link, (plugin, vars), task, shelf).await?;
    stop.send_replace(true);
    drop(device.await);
    let arrived = match direction {
        Direction::Push => std::fs::read(dir.join(&report.file.name)).map_err(|error| error.to_string())?,
        Direction::Pull => {
            blobs.read_at(&report.file.uri, 0, SIZE + 1).await.map_err(|error| error.to_string())?.to_vec()
        }
    };
    if arrived != bytes {
        return Err(format!("{} bytes arrived, and they are not the {SIZE} that were sent", arrived.len()));
    }
    let times = (report.traffic.payload_bytes + report.traffic.retransmitted_bytes) as f64 / SIZE as f64;
    let loss = LOSS * 100.0;
    Ok((
        report.traffic.packets,
        format!("{SIZE} bytes at {loss:.0} % loss each way, sent {times:.2} times, {}", report.confirmed.as_str()),
    ))
}

fn device(plugin: &Arc<Plugin>, bus: &Arc<dyn Bus>, dir: &Path, (vars, seed): (&Pairs, u64)) -> Result<Device, String> {
    let faults = Faults { loss_up: LOSS, loss_down: LOSS, duplicate: 0.02, reorder: 0.02, ..Faults::default() };
    let (id, dir) = (DEVICE.to_owned(), dir.to_owned());
    let options = DeviceOptions { id, dir, vars: vars.clone(), faults, seed, spool: None, pace: Pace::default() };
    let (notes, _) = mpsc::unbounded_channel();
    Device::new(options, Arc::clone(plugin), Arc::clone(bus), notes).map_err(|error| error.to_string())
}

fn told(path: &Path, bytes: &[u8]) -> FileRef {
    FileRef {
        uri: format!("file:{}", path.display()),
        name: "file.bin".to_owned(),
        size: bytes.len() as u64,
        md5: hex::encode(&md5::Md5::digest(bytes)),
        sha256: hex::encode(&Sha256::digest(bytes)),
        meta: BTreeMap::new(),
    }
}

async fn carried(
    link: &Link,
    (plugin, vars): (&Arc<Plugin>, &Pairs),
    task: TransferTask,
    shelf: Arc<dyn Shelf>,
) -> Result<TransferReport, String> {
    let request = TransferRequest {
        task,
        device: DEVICE.to_owned(),
        window: None,
        packet_size: None,
        message_limit: None,
        rate: None,
        budget: None,
        meta: BTreeMap::new(),
    };
    let (notes, _told) = mpsc::channel(1);
    let (_go, control) = watch::channel(Control::Go);
    let name = "trial/trial/1".to_owned();
    let order = Order {
        began_with: None,
        run: "trial".to_owned(),
        level: 3,
        name,
        request,
        plugin: Arc::clone(plugin),
        vars: vars.clone(),
        epoch: 1,
        attempt: 1,
        checkpoint: None,
        first: None,
        control,
        heard: None,
        notes,
        claim: Arc::new(Unclaimed),
        meter: Arc::new(NoMeter),
        shelf,
    };
    match link.run(order).await {
        LinkEnd::Good(report) => Ok(*report),
        LinkEnd::Failed { failure, .. } => Err(failure.to_string()),
        LinkEnd::Parked(_) | LinkEnd::Cancelled(_) => Err("it was stopped".to_owned()),
    }
}
