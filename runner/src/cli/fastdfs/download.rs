//! `fastdfs download`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use packhorse_fastdfs::Client;
use packhorse_fastdfs::client::{ClientError, DownloadOptions, Place};
use packhorse_fastdfs::wire::FileKind;
use serde_json::json;

use super::super::args::Output;
use super::super::bar::Bar;
use super::super::print::{self, Show};
use super::super::signals::Signals;
use super::args::DownloadArgs;
use super::connect::{client, failed};
use super::upload::{can_go_on, interrupted, same_command};
use crate::app::exit::{Exit, Stop};

pub(super) async fn download(args: DownloadArgs, show: Show) -> Result<Exit, Stop> {
    let mut signals = Signals::take()?;
    let client = client(&args.cluster, Place::Anywhere)?;
    let (id, to, resume) = (args.id.clone(), target(&args), args.resume);
    let is_stdout = to.as_os_str() == "-";
    if is_stdout && (resume || show.output == Output::Json) {
        return Err(Stop::usage("PH1007", "what goes to stdout can neither be resumed nor be told of as JSON"));
    }
    let bar = Arc::new(Bar::new(show, id.name.leaf()));
    let (of, at, shown) = (client.clone(), to.clone(), Arc::clone(&bar));
    // A task of its own: a full pipe must not keep this one from hearing signals.
    let downloading = tokio::spawn(async move {
        let in_order = is_stdout || args.offset.is_some() || args.length.is_some();
        if in_order { stream(&of, &args, &at, &shown).await } else { whole(&of, &args, &at, &shown).await }
    });
    let downloaded = tokio::select! {
        downloaded = downloading => downloaded.map_err(|panic| Stop::bug(panic.to_string()))?,
        exit = signals.next() => return Err(with_command(interrupted(exit), resume)),
    };
    bar.clear();
    let size = match downloaded {
        Ok(size) => size,
        // Whoever reads has seen enough.
        Err(ClientError::Local { source, .. }) if is_stdout && source.kind() == io::ErrorKind::BrokenPipe => {
            return Ok(Exit::Succeeded);
        }
        Err(error) => {
            let goes_on = resume && can_go_on(&error);
            return Err(with_command(failed(error), goes_on));
        }
    };
    if !is_stdout {
        let told = json!({ "file": id.to_string(), "path": to.display().to_string(), "size": size });
        show.result(&told, || format!("{}  {}", to.display(), print::bytes(size)));
    }
    client.quit().await;
    Ok(Exit::Succeeded)
}

fn target(args: &DownloadArgs) -> PathBuf {
    match &args.to {
        Some(folder) if folder.is_dir() => folder.join(args.id.name.leaf()),
        Some(to) => to.clone(),
        None => PathBuf::from(args.id.name.leaf()),
    }
}

fn with_command(stop: Stop, goes_on: bool) -> Stop {
    if goes_on { stop.hint(format!("go on with: {}", same_command(&["--resume"]))) } else { stop }
}

async fn whole(client: &Client, args: &DownloadArgs, to: &Path, bar: &Arc<Bar>) -> Result<u64, ClientError> {
    if args.id.name.info().is_ok_and(|named| named.kind == FileKind::Normal { size: 0 }) {
        // The client answers for empty files without asking anybody, whether they are there or not.
        client.file_size(&args.id).await?;
    }
    let bar = Arc::clone(bar);
    let options = DownloadOptions {
        connections: usize::from(args.connections),
        resume: args.resume,
        progress: Some(Arc::new(move |done, total| bar.at(done, total))),
    };
    client.download_to_file_with(&args.id, to, &options).await
}

/// Goes to its place as it comes: what goes to stdout cannot be taken back, and a range has no checksum.
async fn stream(client: &Client, args: &DownloadArgs, to: &Path, bar: &Arc<Bar>) -> Result<u64, ClientError> {
    let (offset, length) = (args.offset.unwrap_or(0), args.length.unwrap_or(0));
    // Before the target is made: it stays as it is where there is nothing to come.
    let size = client.file_size(&args.id).await?;
    let total = if length == 0 { size.saturating_sub(offset) } else { size.saturating_sub(offset).min(length) };
    let local = |source| ClientError::Local { what: to.to_owned(), source };
    let mut out = open(to).map_err(local)?;
    let (mut done, mut crc, mut failed) = (0, crc32fast::Hasher::new(), None);
    let take = |piece: bytes::Bytes| {
        crc.update(&piece);
        done += piece.len() as u64;
        bar.at(done, total);
        out.write_all(&piece).map_err(|error| {
            let kind = error.kind();
            failed = Some(error);
            kind.into()
        })
    };
    let streamed = client.download_each(&args.id, offset, length, take).await;
    if let Some(error) = failed {
        return Err(local(error));
    }
    let streamed = streamed?;
    out.flush().map_err(local)?;
    let named = args.id.name.info().ok().filter(|named| total == size && named.kind == FileKind::Normal { size });
    if named.is_some_and(|named| named.crc32 != crc.finalize()) {
        return Err(local(io::Error::other("what came has another CRC than the id says")));
    }
    Ok(streamed)
}

fn open(to: &Path) -> io::Result<Box<dyn io::Write + Send>> {
    Ok(match to.as_os_str() == "-" {
        true => Box::new(io::stdout()),
        false => Box::new(std::fs::File::create(to)?),
    })
}
