//! Questions as requests to the API; what it answers is put as the control socket answers.

use super::client::Remote;
use super::url::segment;
use super::{UNREACHABLE, cannot};
use crate::serve::control::{LetterWish, Question, Start};
use packhorse_core::failure::{Class, Failure};
use serde_json::{Value, json};

/// How often a start whose answer was lost is sent: its key makes one run of all.
const TRIES: u32 = 3;

impl Remote {
    /// Answers one question.
    pub(in crate::cli) async fn ask(&self, question: &Question) -> Result<Value, Failure> {
        match question {
            Question::List { all, limit } => self.list(*all, *limit).await,
            Question::Show { run } => self.get(&self.of_run(run, "").await?).await,
            Question::Explain { subject } => self.get(&format!("/v1/explain/{}", segment(subject))).await,
            Question::Cancel { run, reason } => {
                let body = if reason.is_empty() { json!({}) } else { json!({ "reason": reason }) };
                self.post(&self.of_run(run, "/cancel").await?, &body).await
            }
            Question::Pause { run } => self.steer(run, "/pause").await,
            Question::Resume { run } => self.steer(run, "/resume").await,
            Question::Retry { run } => self.steer(run, "/retry").await,
            Question::Repin { runs, from, to } => {
                self.post("/v1/repin", &json!({ "runs": runs, "from": from, "to": to })).await
            }
            Question::Start(start) => self.start(start).await,
            Question::Records { run, from } => self.records(run, *from).await,
            Question::Reload => self.post("/v1/reload", &json!({})).await,
            Question::Devices { id: None } => self.get("/v1/devices").await,
            Question::Devices { id: Some(id) } => self.get(&format!("/v1/devices/{}", segment(id))).await,
            Question::Triggers => self.get("/v1/triggers").await,
            Question::Letters { wish, id } => self.letters(*wish, *id).await,
            Question::Hold { selector, reason, .. } => {
                let hold = self.post("/v1/holds", &json!({ "selector": selector, "reason": reason })).await?;
                Ok(json!({ "items": [hold] }))
            }
            Question::Release { which, .. } => self.release(which.as_deref()).await,
            Question::Holds => self.get("/v1/holds").await,
        }
    }

    async fn steer(&self, run: &str, verb: &str) -> Result<Value, Failure> {
        self.post(&self.of_run(run, verb).await?, &json!({})).await
    }

    async fn start(&self, start: &Start) -> Result<Value, Failure> {
        let Start { workflow, inputs, codec, vars, priority, .. } = start;
        let mut body = json!({ "workflow": workflow, "inputs": inputs, "codec": codec, "vars": vars });
        if let Some(priority) = priority {
            body["priority"] = json!(priority);
        }
        let own = || format!("cli_{}", crate::engine::new_run_id());
        let key = start.idempotency_key.clone().unwrap_or_else(own);
        let mut tries = 1;
        loop {
            match self.post_once("/v1/runs", &key, &body).await {
                Err(failure) if failure.code == UNREACHABLE && failure.class == Class::Transient && tries < TRIES => {
                    tries += 1;
                }
                answer => return answer,
            }
        }
    }

    async fn letters(&self, wish: LetterWish, id: u64) -> Result<Value, Failure> {
        match wish {
            LetterWish::List => self.get("/v1/dead-letters").await,
            LetterWish::Show => self.get(&format!("/v1/dead-letters/{id}")).await,
            LetterWish::Drop => Err(cannot("dead-letters drop")),
            LetterWish::Retry => {
                let told = self.post(&format!("/v1/dead-letters/{id}/retry"), &json!({})).await?;
                Ok(json!({ "run": told["run"], "replayed": told["replayed"] }))
            }
        }
    }

    /// Ends a hold by its id, those with a selector, or all; gives them.
    async fn release(&self, which: Option<&str>) -> Result<Value, Failure> {
        let holds = self.get("/v1/holds").await?;
        let holds = holds["items"].as_array().cloned().unwrap_or_default();
        let word = |hold: &Value, key: &str| hold[key].as_str().unwrap_or_default().to_owned();
        let meant = |hold: &Value| {
            which.is_none_or(|which| which == word(hold, "id") || which.trim() == word(hold, "selector").trim())
        };
        let gone: Vec<Value> = holds.into_iter().filter(meant).collect();
        if let (Some(which), true) = (which, gone.is_empty()) {
            return Err(Failure::new("PH8042", Class::Permanent, format!("there is no hold {which}"))
                .hint("`packhorse holds` lists them; `packhorse release --all` ends all"));
        }
        for hold in &gone {
            self.delete(&format!("/v1/holds/{}", segment(&word(hold, "id")))).await?;
        }
        Ok(json!({ "items": gone }))
    }
}
