//! `devices`: what is registered, and what one device id comes to; of the daemon, or of the folder where there is none.

use super::args::{DevicesArgs, DevicesCommand, ServerArgs};
use super::print::Show;
use super::remote;
use crate::app;
use crate::app::exit::{Exit, Stop};
use crate::serve::control::Question;
use crate::serve::http::{DeviceList, DeviceView};
use crate::settings::{Given, Settings};
use serde_json::Value;

pub(super) async fn devices(args: DevicesArgs, at: &ServerArgs, show: Show) -> Result<Exit, Stop> {
    let (server, token_file) = (at.server(), at.token_file.clone());
    let given = Given { data: args.data, devices: args.devices, server, token_file, ..Given::default() };
    let settings = super::load(given)?;
    match args.what {
        None | Some(DevicesCommand::List) => {
            let value = told(&settings, None).await?;
            show.result(&value, || table(&value));
        }
        Some(DevicesCommand::Show { id }) => {
            let value = told(&settings, Some(id)).await?;
            show.result(&value, || page(&value));
        }
    }
    Ok(Exit::Succeeded)
}

/// Asks the daemon; without one the folder is read, and what devices said of themselves stays in the store.
async fn told(settings: &Settings, id: Option<String>) -> Result<Value, Stop> {
    match remote::ask(settings, &Question::Devices { id: id.clone() }).await {
        Ok(Some(value)) => return Ok(value),
        // A process that works on one run knows no more than the folder says.
        Ok(None) => {}
        Err(failure) if failure.code == "PH8006" && settings.server.is_none() => {}
        Err(failure) => return Err(super::ask::stop(failure)),
    }
    let folder = settings.devices.clone();
    let registry = app::with_large_stack(move || app::read_devices(&folder)).await??;
    let value = match id {
        None => serde_json::to_value(DeviceList::plain(&registry)),
        Some(id) => serde_json::to_value(DeviceView::plain(&registry, &id, None)),
    };
    value.map_err(|error| Stop::bug(error.to_string()))
}

fn word<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn table(value: &Value) -> String {
    let files: Vec<&Value> = list(value, "files").collect();
    let state = |file: &str| {
        let stale = files.iter().any(|known| word(known, "name") == file && known["stale"] == true);
        if stale { "stale" } else { "" }
    };
    let row = |item: &Value| {
        let file = word(item, "file");
        let line = format!(
            "{:<32} {:<24} {:<20} {file:<16} {}",
            word(item, "match"),
            word(item, "codec"),
            word(item, "model"),
            state(file)
        );
        line.trim_end().to_owned()
    };
    let mut lines: Vec<String> = list(value, "items").map(row).collect();
    if lines.is_empty() {
        lines.push("no devices are registered".to_owned());
    } else {
        lines.insert(0, format!("{:<32} {:<24} {:<20} FILE", "MATCH", "CODEC", "MODEL"));
    }
    lines.extend(files.iter().filter_map(|file| Some(refused(word(file, "name"), file.get("load_error")?))));
    lines.join("\n")
}

fn refused(name: &str, error: &Value) -> String {
    format!(
        "{name}: its newest content does not count [{}]\n{}",
        word(error, "code"),
        word(error, "message").trim_end()
    )
}

fn page(value: &Value) -> String {
    let mut lines = vec![word(value, "id").to_owned()];
    match (value.get("match"), value.get("file")) {
        (Some(Value::String(pattern)), Some(Value::String(file))) => {
            let stale = if value["stale"] == true { ", of which the newest content does not count" } else { "" };
            lines.push(format!("  entry     {pattern} in file {file}{stale}"));
        }
        _ => lines.push("  entry     none".to_owned()),
    }
    let known = value.get("device").and_then(Value::as_object).into_iter().flatten();
    let known = known.filter(|(name, value)| *name != "id" && !value.is_null() && *value != &serde_json::json!({}));
    for (name, value) in known {
        lines.push(format!("  {name:<9} {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
    }
    lines.extend(presence(&value["presence"]).map(|words| format!("  presence  {words}")));
    lines.join("\n")
}

/// Whether a device is there, in words; nothing where nothing is known.
pub(super) fn presence(known: &Value) -> Option<String> {
    let (online, since) = (known.get("online")?.as_bool()?, word(known, "since"));
    let told = match (online, word(known, "by")) {
        (true, "traffic") => "it was heard",
        (true, _) => "it said so itself",
        (false, _) => "its will message said",
    };
    let heard = known.get("heard_at").and_then(Value::as_str);
    let heard = heard.map_or_else(String::new, |at| format!("; last heard {at}"));
    let state = if online { "online" } else { "offline" };
    Some(format!("{state} since {since}, as {told}{heard}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn stale_and_refused_files_are_told() {
        let error = json!({ "code": "PH2011", "message": "lab.yaml:3: no" });
        let value = json!({
            "items": [{ "match": "gw-*", "codec": "acme-tlv", "model": null, "file": "lab" }],
            "files": [{ "name": "lab", "stale": true, "load_error": error }, { "name": "good", "stale": false }],
        });
        let text = table(&value);
        assert!(text.contains("gw-*") && text.contains("stale") && text.contains("PH2011"), "{text}");
        assert_eq!(table(&json!({ "items": [], "files": [] })), "no devices are registered");
    }

    #[test]
    fn a_page_shows_what_is_known_and_nothing_else() {
        let device = json!({ "id": "a", "codec": "acme-tlv", "model": null, "vars": {}, "labels": { "site": "x" } });
        let text = page(&json!({ "id": "a", "match": "a", "file": "lab", "stale": false, "device": device }));
        assert!(text.contains("acme-tlv") && text.contains("site") && !text.contains("vars"), "{text}");
        let known = json!({ "online": false, "since": "S", "heard_at": "H", "by": "will" });
        let text = page(&json!({ "id": "b", "stale": false, "device": { "id": "b" }, "presence": known }));
        assert!(
            text.contains("none") && text.contains("offline since S, as its will message said; last heard H"),
            "{text}"
        );
        let text = page(&json!({ "id": "b", "stale": false, "device": { "id": "b" }, "presence": null }));
        assert!(!text.contains("presence"), "{text}");
    }
}
