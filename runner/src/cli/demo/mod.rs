//! `demo`: the whole product in under a minute.
//!
//! The parent holds broker and file store; device and runs are processes of their own, so that one of them can be killed.
//!
//! * `child`: starts, watches and kills processes of this program
//! * `report`: the table at the end

mod child;
mod report;

use super::args::DemoArgs;
use super::print::{self, Show};
use super::signals::Signals;
use crate::app;
use crate::app::exit::{Exit, Stop};
use child::World;
use packhorse_core::hex;
use packhorse_fastdfs::server::ServerOptions;
use rand::rngs::SmallRng;
use rand::{RngCore as _, SeedableRng as _};
use report::Report;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};

/// The device of the demo.
const DEVICE: &str = "demo-1";
/// Share of the push after which its process is killed.
const KILL_AT: f64 = 0.4;

const WORKFLOWS: [(&str, &str); 3] = [
    ("ota-push.yaml", include_str!("../../../../workflows/ota-push.yaml")),
    ("log-pull.yaml", include_str!("../../../../workflows/log-pull.yaml")),
    ("checksum-verify.yaml", include_str!("../../../../workflows/checksum-verify.yaml")),
];

pub(super) async fn demo(args: DemoArgs, show: Show) -> Result<Exit, Stop> {
    let mut signals = Signals::take()?;
    let folder = std::env::temp_dir().join(format!("packhorse-demo-{}", std::process::id()));
    let played = tokio::select! {
        played = play(&args, &folder, show) => played,
        exit = signals.next() => Ok(exit),
    };
    if args.keep {
        show.note(&format!("everything is kept in {}", folder.display()));
    } else {
        drop(std::fs::remove_dir_all(&folder));
    }
    played
}

async fn play(args: &DemoArgs, folder: &Path, show: Show) -> Result<Exit, Stop> {
    let files = Files::make(args, folder)
        .map_err(|error| Stop::usage("PH2004", format!("cannot write to {}: {error}", folder.display())))?;
    let broker = app::broker(([127, 0, 0, 1], 0).into()).await?;
    let mut options = ServerOptions::new(folder.join("fastdfs"));
    (options.tracker, options.storage) = ("127.0.0.1:0".to_owned(), "127.0.0.1:0".to_owned());
    let server = app::start_fastdfs(options).await?;
    show.note(&format!("broker {}  fastdfs {}  (both embedded, on free ports)", broker.addr, server.tracker_addr));
    let world = World::new(folder, &broker.addr.to_string(), &server.tracker_addr.to_string())?;
    let device = world.device(&files.device, args.loss, args.seed)?;
    let told = acts(&world, &files, args, show).await;
    device.stop().await;
    broker.shutdown().await;
    server.shutdown().await;
    let report = told?;
    show.result(&report.json(), || report.text());
    Ok(if report.good() { Exit::Succeeded } else { Exit::Failed })
}

/// The three workflows.
async fn acts(world: &World, files: &Files, args: &DemoArgs, show: Show) -> Result<Report, Stop> {
    let image = files.image.display().to_string();
    let mut report = Report::default();
    let losing = format!("{:.0} % of all messages lost each way", args.loss * 100.0);
    show.note(&format!("\n1. ota-push of {} to {DEVICE}, {losing}", print::bytes(files.size)));
    let pushed = pushed(world, &image, show, &mut report).await?;
    let arrived = digest(&files.device.join("image.bin"));
    report.push("ota-push", &pushed, &files.sha256, arrived.as_deref());

    show.note("\n2. log-pull of the device's syslog");
    let pulled = world.run("log-pull.yaml", &[("device", DEVICE), ("log", "syslog")])?.result().await?;
    let stored = pulled.pointer("/outputs/file/sha256").and_then(Value::as_str).map(ToOwned::to_owned);
    report.push("log-pull", &pulled, &files.log_sha256, stored.as_deref());

    show.note("\n3. checksum-verify, after one byte of the image went bad on the device");
    files.spoil().map_err(|error| Stop::bug(format!("cannot spoil the image on the device: {error}")))?;
    let checked = world.run("checksum-verify.yaml", &[("device", DEVICE), ("image", &image)])?.result().await?;
    let repaired = digest(&files.device.join("image.bin"));
    report.push("checksum-verify", &checked, &files.sha256, repaired.as_deref());
    report.repaired = checked.pointer("/outputs/repaired").and_then(Value::as_bool);
    Ok(report)
}

/// Pushes the image; its process is killed once, half-way, and another one goes on.
async fn pushed(world: &World, image: &str, show: Show, report: &mut Report) -> Result<Value, Stop> {
    let first = world.run("ota-push.yaml", &[("device", DEVICE), ("image", image), ("window", "32")])?;
    let Some((run, share)) = first.until(world, KILL_AT).await? else {
        return Err(Stop::bug("the push was over before it could be killed").hint("make the image larger with --size"));
    };
    first.kill().await;
    report.killed_at = Some(share);
    show.note(&format!("   SIGKILL to the runner at {:.0} %, then `packhorse resume {run}`", share * 100.0));
    world.resume(&run)?.result().await
}

/// What the demo works with.
struct Files {
    image: PathBuf,
    device: PathBuf,
    size: u64,
    sha256: String,
    log_sha256: String,
}

impl Files {
    fn make(args: &DemoArgs, folder: &Path) -> std::io::Result<Self> {
        let (device, workflows) = (folder.join("device"), folder.join("workflows"));
        std::fs::create_dir_all(&device)?;
        std::fs::create_dir_all(&workflows)?;
        for (name, text) in WORKFLOWS {
            std::fs::write(workflows.join(name), text)?;
        }
        let mut bytes = vec![0; (args.size.max(1) as usize) << 20];
        SmallRng::seed_from_u64(args.seed).fill_bytes(&mut bytes);
        let image = folder.join("image.bin");
        std::fs::write(&image, &bytes)?;
        let log: String =
            (0..4000).map(|line| format!("{line:06} demo-1 kernel: everything is as it should be\n")).collect();
        std::fs::write(device.join("syslog"), &log)?;
        let digest = |bytes: &[u8]| hex::encode(&Sha256::digest(bytes));
        Ok(Self { image, device, size: bytes.len() as u64, sha256: digest(&bytes), log_sha256: digest(log.as_bytes()) })
    }

    /// Flips one byte of the image on the device.
    fn spoil(&self) -> std::io::Result<()> {
        let path = self.device.join("image.bin");
        let mut bytes = std::fs::read(&path)?;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, bytes)
    }
}

fn digest(path: &Path) -> Option<String> {
    std::fs::read(path).ok().map(|bytes| hex::encode(&Sha256::digest(&bytes)))
}
