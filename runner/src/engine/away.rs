//! Runs that wait for a device which is not there, by device, so that all of them go on when it is heard.

use super::actor::Actor;
use super::lane::Lane;
use packhorse_core::run::{RunEvent, RunId};
use std::collections::{BTreeSet, HashMap};

/// Who waits for which device. A run that has gone on by itself stays in it until the device is heard or the run is let go.
#[derive(Debug, Default)]
pub(super) struct Away(HashMap<String, BTreeSet<RunId>>);

impl Away {
    /// Looks whether a run waits, after something was decided about it.
    pub(super) fn note(&mut self, run: &RunId, lane: &Lane) {
        if let Some(device) = lane.course.run.state().absent().filter(|device| !device.is_empty()) {
            self.0.entry(device.to_owned()).or_default().insert(run.clone());
        }
    }

    /// A run that the engine lets go of.
    pub(super) fn leave(&mut self, run: &RunId, lane: &Lane) {
        for device in lane.course.run.state().devices() {
            let Some(runs) = self.0.get_mut(&device) else { continue };
            runs.remove(run);
            if runs.is_empty() {
                self.0.remove(&device);
            }
        }
    }
}

impl Actor {
    /// A device was heard: every run that waits for it goes on.
    pub(super) fn device_heard(&mut self, device: &str) {
        for run in self.away.0.remove(device).unwrap_or_default() {
            let waits = |lane: &Lane| lane.course.run.state().absent() == Some(device);
            if self.lanes.get(&run).is_some_and(waits) {
                self.act(&run, RunEvent::DeviceBack, None);
            }
        }
    }
}
