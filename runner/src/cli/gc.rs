//! `gc`: forgets runs that are older than they are kept, and what only they needed.

use super::args::{GcArgs, ServerArgs};
use super::print::Show;
use crate::app;
use crate::app::exit::{Exit, Stop};
use crate::store::DataFolder;
use packhorse_core::failure::chain;
use serde_json::json;

pub(super) async fn gc(args: GcArgs, at: &ServerArgs, show: Show) -> Result<Exit, Stop> {
    let settings = super::settings_here(&args.services, at, "gc")?;
    if !app::has_runs(&settings) {
        let message = format!("there are no runs in {}", settings.data.display());
        return Err(Stop::usage("PH8003", message).hint("choose the data folder with --data"));
    }
    let folder = DataFolder::open(&settings.data).map_err(|error| {
        Stop::unavailable("PH1004", chain(&error)).hint("the process that works with it forgets old runs by itself")
    })?;
    let work = move || app::sweep(&app::open_journal(&settings)?, &settings, args.dry_run);
    let gone = tokio::task::spawn_blocking(work).await.map_err(|error| Stop::bug(error.to_string()))??;
    drop(folder);
    let would = if gone.dry_run { "would go" } else { "gone" };
    let text = format!(
        "{would}: {} runs, {} objects, {} quarantined files; {} runs looked at",
        gone.swept.runs.len(),
        gone.swept.objects.len(),
        gone.quarantined.len(),
        gone.swept.looked_at
    );
    show.result(&json!(gone), || text);
    Ok(Exit::Succeeded)
}
