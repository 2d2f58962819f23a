//! `device`: a simulated device until a signal.

use super::args::{DeviceArgs, FaultArgs};
use super::print::{self, Show};
use super::signals::Signals;
use crate::app;
use crate::app::exit::{Exit, Stop};
use crate::bus::Bus;
use crate::device::{Device, DeviceError, DeviceNote, DeviceOptions, Faults, Struck};
use packhorse_core::failure::chain;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

pub(super) async fn device(args: DeviceArgs, show: Show) -> Result<Exit, Stop> {
    let mut signals = Signals::take()?;
    if args.mqtt.starts_with("embedded") {
        return Err(Stop::usage("PH1007", "a device is a client only: it has no embedded broker")
            .hint("give the broker of the running packhorse: --mqtt mqtt://127.0.0.1:1883"));
    }
    let given = crate::settings::Given { plugins: args.plugins.clone(), ..crate::settings::Given::default() };
    let host = app::host(&super::load(given)?.plugins).await?;
    let codec = args.codec.clone();
    let plugin =
        tokio::task::spawn_blocking(move || host.load(&codec)).await.map_err(|error| Stop::bug(error.to_string()))?;
    let plugin = plugin.map_err(|error| Stop::usage("PH6006", chain(&error)))?;
    let bus: Arc<dyn Bus> = Arc::new(app::connect(&args.mqtt).await?);
    let options = DeviceOptions {
        id: args.id,
        dir: args.dir,
        vars: args.vars,
        faults: faults(&args.faults),
        seed: args.faults.seed,
    };
    let (told, notes) = mpsc::unbounded_channel();
    let id = options.id.clone();
    let device = Device::new(options, Arc::clone(&plugin), Arc::clone(&bus), told).map_err(|error| stopped(&error))?;
    show.note(&format!("device {id} speaks {} on {}", plugin.title(), crate::settings::without_password(&args.mqtt)));
    let (stop, stopping) = watch::channel(false);
    let running = device.run(stopping);
    let ended = tokio::select! {
        ended = async { tokio::join!(running, tell(notes, show)).0 } => ended,
        () = async { signals.next().await; stop.send_replace(true); std::future::pending().await } => unreachable!("pending never ends"),
    };
    let (down, up) = ended.map_err(|error| stopped(&error))?;
    bus.close().await;
    show.note(&format!("down: {}\nup:   {}", struck(down), struck(up)));
    Ok(Exit::Succeeded)
}

async fn tell(mut notes: mpsc::UnboundedReceiver<DeviceNote>, show: Show) {
    while let Some(note) = notes.recv().await {
        match note {
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
