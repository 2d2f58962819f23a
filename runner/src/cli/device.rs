//! `device`: one simulated device, or many in one process, until a signal.

use super::args::{DeviceArgs, FaultArgs};
use super::print::{self, Show};
use super::signals::Signals;
use crate::app::exit::{Exit, Stop};
use crate::app::{self, DeviceSpool};
use crate::bus::Bus;
use crate::device::{Device, DeviceError, DeviceNote, DeviceOptions, Faults, Pace, Struck};
use crate::plugin::Plugin;
use packhorse_core::failure::chain;
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

pub(super) async fn device(args: DeviceArgs, show: Show) -> Result<Exit, Stop> {
    let mut signals = Signals::take()?;
    if args.mqtt.starts_with("embedded") {
        return Err(Stop::usage("PH1007", "a device is a client only: it has no embedded broker")
            .hint("give the broker of the running packhorse: --mqtt mqtt://127.0.0.1:1883"));
    }
    let given = crate::settings::Given { plugins: args.plugins.clone(), ..crate::settings::Given::default() };
    let settings = super::load(given)?;
    let host = app::host(&settings).await?;
    let codec = args.codec.clone();
    let plugin =
        tokio::task::spawn_blocking(move || host.load(&codec)).await.map_err(|error| Stop::bug(error.to_string()))?;
    let plugin = plugin.map_err(|error| Stop::usage(error.number("PH6006"), chain(&error)))?;
    let mut access = settings.mqtt_access;
    access.client_id = access.client_id.map(|runner| format!("{runner}-{}", args.id));
    let bus: Arc<dyn Bus> = Arc::new(app::connect(&args.mqtt, &access).await?);
    let (told, notes) = mpsc::unbounded_channel();
    let pace = Pace::default();
    let devices = devices(&args, &plugin, &bus, &told, &pace)?;
    drop(told);
    let count = devices.len();
    let who = args.count.map_or_else(|| args.id.clone(), |count| format!("{0}-1 to {0}-{count}", args.id));
    show.note(&format!("device {who} speaks {} on {}", plugin.title(), crate::settings::without_password(&args.mqtt)));
    let (stop, stopping) = watch::channel(false);
    let running = all(devices, stopping);
    let ended = tokio::select! {
        ended = async { tokio::join!(running, tell(notes, count, show)).0 } => ended,
        () = async { signals.next().await; stop.send_replace(true); std::future::pending().await } => unreachable!("pending never ends"),
    };
    let (down, up) = ended.map_err(|error| stopped(&error))?;
    bus.close().await;
    show.note(&format!("down: {}\nup:   {}", struck(down), struck(up)));
    if pace.counted() > 0 {
        let [half, most] = [0.5, 0.99].map(|share| pace.quantile(share).as_secs_f64() * 1e3);
        show.note(&format!("answered: {} times, median {half:.2} ms, p99 {most:.2} ms", pace.counted()));
    }
    Ok(Exit::Succeeded)
}

/// One device, or as many as `--count` says over one spool.
fn devices(
    args: &DeviceArgs,
    plugin: &Arc<Plugin>,
    bus: &Arc<dyn Bus>,
    told: &mpsc::UnboundedSender<DeviceNote>,
    pace: &Pace,
) -> Result<Vec<Device>, Stop> {
    let one = |id: String, dir: PathBuf, seed: u64, spool: Option<DeviceSpool>| {
        let (vars, faults) = (args.vars.clone(), faults(&args.faults));
        let options = DeviceOptions { id, dir, vars, faults, seed, spool, pace: pace.clone() };
        Device::new(options, Arc::clone(plugin), Arc::clone(bus), told.clone()).map_err(|error| stopped(&error))
    };
    let Some(count) = args.count else {
        return Ok(vec![one(args.id.clone(), args.dir.clone(), args.faults.seed, None)?]);
    };
    let spool = app::device_spool(&args.dir)?;
    let all = (1..=count).map(|number| {
        let id = format!("{}-{number}", args.id);
        let dir = args.dir.join(&id);
        one(id, dir, args.faults.seed.wrapping_add(number.into()), Some(spool.clone()))
    });
    all.collect()
}

/// Serves with all of them until told to stop; what struck them together.
async fn all(devices: Vec<Device>, stopping: watch::Receiver<bool>) -> Result<(Struck, Struck), DeviceError> {
    let mut running = JoinSet::new();
    for device in devices {
        running.spawn(device.run(stopping.clone()));
    }
    let mut sum = (Struck::default(), Struck::default());
    while let Some(ended) = running.join_next().await {
        let (down, up) = ended.map_err(|_| DeviceError::Closed)??;
        (sum.0, sum.1) = (sum.0 + down, sum.1 + up);
    }
    Ok(sum)
}

async fn tell(mut notes: mpsc::UnboundedReceiver<DeviceNote>, count: usize, show: Show) {
    let mut listening = 0;
    while let Some(note) = notes.recv().await {
        match note {
            DeviceNote::Listening => {
                listening += 1;
                if listening == count {
                    show.note("listening");
                }
            }
            DeviceNote::Stored { path, size, md5 } => {
                let value = json!({ "stored": path, "size": size, "md5": md5 });
                match show.output {
                    super::args::Output::Json => print::write_out(&value.to_string()),
                    super::args::Output::Text => {
                        print::write_out(&format!("stored {}  {size} bytes  md5 {md5}", path.display()))
                    }
                }
            }
            DeviceNote::Restarted => show.note("restarted"),
            DeviceNote::CodecFailed(words) => show.note(&format!("codec opened anew: {words}")),
        }
    }
}

fn faults(args: &FaultArgs) -> Faults {
    let both = args.loss.unwrap_or(0.0);
    Faults {
        loss_up: args.loss_up.unwrap_or(both),
        loss_down: args.loss_down.unwrap_or(both),
        duplicate: args.duplicate,
        reorder: args.reorder,
        corrupt: args.corrupt,
        restart_every: args.restart_every.filter(|seconds| *seconds > 0.0).map(Duration::from_secs_f64),
    }
}

fn struck(struck: Struck) -> String {
    format!(
        "{} messages, {} lost, {} doubled, {} overtaken, {} damaged",
        struck.messages, struck.lost, struck.duplicated, struck.reordered, struck.corrupted
    )
}

fn stopped(error: &DeviceError) -> Stop {
    match error {
        DeviceError::Disk(_) => Stop::usage("PH2004", chain(error)),
        DeviceError::Plugin(_) => Stop::usage("PH6006", chain(error)),
        DeviceError::Codec(..) => Stop { exit: Exit::Failed, ..Stop::usage("PH6001", chain(error)) },
        DeviceError::Bus(_) | DeviceError::Closed => Stop::unavailable("PH1006", chain(error)),
    }
}
