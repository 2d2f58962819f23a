//! The table at the end of the demo.

use crate::cli::print;
use serde_json::{Value, json};

/// What the three workflows came to.
#[derive(Debug, Default)]
pub(super) struct Report {
    rows: Vec<Row>,
    /// Share of the push after which its process was killed.
    pub(super) killed_at: Option<f64>,
    /// Whether the third workflow repaired the file.
    pub(super) repaired: Option<bool>,
}

#[derive(Debug)]
struct Row {
    workflow: &'static str,
    status: String,
    traffic: Value,
    duration_ms: u64,
    ours: String,
    theirs: String,
}

impl Report {
    /// Takes in a run, with the digest that the file has at its source and at its end.
    pub(super) fn push(&mut self, workflow: &'static str, run: &Value, source: &str, end: Option<&str>) {
        self.rows.push(Row {
            workflow,
            status: run.pointer("/status").and_then(Value::as_str).unwrap_or("unknown").to_owned(),
            traffic: run.pointer("/traffic").cloned().unwrap_or_default(),
            duration_ms: run.pointer("/duration_ms").and_then(Value::as_u64).unwrap_or(0),
            ours: source.to_owned(),
            theirs: end.unwrap_or("none").to_owned(),
        });
    }

    /// Whether everything went as promised.
    pub(super) fn good(&self) -> bool {
        let rows = self.rows.iter().all(|row| row.status == "succeeded" && row.ours == row.theirs);
        rows && self.rows.len() == 3 && self.killed_at.is_some() && self.repaired == Some(true)
    }

    pub(super) fn json(&self) -> Value {
        let items = self.rows.iter().map(|row| {
            json!({
                "workflow": row.workflow, "status": row.status, "traffic": row.traffic, "duration_ms": row.duration_ms,
                "sha256_source": row.ours, "sha256_end": row.theirs, "identical": row.ours == row.theirs,
            })
        });
        json!({ "good": self.good(), "killed_at": self.killed_at, "repaired": self.repaired, "items": items.collect::<Vec<_>>() })
    }

    pub(super) fn text(&self) -> String {
        let head = format!(
            "\n{:<16} {:<10} {:>9} {:>10} {:>10} {:>8} {:>7}  {}",
            "WORKFLOW", "STATUS", "FILE", "ON WIRE", "SENT AGAIN", "PACKETS", "TIME", "SHA-256 SOURCE / END"
        );
        let rows = self.rows.iter().map(|row| {
            let bytes = |name: &str| print::bytes(row.traffic.get(name).and_then(Value::as_u64).unwrap_or(0));
            let packets = row.traffic.get("packets").and_then(Value::as_u64).unwrap_or(0);
            let same = if row.ours == row.theirs { "identical" } else { "DIFFERENT" };
            format!(
                "{:<16} {:<10} {:>9} {:>10} {:>10} {packets:>8} {:>7}  {:.8}… / {:.8}…  {same}",
                row.workflow,
                row.status,
                bytes("payload_bytes"),
                bytes("wire_bytes"),
                bytes("retransmitted_bytes"),
                print::duration(row.duration_ms),
                row.ours,
                row.theirs
            )
        });
        let killed = self.killed_at.map(|share| format!("the push was killed at {:.0} % and resumed", share * 100.0));
        let repaired =
            (self.repaired == Some(true)).then(|| "the spoilt image was found by its digest and sent again".to_owned());
        std::iter::once(head).chain(rows).chain(killed).chain(repaired).collect::<Vec<_>>().join("\n")
    }
}
