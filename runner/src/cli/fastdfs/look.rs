//! `fastdfs info`, `delete` and `ls`.

use packhorse_fastdfs::Client;
use packhorse_fastdfs::client::Place;
use packhorse_fastdfs::wire::{FileId, FileKind, GroupRecord, Source, StorageRecord};
use serde_json::{Value, json};

use super::super::print::{self, Show};
use super::args::{DeleteArgs, InfoArgs, LsArgs};
use super::connect::{client, failed};
use crate::app::exit::{Exit, Stop};

pub(super) async fn info(args: InfoArgs, show: Show) -> Result<Exit, Stop> {
    let mut told = named(&args.id);
    if !args.local {
        let client = client(&args.cluster, Place::Anywhere)?;
        stored(&client, &args.id, &mut told).await?;
        client.quit().await;
    }
    let Value::Object(lines) = &told else { return Err(Stop::bug("what is known of a file is an object")) };
    show.result(&told, || {
        let line = |(name, value): (&String, &Value)| {
            format!("{name:<12} {}", value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned))
        };
        lines.iter().map(line).collect::<Vec<_>>().join("\n")
    });
    Ok(Exit::Succeeded)
}

/// What the id itself says.
fn named(file: &FileId) -> Value {
    let mut told =
        json!({ "file": file.to_string(), "group": file.group.as_str(), "store_path": file.name.path_index() });
    let Ok(named) = file.name.info() else { return told };
    let (kind, size) = match named.kind {
        FileKind::Normal { size } => ("normal", Some(size)),
        FileKind::Trunk { size, .. } => ("packed", Some(size)),
        FileKind::Appender => ("appender", None),
        FileKind::Slave => ("slave", None),
    };
    told["kind"] = kind.into();
    if let Some(size) = size {
        (told["size"], told["crc32"]) = (size.into(), format!("{:08x}", named.crc32).into());
    }
    told["created_unix"] = named.created_unix.into();
    told["source"] = match named.source {
        Source::Address(address) => address.to_string(),
        Source::Id(id) => id.to_string(),
    }
    .into();
    told
}

/// What the servers say.
async fn stored(client: &Client, file: &FileId, told: &mut Value) -> Result<(), Stop> {
    let info = client.file_info(file).await.map_err(failed)?;
    (told["size"], told["crc32"]) = (info.size.into(), format!("{:08x}", info.crc32).into());
    told["modified_unix"] = info.modified_unix.into();
    let storages = client.fetch_targets(file).await.map_err(failed)?;
    told["storages"] = storages.iter().map(|target| target.address.to_string()).collect();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let metadata = client.metadata(file).await.map_err(failed)?;
    told["metadata"] =
        metadata.items().map(|(key, value)| (text(key), text(value).into())).collect::<serde_json::Map<_, _>>().into();
    Ok(())
}

pub(super) async fn delete(args: DeleteArgs, show: Show) -> Result<Exit, Stop> {
    let client = client(&args.cluster, Place::Anywhere)?;
    let (mut deleted, mut refused, mut first) = (Vec::new(), Vec::new(), None);
    for file in &args.ids {
        match client.delete(file).await.map_err(failed) {
            Ok(()) => deleted.push(file.to_string()),
            Err(stop) => {
                refused.push(
                    json!({ "file": file.to_string(), "code": stop.failure.code, "message": stop.failure.message }),
                );
                if args.ids.len() > 1 {
                    print::write_err(&stop.to_string());
                }
                first.get_or_insert(stop);
            }
        }
    }
    client.quit().await;
    match first {
        Some(stop) if args.ids.len() == 1 => Err(stop),
        first => {
            let lines = || deleted.iter().map(|file| format!("deleted {file}")).collect::<Vec<_>>().join("\n");
            show.result(&json!({ "deleted": deleted, "failed": refused }), lines);
            Ok(first.map_or(Exit::Succeeded, |stop| stop.exit))
        }
    }
}

pub(super) async fn ls(args: LsArgs, show: Show) -> Result<Exit, Stop> {
    let client = client(&args.cluster, Place::Anywhere)?;
    let groups = match &args.group {
        Some(group) => vec![client.group(group).await.map_err(failed)?],
        None => client.groups().await.map_err(failed)?,
    };
    let (mut told, mut lines) = (Vec::new(), Vec::new());
    for group in &groups {
        let storages = client.storages(&group.name).await.map_err(failed)?;
        lines.push(group_line(group));
        lines.extend(storages.iter().map(storage_line));
        told.push(group_json(group, &storages));
    }
    client.quit().await;
    show.result(&json!({ "groups": told }), || lines.join("\n"));
    Ok(Exit::Succeeded)
}

fn group_line(group: &GroupRecord) -> String {
    let (free, total) = (print::bytes(group.free_mb << 20), print::bytes(group.total_mb << 20));
    format!("{:<16}  {free} free of {total}  {} storages, {} store paths", group.name, group.storages, group.paths)
}

fn storage_line(storage: &StorageRecord) -> String {
    let (free, total) = (print::bytes(storage.free_mb << 20), print::bytes(storage.total_mb << 20));
    let (address, state) = (address(storage), state(storage.status));
    format!("  {address:<21}  {state:<9}  {free} free of {total}  version {}", storage.version)
}

fn group_json(group: &GroupRecord, storages: &[StorageRecord]) -> Value {
    let storage = |storage: &StorageRecord| {
        json!({
            "id": storage.id, "address": address(storage), "state": state(storage.status), "version": storage.version,
            "total_mb": storage.total_mb, "free_mb": storage.free_mb, "started_unix": storage.started_unix,
            "connections": storage.connections,
        })
    };
    json!({
        "name": group.name.as_str(), "total_mb": group.total_mb, "free_mb": group.free_mb, "reserved_mb": group.reserved_mb,
        "readable": group.readable, "writable": group.writable, "store_paths": group.paths,
        "storages": storages.iter().map(storage).collect::<Vec<_>>(),
    })
}

fn address(storage: &StorageRecord) -> String {
    format!("{}:{}", storage.address, storage.port)
}

/// A storage's state, by its number in a storage record.
fn state(number: u8) -> &'static str {
    const STATES: [&str; 8] = ["init", "wait sync", "syncing", "ip changed", "deleted", "offline", "online", "active"];
    match number {
        9 => "recovery",
        number => STATES.get(usize::from(number)).copied().unwrap_or("unknown"),
    }
}
