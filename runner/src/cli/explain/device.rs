//! The words for a device: when it was heard, what waits for it, what has ended lately.

use super::clock::Clock;
use super::{Line, line, run};
use crate::engine::LiveView;
use packhorse_core::run::WallTime;
use serde_json::Value;

/// What the runs of a device tell of it.
pub(super) fn device((id, presence): (&str, &Value), runs: &[LiveView], clock: Clock) -> Vec<Line> {
    let open = runs.iter().filter(|live| !live.view.status.is_final()).count();
    let heard = match last_heard(id, runs) {
        Some(at) => clock.ago(at),
        None => "never, as far as these runs know".to_owned(),
    };
    let ended = runs.len() - open;
    let mut lines = vec![line("last heard", heard)];
    lines.extend(super::super::devices::presence(&presence[id]).map(|words| line("presence", words)));
    lines.push(line("runs", format!("{open} wait for it or work with it, {ended} ended lately")));
    lines
}

/// The latest of what any transfer with it knows.
pub(super) fn last_heard(id: &str, runs: &[LiveView]) -> Option<WallTime> {
    let transfers = runs.iter().filter_map(|live| live.transfer.as_ref());
    transfers.filter(|view| view.device == id).filter_map(|view| view.last_heard).max()
}

/// A run that has ended, on one line.
pub(super) fn ended(live: &LiveView, clock: Clock) -> String {
    let view = &live.view;
    let at = run::ended_at(live).map_or_else(String::new, |at| clock.ago(at));
    let error = view.error.as_ref().map_or_else(String::new, |error| format!(": {}", error.failure));
    format!("{} ({}) {} {at}{error}", view.run, view.workflow, super::super::print::status(view.status))
}

#[cfg(test)]
mod tests {
    use super::super::transfer::tests::{NOW, view as transfer_view};
    use super::*;
    use crate::engine::TaskKind;
    use serde_json::json;

    fn live(status: &str, heard: Option<u64>) -> LiveView {
        let value = json!({
            "run": "run_01HF5X0000000000000000TEST", "workflow": "w", "status": status, "outputs": {}, "steps": [],
            "traffic": {"payload_bytes": 0, "wire_bytes": 0, "retransmitted_bytes": 0, "packets": 0, "resumes": 0},
            "created_at": NOW.0 - 60_000, "duration_ms": 1_000,
        });
        let mut live: LiveView = serde_json::from_value(value).unwrap();
        live.transfer = heard.map(|ago| {
            let mut view = transfer_view(TaskKind::Push, None);
            view.last_heard = Some(WallTime(NOW.0 - ago));
            view
        });
        live
    }

    #[test]
    fn a_device_is_told_by_its_runs() {
        let runs = [live("waiting", Some(90_000)), live("succeeded", Some(30_000)), live("running", None)];
        let clock = Clock::utc(NOW);
        let said: Vec<String> = device(("gw-1", &json!({})), &runs, clock).into_iter().map(|line| line.text).collect();
        assert_eq!(said, ["22:12:50, 30.0 s ago", "2 wait for it or work with it, 1 ended lately"]);
        let known = json!({ "gw-1": { "online": false, "since": "S", "heard_at": null, "by": "will" } });
        let said = device(("gw-1", &known), &runs, clock);
        assert_eq!(said[1].text, "offline since S, as its will message said");
        assert_eq!(last_heard("gw-2", &runs), None);
        assert_eq!(ended(&runs[1], clock), "run_01HF5X0000000000000000TEST (w) succeeded 22:12:21, 59.0 s ago");
    }
}
