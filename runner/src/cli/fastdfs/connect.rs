//! Which FastDFS is meant, and what its refusals mean for whoever typed a command.

use packhorse_core::failure::chain;
use packhorse_fastdfs::Client;
use packhorse_fastdfs::client::{ClientError, ClientOptions, Operation, Place};
use packhorse_fastdfs::wire::Status;

use super::args::ClusterArgs;
use crate::app::exit::{Exit, Stop};
use crate::settings::{FastdfsAt, Given};

/// A client of the FastDFS that flags, variables and settings name.
pub(super) fn client(args: &ClusterArgs, place: Place) -> Result<Client, Stop> {
    let mut options = match &args.config {
        Some(path) => ClientOptions::from_conf(path).map_err(|error| Stop::usage("PH1007", chain(&error)))?,
        None => ClientOptions::new(trackers(args)?),
    };
    options.place = place;
    Ok(Client::new(options))
}

fn trackers(args: &ClusterArgs) -> Result<Vec<String>, Stop> {
    let given = Given { fastdfs: args.tracker.clone(), ..Given::default() };
    Ok(match crate::cli::load(given)?.fastdfs {
        FastdfsAt::Embedded(address) => vec![address.to_string()],
        FastdfsAt::Trackers(trackers) => trackers,
    })
}

/// What a failed operation means.
pub(super) fn failed(error: ClientError) -> Stop {
    let words = chain(&error);
    let about_a_file =
        !matches!(error.operation(), Some(Operation::StoreQuery | Operation::FetchQuery | Operation::List));
    let refused = |code: &str| Stop { exit: Exit::Failed, ..Stop::usage(code, words.clone()) };
    match &error {
        ClientError::Local { .. } => Stop::usage("PH4106", words),
        ClientError::Differs { .. } => {
            refused("PH4107").hint("give the same file as before, or upload it anew without --resume")
        }
        ClientError::Mismatch { .. } => refused("PH4108"),
        error => match error.status() {
            Some(Status::NOT_FOUND) if about_a_file => refused("PH4101"),
            Some(Status::NOT_FOUND) => {
                refused("PH4103").hint("the tracker knows no such group, or no storage that is active")
            }
            Some(Status::NO_SPACE) => refused("PH4104"),
            Some(status) if !status.is_transient() => refused("PH4103"),
            _ if error.is_transient() => Stop::unavailable("PH4102", words)
                .hint("is the tracker there? `--tracker HOST:22122` says which one is meant"),
            _ => refused("PH4103"),
        },
    }
}
