//! `packhorse fastdfs`: the embedded server alone, and a client of any FastDFS.
//!
//! * `args`: every command and flag; `connect`: which FastDFS, and what its refusals mean
//! * `serve`, `upload`, `download`, `append`, `look` (`info delete ls`): the commands

mod append;
pub(super) mod args;
mod connect;
mod download;
mod look;
mod serve;
mod upload;

use super::print::Show;
use crate::app::exit::{Exit, Stop};
use args::FastdfsCommand;

pub(super) async fn fastdfs(command: FastdfsCommand, show: Show) -> Result<Exit, Stop> {
    match command {
        FastdfsCommand::Serve(args) => serve::serve(args, show).await,
        FastdfsCommand::Upload(args) => upload::upload(args, show).await,
        FastdfsCommand::Download(args) => download::download(args, show).await,
        FastdfsCommand::Append(args) => append::append(args, show).await,
        FastdfsCommand::Info(args) => look::info(args, show).await,
        FastdfsCommand::Delete(args) => look::delete(args, show).await,
        FastdfsCommand::Ls(args) => look::ls(args, show).await,
    }
}
