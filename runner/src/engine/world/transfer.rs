//! Transfers: the plugin that the run is pinned to, then the link.

use super::{World, wall};
use crate::engine::{Control, Job, JobEnd, Note, Progress, TaskKind, TransferView};
use crate::link::{self, LinkEnd, LinkNote, Order};
use crate::plugin::Plugin;
use packhorse_core::effect::{Reply, Traffic, TransferRequest};
use packhorse_core::failure::{Class, Failure, chain};
use packhorse_core::run::CodecPin;
use packhorse_core::transfer::{ProgressReport, WaitReason};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// Notes under way between link and engine; the link drops what does not fit.
const NOTES: usize = 16;

impl World {
    pub(super) async fn transfer(&self, job: Job, request: TransferRequest) -> JobEnd {
        let plugin = match self.pinned(job.run.codec.as_ref()).await {
            Ok(plugin) => plugin,
            Err(failure) => return JobEnd::Outcome(Err(failure), Traffic::default()),
        };
        let (notes, mut told) = mpsc::channel(NOTES);
        let view = TransferView::begun(&job.id.step, &request);
        let order = Order {
            run: job.run.id.to_string(),
            name: format!("{}/{}/{}", job.run.id, job.id.step, job.id.round),
            request,
            plugin,
            vars: job.run.vars.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            epoch: job.epoch,
            checkpoint: job.checkpoint.clone().filter(|bytes| !bytes.is_empty()),
            control: watched(job.control.clone()),
            notes,
        };
        let mut telling = Telling { reachable: true, view };
        let run = self.link.run(order);
        tokio::pin!(run);
        let end = loop {
            tokio::select! {
                biased;
                Some(note) = told.recv() => telling.tell(&job, note),
                end = &mut run => break end,
            }
        };
        while let Ok(note) = told.try_recv() {
            telling.tell(&job, note);
        }
        ended(&job, end)
    }

    /// The codec that the run was created with, whatever lies in the plugins folder by now.
    async fn pinned(&self, pin: Option<&CodecPin>) -> Result<Arc<Plugin>, Failure> {
        let pin = pin.ok_or_else(|| {
            Failure::new("PH6004", Class::Permanent, "the workflow names no codec, which a transfer needs")
                .hint("write `codec: NAME` in the workflow, or run it with --codec NAME")
        })?;
        let (journal, host, pin) = (Arc::clone(&self.journal), self.host.clone(), pin.clone());
        let loaded = tokio::task::spawn_blocking(move || {
            let bytes = journal
                .get_object(&pin.digest)
                .map_err(|error| Failure::new("PH7002", Class::Transient, chain(&error)))?;
            let bytes = bytes.ok_or_else(|| {
                Failure::new(
                    "PH6005",
                    Class::Permanent,
                    format!("codec {} {} is not in the journal any more", pin.name, pin.version),
                )
            })?;
            host.load_bytes(&pin.name, &bytes).map_err(|error| Failure::new("PH6002", Class::Permanent, chain(&error)))
        });
        loaded.await.map_err(|error| Failure::new("PH9002", Class::Bug, format!("loading a codec stopped: {error}")))?
    }
}

/// The engine's control in the link's words.
fn watched(mut control: watch::Receiver<Control>) -> watch::Receiver<link::Control> {
    let (sender, receiver) = watch::channel(turned(*control.borrow_and_update()));
    tokio::spawn(async move {
        loop {
            tokio::select! {
                changed = control.changed() => if changed.is_err() { return },
                () = sender.closed() => return,
            }
            sender.send_replace(turned(*control.borrow_and_update()));
        }
    });
    receiver
}

const fn turned(control: Control) -> link::Control {
    match control {
        Control::Go => link::Control::Go,
        Control::Park => link::Control::Park,
        Control::Cancel => link::Control::Cancel,
    }
}

fn ended(job: &Job, end: LinkEnd) -> JobEnd {
    match end {
        LinkEnd::Good(report) => {
            let traffic = report.traffic;
            JobEnd::Outcome(Ok(Reply::Transfer(*report)), traffic)
        }
        LinkEnd::Failed { failure, traffic, restart } => {
            if restart {
                job.notes.send(Note::Checkpoint(Vec::new()));
            }
            JobEnd::Outcome(Err(failure), traffic)
        }
        LinkEnd::Parked(traffic) => JobEnd::Parked(traffic),
        LinkEnd::Cancelled(traffic) => JobEnd::Cancelled(traffic),
    }
}

/// What was told last, to the engine and by the link.
struct Telling {
    reachable: bool,
    view: TransferView,
}

impl Telling {
    fn tell(&mut self, job: &Job, note: LinkNote) {
        match note {
            LinkNote::Checkpoint(bytes) => job.notes.send(Note::Checkpoint(bytes)),
            LinkNote::Queued => job.notes.send(Note::Transfer(Box::new(self.view.queued(wall())))),
            LinkNote::Progress(report, rejected, now) => {
                let offline =
                    report.waiting.as_ref().is_some_and(|waiting| waiting.reason == WaitReason::DeviceOffline);
                if self.reachable == offline {
                    self.reachable = !offline;
                    job.notes.send(Note::Reachable(!offline));
                }
                self.view = self.view.told(&report, &rejected, (now, wall()));
                job.notes.send(Note::Transfer(Box::new(self.view.clone())));
                if self.view.task != TaskKind::Verify {
                    job.notes.send(Note::Progress(progress(&report)));
                }
            }
        }
    }
}

fn progress(report: &ProgressReport) -> Progress {
    let traffic = &report.traffic;
    let resent = if traffic.payload_bytes == 0 {
        0.0
    } else {
        traffic.retransmitted_bytes as f64 * 100.0 / traffic.payload_bytes as f64
    };
    let text = format!("resent {resent:.1}%  window {}  in flight {}", report.window, report.in_flight);
    Progress { done: report.done, total: report.total.unwrap_or(0), text }
}
