//! `fastdfs upload`.

use std::path::Path;
use std::sync::Arc;

use packhorse_fastdfs::Client;
use packhorse_fastdfs::client::{ClientError, Place, ResumableUpload};
use packhorse_fastdfs::wire::{Extension, FileId, FileKind, Metadata, MetadataFlag, NameInfo};
use serde_json::json;

use super::super::bar::Bar;
use super::super::print::Show;
use super::super::signals::Signals;
use super::args::UploadArgs;
use super::connect::{client, failed};
use crate::app::exit::{Exit, Stop};

/// Files up to this size go in one request: there is nothing to resume.
const IN_ONE: u64 = 4 << 20;

pub(super) async fn upload(args: UploadArgs, show: Show) -> Result<Exit, Stop> {
    let mut signals = Signals::take()?;
    let metadata = metadata(&args)?;
    let size = size_of(&args.file)?;
    let client = client(&args.cluster, place(&args))?;
    let bar = Arc::new(Bar::new(show, &name_of(&args.file)));
    let uploading = Uploading { args: &args, size, bar, begun: Arc::default() };
    let uploaded = tokio::select! {
        uploaded = uploading.upload(&client) => uploaded.map_err(|error| uploading.stopped(error)),
        exit = signals.next() => Err(uploading.with_command(interrupted(exit))),
    };
    uploading.bar.clear();
    let file = uploaded?;
    if !metadata.is_empty() {
        let setting = client.set_metadata(&file, &metadata, MetadataFlag::Overwrite);
        let set = tokio::select! {
            set = setting => set.map_err(failed),
            exit = signals.next() => Err(interrupted(exit)),
        };
        set.map_err(|stop| stop.hint(format!("the file itself is stored, without its metadata: {file}")))?;
    }
    tell(&args, &file, size, show);
    client.quit().await;
    Ok(Exit::Succeeded)
}

fn tell(args: &UploadArgs, file: &FileId, size: u64, show: Show) {
    let named = file.name.info().ok();
    let own_crc = |named: &NameInfo| matches!(named.kind, FileKind::Normal { .. } | FileKind::Trunk { .. });
    let crc32 = named.filter(|named| own_crc(named) && args.slave_of.is_none());
    let crc32 = crc32.map(|named| format!("{:08x}", named.crc32));
    show.result(&json!({ "file": file.to_string(), "size": size, "crc32": crc32 }), || file.to_string());
    if args.slave_of.is_some() && named.is_some_and(|named| named.kind != FileKind::Slave) {
        show.note(
            "note: this name looks like that of an ordinary file; with an extension or a longer prefix it does not",
        );
    }
}

/// An end by a signal.
pub(super) fn interrupted(exit: Exit) -> Stop {
    Stop { exit, ..Stop::usage("PH1008", "interrupted before its end") }
}

struct Uploading<'a> {
    args: &'a UploadArgs,
    size: u64,
    bar: Arc<Bar>,
    /// What `--resume` takes when this is cut off.
    begun: Arc<std::sync::OnceLock<FileId>>,
}

impl Uploading<'_> {
    async fn upload(&self, client: &Client) -> Result<FileId, ClientError> {
        let args = self.args;
        let extension = args.ext.unwrap_or_else(|| Extension::of_file_name(&name_of(&args.file)));
        if let (Some(master), Some(prefix)) = (&args.slave_of, &args.prefix) {
            let content = tokio::fs::read(&args.file).await;
            let content = content.map_err(|source| ClientError::Local { what: args.file.clone(), source })?;
            return client.upload_slave(master, prefix, &extension, &content).await;
        }
        let in_steps = args.resume.is_some() || self.size > IN_ONE && !args.whole;
        match (in_steps, args.appender) {
            (true, _) => client.upload_resumable(&args.file, &extension, self.in_steps()).await,
            (false, true) => client.upload_appender_file(&args.file, &extension).await,
            (false, false) => client.upload_file(&args.file, &extension).await,
        }
    }

    fn in_steps(&self) -> ResumableUpload {
        let (bar, told, begun) = (Arc::clone(&self.bar), Arc::clone(&self.bar), Arc::clone(&self.begun));
        ResumableUpload {
            resume: self.args.resume.clone(),
            keep_appender: self.args.appender,
            begun: Some(Arc::new(move |file: &FileId| {
                // Told at once: who is killed can tell nothing any more.
                told.say(&format!("  begun; `--resume {file}` goes on if it is cut off"));
                drop(begun.set(file.clone()));
            })),
            progress: Some(Arc::new(move |done, total| bar.at(done, total))),
        }
    }

    /// With the command that goes on, where that makes sense.
    fn stopped(&self, error: ClientError) -> Stop {
        let goes_on = can_go_on(&error);
        let stop = failed(error);
        if goes_on { self.with_command(stop) } else { stop }
    }

    fn with_command(&self, stop: Stop) -> Stop {
        match self.begun.get() {
            Some(file) => stop.hint(format!("go on with: {}", same_command(&["--resume", &file.to_string()]))),
            None => stop,
        }
    }
}

/// Whether what is there after a failure can be gone on with.
pub(super) fn can_go_on(error: &ClientError) -> bool {
    error.is_transient() && !matches!(error, ClientError::Mismatch { .. })
}

/// The command that was typed, with a flag set anew.
pub(super) fn same_command(flag: &[&str]) -> String {
    let mut words = Vec::new();
    let mut typed = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    while let Some(word) = typed.next() {
        match flag {
            [name, rest @ ..] if word == *name => rest.iter().for_each(|_| drop(typed.next())),
            [name, ..] if word.starts_with(&format!("{name}=")) => {}
            _ => words.push(word),
        }
    }
    words.extend(flag.iter().map(|&word| word.to_owned()));
    let quoted: Vec<_> = words.iter().map(|word| quoted(word)).collect();
    format!("packhorse {}", quoted.join(" "))
}

/// As a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn place(args: &UploadArgs) -> Place {
    match (args.storage, args.group) {
        (Some(address), _) => Place::Storage { address, path_index: args.store_path },
        (None, Some(group)) => Place::Group(group),
        (None, None) => Place::Anywhere,
    }
}

fn metadata(args: &UploadArgs) -> Result<Metadata, Stop> {
    let mut metadata = Metadata::default();
    for (key, value) in &args.metadata {
        let added = metadata.insert(key.as_bytes(), value.as_bytes());
        added.map_err(|error| Stop::usage("PH1007", format!("--meta {key}={value}: {error}")))?;
    }
    Ok(metadata)
}

fn size_of(path: &Path) -> Result<u64, Stop> {
    let metadata = std::fs::metadata(path).and_then(|metadata| match metadata.is_file() {
        true => Ok(metadata.len()),
        false => Err(std::io::Error::other("it is not a file")),
    });
    metadata.map_err(|error| Stop::usage("PH4106", format!("cannot upload {}: {error}", path.display())))
}

/// The last part of a path.
pub(super) fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_come_back_from_a_shell_as_they_were() {
        assert_eq!(quoted("a/b.bin"), "a/b.bin");
        assert_eq!(quoted("my file"), "'my file'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
    }
}
