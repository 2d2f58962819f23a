//! `validate`, `schema` and `help`.

use super::args::{Cli, HelpArgs, ValidateArgs};
use super::print::{self, Show};
use crate::app;
use crate::app::exit::{Exit, Stop};
use clap::CommandFactory as _;
use packhorse_core::registry;
use packhorse_core::step::{self, PRIMITIVES};
use packhorse_core::workflow::{self, Colour, Problems};
use serde_json::{Value, json};
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

pub(super) async fn validate(args: ValidateArgs, show: Show) -> Result<Exit, Stop> {
    let given = crate::settings::Given { workflows: args.workflows, ..crate::settings::Given::default() };
    let paths = if args.paths.is_empty() { vec![super::load(given)?.workflows] } else { args.paths };
    let mut files = Vec::new();
    for path in &paths {
        collect(path, &mut files)?;
    }
    if files.is_empty() {
        return Err(Stop::usage("PH2002", "there are no .yaml files to check").hint("name files or folders"));
    }
    let checked =
        app::with_large_stack(move || files.into_iter().map(|file| (check(&file), file)).collect::<Vec<_>>()).await?;
    let bad = checked.iter().filter(|(result, _)| result.is_err()).count();
    show.result(&as_json(&checked), || as_text(&checked));
    Ok(if bad == 0 { Exit::Succeeded } else { Exit::Usage })
}

/// The workflow's name (or how many devices a file of those has), or what is wrong with the file.
type Checked = Result<String, Wrong>;

enum Wrong {
    Unreadable(std::io::Error),
    Problems(Box<Problems>),
}

fn check(file: &Path) -> Checked {
    let source = app::read_workflow(file).map_err(Wrong::Unreadable)?;
    if registry::is_devices(&source) {
        let read = registry::read(&source, &file.display().to_string());
        let good = read.map(|devices| format!("{} entries of devices", devices.entries.len()));
        return good.map_err(|problems| Wrong::Problems(Box::new(problems)));
    }
    match workflow::check(&source, &file.display().to_string()) {
        Ok(workflow) => Ok(workflow.name),
        Err(problems) => Err(Wrong::Problems(Box::new(problems))),
    }
}

fn as_json(checked: &[(Checked, PathBuf)]) -> Value {
    let items = checked.iter().map(|(result, file)| match result {
        Ok(what) => json!({ "file": file, "ok": true, "workflow": what, "problems": [] }),
        Err(Wrong::Problems(problems)) => json!({ "file": file, "ok": false, "problems": problems.to_json()["diagnostics"] }),
        Err(Wrong::Unreadable(error)) => {
            json!({ "file": file, "ok": false, "problems": [{ "code": "PH2004", "message": format!("cannot read: {error}") }] })
        }
    });
    json!({ "items": items.collect::<Vec<_>>() })
}

fn as_text(checked: &[(Checked, PathBuf)]) -> String {
    let coloured = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let colour = if coloured { Colour::Always } else { Colour::Never };
    let lines = checked.iter().map(|(result, file)| match result {
        Ok(name) => format!("ok     {}  ({name})", file.display()),
        Err(Wrong::Problems(problems)) => problems.render(colour),
        Err(Wrong::Unreadable(error)) => format!("error[PH2004]: cannot read {}: {error}", file.display()),
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), Stop> {
    let unreadable = |error: std::io::Error| Stop::usage("PH2004", format!("cannot read {}: {error}", path.display()));
    if !path.is_dir() {
        std::fs::metadata(path).map_err(unreadable)?;
        files.push(path.to_owned());
        return Ok(());
    }
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(path).map_err(unreadable)?.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    entries.sort();
    for entry in entries {
        let yaml = entry.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        if entry.is_dir() || yaml {
            collect(&entry, files)?;
        }
    }
    Ok(())
}

pub(super) fn schema() -> Result<Exit, Stop> {
    let text = serde_json::to_string_pretty(&workflow::schema()).map_err(|error| Stop::bug(error.to_string()))?;
    print::write_out(&text);
    Ok(Exit::Succeeded)
}

pub(super) fn help(args: HelpArgs) -> Result<Exit, Stop> {
    let Some(topic) = args.topic else {
        print::write_out(&overview());
        return Ok(Exit::Succeeded);
    };
    if let Some(primitive) = step::primitive(&topic) {
        print::write_out(step::help(primitive).trim_end());
        return Ok(Exit::Succeeded);
    }
    if topic == "exit-codes" {
        print::write_out(EXIT_CODES);
        return Ok(Exit::Succeeded);
    }
    let mut command = Cli::command();
    match command.find_subcommand_mut(&topic) {
        Some(command) => {
            print::write_out(&command.render_long_help().to_string());
            Ok(Exit::Succeeded)
        }
        None => Err(unknown(&topic)),
    }
}

const EXIT_CODES: &str = "  0  succeeded
  1  the run failed
  2  usage, invalid workflow or unreadable input before a run exists
  3  cancelled
  4  a daemon on another machine wants a token, or one that allows it
  5  timed out
  6  paused for a person
 69  a service or port is not to be had
 70  a bug of ours
130  interrupted by Ctrl-C; state kept, the message names the command that resumes
143  terminated; state kept";

fn overview() -> String {
    let width = PRIMITIVES.iter().map(|primitive| primitive.name.len()).max().unwrap_or(0);
    let rows = PRIMITIVES.iter().map(|primitive| format!("  {:<width$}  {}", primitive.name, primitive.about));
    let primitives = rows.collect::<Vec<_>>().join("\n");
    format!(
        "{}\nPrimitives (packhorse help NAME tells parameters, outputs and errors):\n{primitives}",
        Cli::command().render_help()
    )
}

fn unknown(topic: &str) -> Stop {
    let command = Cli::command();
    let commands = command.get_subcommands().map(clap::Command::get_name);
    let near = workflow::did_you_mean(topic, PRIMITIVES.iter().map(|primitive| primitive.name).chain(commands));
    let stop = Stop::usage("PH2006", format!("there is no primitive and no command {topic}"));
    match near {
        Some(name) => stop.hint(format!("did you mean {name}?")),
        None => stop.hint("`packhorse help` lists both"),
    }
}
