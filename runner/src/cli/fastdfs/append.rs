//! `fastdfs append`.

use std::path::Path;

use packhorse_fastdfs::Client;
use packhorse_fastdfs::client::{ClientError, Place};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::super::bar::Bar;
use super::super::print::{self, Show};
use super::super::signals::Signals;
use super::args::AppendArgs;
use super::connect::{client, failed};
use super::upload::{interrupted, name_of};
use crate::app::exit::{Exit, Stop};

/// One request appends so much.
const STEP: usize = 4 << 20;

pub(super) async fn append(args: AppendArgs, show: Show) -> Result<Exit, Stop> {
    let mut signals = Signals::take()?;
    let client = client(&args.cluster, Place::Anywhere)?;
    let before = client.file_size(&args.id).await.map_err(failed)?;
    let mut appending = Appending { client: &client, args: &args, size: before };
    let bar = Bar::new(show, &name_of(&args.file));
    let ended = tokio::select! {
        ended = appending.append(&bar) => ended.map_err(failed),
        exit = signals.next() => Err(interrupted(exit)),
    };
    bar.clear();
    let size = appending.size;
    ended.map_err(|stop| {
        stop.hint(format!(
            "of this, {} bytes are known to be appended; the file had {before} bytes before",
            size - before
        ))
    })?;
    let told = json!({ "file": args.id.to_string(), "appended": size - before, "size": size });
    show.result(&told, || format!("{}  now {}", args.id, print::bytes(size)));
    client.quit().await;
    Ok(Exit::Succeeded)
}

struct Appending<'a> {
    client: &'a Client,
    args: &'a AppendArgs,
    /// Of the file in the store, as far as it is known.
    size: u64,
}

impl Appending<'_> {
    async fn append(&mut self, bar: &Bar) -> Result<(), ClientError> {
        let path = self.args.file.as_path();
        let local = |source| ClientError::Local { what: path.to_owned(), source };
        if path == Path::new("-") {
            return self.take_from(tokio::io::stdin(), None, bar).await;
        }
        let file = tokio::fs::File::open(path).await.map_err(local)?;
        let total = file.metadata().await.map_err(local)?.len();
        self.take_from(file, Some(total), bar).await
    }

    async fn take_from(
        &mut self,
        mut source: impl AsyncRead + Unpin,
        total: Option<u64>,
        bar: &Bar,
    ) -> Result<(), ClientError> {
        let mut step = Vec::new();
        let mut done = 0;
        loop {
            step.clear();
            let read = (&mut source).take(STEP as u64).read_to_end(&mut step).await;
            let count = read.map_err(|source| ClientError::Local { what: self.args.file.clone(), source })?;
            if count == 0 {
                return Ok(());
            }
            self.size = self.client.append_at(&self.args.id, self.size, &step).await?;
            done += count as u64;
            bar.at(done, total.unwrap_or(done));
        }
    }
}
