//! Questions about runs that take more than one request: pages, and ids of which only the beginning was given.

use super::client::Remote;
use super::events::unnumbered;
use crate::app;
use packhorse_core::failure::Failure;
use packhorse_core::run::RunId;
use serde_json::{Value, json};

/// Most runs of one page.
const PAGE: usize = 200;
/// Letters of a run's id after `run_`.
const LETTERS: usize = 26;
/// Every status of a run that is not over.
const UNFINISHED: &str = "queued,running,waiting,paused,cancelling";

impl Remote {
    /// Runs, newest first, page by page.
    pub(super) async fn list(&self, all: bool, limit: usize) -> Result<Value, Failure> {
        let status = if all { String::new() } else { format!("&status={UNFINISHED}") };
        let mut items: Vec<Value> = Vec::new();
        let mut cursor = String::new();
        while items.len() < limit {
            let more = (limit - items.len()).min(PAGE);
            let page = self.get(&format!("/v1/runs?limit={more}{status}{cursor}")).await?;
            items.extend(page["items"].as_array().cloned().unwrap_or_default());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        Ok(json!({ "items": items }))
    }

    /// The path of what is asked about a run.
    pub(super) async fn of_run(&self, text: &str, what: &str) -> Result<String, Failure> {
        Ok(format!("/v1/runs/{}{what}", self.run_id(text).await?))
    }

    /// A run by its id, or by the beginning of it.
    pub(in crate::cli) async fn run_id(&self, text: &str) -> Result<RunId, Failure> {
        if let Ok(run) = text.parse() {
            return Ok(run);
        }
        let mut found = Vec::new();
        if let Some(last) = last_id(text) {
            // Runs are listed by their ids downwards: of those that begin so, the first two come at once.
            let page = self.get(&format!("/v1/runs?limit=2&cursor={last}")).await?;
            let items = page["items"].as_array().into_iter().flatten();
            found.extend(items.filter_map(|item| item["run"].as_str()?.parse::<RunId>().ok()));
        }
        app::one(text, found.into_iter())
    }

    /// Records of a run's journal from a number on.
    pub(super) async fn records(&self, run: &str, from: u64) -> Result<Value, Failure> {
        let run = self.run_id(run).await?;
        let mut page = self.get(&format!("/v1/runs/{run}/journal?from={from}")).await?;
        page["items"].as_array_mut().into_iter().flatten().for_each(unnumbered);
        Ok(json!({ "run": run, "next": page["next"], "items": page["items"] }))
    }
}

/// The last id that can begin like this.
fn last_id(text: &str) -> Option<RunId> {
    let begin = text.trim_start_matches("run_").to_ascii_uppercase();
    format!("run_{begin:Z<LETTERS$}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use packhorse_core::run::RunStatus;

    #[test]
    fn the_unfinished_are_those_that_are_not_over() {
        let read = |word: &str| serde_json::from_value::<RunStatus>(Value::from(word));
        let unfinished: Vec<RunStatus> = UNFINISHED.split(',').map(|word| read(word).unwrap()).collect();
        assert!(unfinished.iter().all(|status| !status.is_final()));
        let others = ["succeeded", "failed", "cancelled", "timed_out", "superseded"];
        assert!(others.iter().all(|word| read(word).unwrap().is_final()), "and there are no more than these ten");
    }

    #[test]
    fn the_last_id_with_a_beginning_comes_after_all_that_have_it() {
        let last = |text: &str| last_id(text).map(|run| run.to_string());
        assert_eq!(last("run_01hf"), Some(format!("run_01HF{}", "Z".repeat(22))));
        assert_eq!(last("01HF"), last("run_01HF"));
        assert!(last("").is_some());
        assert_eq!((last("run_NO-SUCH"), last(&"0".repeat(27))), (None, None));
    }
}
