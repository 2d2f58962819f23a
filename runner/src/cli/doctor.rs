//! `doctor`: what is found, as lines or as data.

use super::args::{ServerArgs, ServiceArgs};
use super::print::Show;
use crate::app::doctor::{self, Finding, Grade};
use crate::app::exit::{Exit, Stop};
use serde_json::json;

pub(super) async fn doctor(args: ServiceArgs, at: &ServerArgs, show: Show) -> Result<Exit, Stop> {
    let settings = super::settings_here(&args, at, "doctor")?;
    let findings = doctor::doctor(&settings).await;
    show.result(&json!({ "items": findings }), || findings.iter().map(told).collect::<Vec<_>>().join("\n"));
    Ok(doctor::exit(&findings))
}

fn told(finding: &Finding) -> String {
    let grade = match finding.status {
        Grade::Ok => "ok",
        Grade::Warning => "warning",
        Grade::Failure => "failure",
    };
    let code = finding.code.map_or_else(String::new, |code| format!(" [{code}]"));
    let advice = finding.advice.as_ref().map_or_else(String::new, |advice| format!("\n{:<9}what to do: {advice}", ""));
    format!("{grade:<8} {}: {}{code}{advice}", finding.check, finding.text)
}
