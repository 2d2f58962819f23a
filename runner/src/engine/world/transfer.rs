//! Transfers: the plugin that the run is pinned to, then the link.

use super::World;
use crate::engine::{Control, Job, JobEnd, Note, Progress};
use crate::link::{self, LinkEnd, LinkNote, Order};
use crate::plugin::Plugin;
use packhorse_core::effect::{Reply, Traffic, TransferRequest};
use packhorse_core::failure::{Class, Failure, chain};
use packhorse_core::run::CodecPin;
use packhorse_core::transfer::{ProgressReport, Time, WaitReason};
use std::sync::Arc;
use std::time::Duration;
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
        let mut reachable = true;
        let run = self.link.run(order);
        tokio::pin!(run);
        let end = loop {
            tokio::select! {
                biased;
                Some(note) = told.recv() => tell(&job, note, &mut reachable),
                end = &mut run => break end,
            }
        };
        while let Ok(note) = told.try_recv() {
            tell(&job, note, &mut reachable);
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

fn tell(job: &Job, note: LinkNote, reachable: &mut bool) {
    match note {
        LinkNote::Checkpoint(bytes) => job.notes.send(Note::Checkpoint(bytes)),
        LinkNote::Queued => job.notes.send(Note::Waiting("another transfer to this device is under way".to_owned())),
        LinkNote::Progress(report, now) => {
            let offline = report.waiting.as_ref().is_some_and(|waiting| waiting.reason == WaitReason::DeviceOffline);
            if *reachable == offline {
                *reachable = !offline;
                job.notes.send(Note::Reachable(!offline));
            }
            job.notes.send(Note::Waiting(waiting(&report, now)));
            job.notes.send(Note::Progress(progress(&report)));
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

/// What a transfer waits for, with its times: "silent since byte 61440 of our push, last heard 4 s ago; 412 of 412 rejected: …".
fn waiting(report: &ProgressReport, now: Time) -> String {
    let ago = |time: Time| Duration::from_micros(now.0.saturating_sub(time.0));
    let waits = report.waiting.as_ref().map(|waiting| {
        let heard = report
            .last_heard
            .map_or_else(|| "not heard yet".to_owned(), |at| format!("last heard {:.0?} ago", ago(at)));
        format!("{}: {}, for {:.0?}, {heard}", waiting.reason.as_str(), waiting.text, ago(waiting.since))
    });
    let faults = &report.faults;
    let rejected = faults.malformed + faults.bad_sums + faults.implausible;
    let rejects = (rejected > 0).then(|| {
        let last = faults.last.last().map_or_else(String::new, |last| format!(", last: {last}"));
        format!("rejected {rejected} of {} packets{last}", faults.heard)
    });
    waits.into_iter().chain(rejects).collect::<Vec<_>>().join("; ")
}
