//! What can be typed after `packhorse fastdfs`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use packhorse_fastdfs::wire::{Extension, FileId, GroupName, SlavePrefix};

/// `fastdfs`.
#[derive(Debug, Args)]
#[command(after_help = "FastDFS keeps no list of files: note the ids that `upload` prints.")]
pub(in crate::cli) struct FastdfsArgs {
    /// What to do.
    #[command(subcommand)]
    pub(in crate::cli) command: FastdfsCommand,
}

/// The commands of `fastdfs`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum FastdfsCommand {
    /// The embedded tracker and storage alone, until Ctrl-C.
    Serve(ServeArgs),
    /// Uploads a file and prints its id.
    Upload(UploadArgs),
    /// Downloads a file, whole and checked, or a range of it.
    Download(DownloadArgs),
    /// Appends a file or stdin to an appender file.
    Append(AppendArgs),
    /// Tells what is known of a file: size, CRC, times, storages, metadata.
    Info(InfoArgs),
    /// Deletes files and their metadata.
    Delete(DeleteArgs),
    /// Lists groups and their storages.
    Ls(LsArgs),
}

/// Which FastDFS; shared by all but `serve`.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Which FastDFS")]
pub(super) struct ClusterArgs {
    /// Trackers: `HOST:22122,…`. Without it: the settings' `fastdfs`, where `embedded` means 127.0.0.1:22122.
    #[arg(long, env = "PACKHORSE_FASTDFS", value_name = "HOST:PORT")]
    pub(super) tracker: Option<String>,
    /// A FastDFS `client.conf`: its trackers and time-outs. Comes before --tracker.
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

/// `fastdfs serve`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ServeArgs {
    /// Address of the tracker; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:22122", value_name = "HOST:PORT")]
    pub(super) tracker: String,
    /// Address of the storage; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:23000", value_name = "HOST:PORT")]
    pub(super) storage: String,
    /// The address that clients are given for the storage, where it is not the one that it listens on.
    #[arg(long, value_name = "IP")]
    pub(super) advertise: Option<IpAddr>,
    /// Where files are kept: store path 0.
    #[arg(long, default_value = ".packhorse/fastdfs", value_name = "DIR")]
    pub(super) path: PathBuf,
    /// A further store path (1, 2, …), as a rule on another disk. Their order is part of every file id.
    #[arg(long = "store-path", value_name = "DIR")]
    pub(super) store_paths: Vec<PathBuf>,
    /// Name of the group.
    #[arg(long, default_value = "group1", value_parser = group)]
    pub(super) group: GroupName,
    /// When file bytes are forced to the disk.
    #[arg(long, value_enum, default_value_t = Fsync::Close)]
    pub(super) fsync: Fsync,
    /// MiB to leave free on each store path's disk: uploads that would take them are refused (28).
    #[arg(long, default_value_t = 0, value_name = "MIB")]
    pub(super) reserve: u64,
    /// Largest file in MiB, also after appends.
    #[arg(long, default_value_t = 1 << 20, value_name = "MIB")]
    pub(super) max_file_size: u64,
    /// Connections at once, at tracker and storage each; more are closed when they come.
    #[arg(long, default_value_t = 1024, value_name = "COUNT")]
    pub(super) max_connections: usize,
    /// Seconds that a connection may rest between requests.
    #[arg(long, default_value_t = 3600, value_name = "SECONDS")]
    pub(super) idle_timeout: u64,
    /// Seconds to wait for the next bytes within a request or an answer.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub(super) network_timeout: u64,
    /// Reads of files at once for each store path.
    #[arg(long, default_value_t = 4, value_name = "COUNT")]
    pub(super) disk_readers: usize,
    /// Writes of files at once for each store path.
    #[arg(long, default_value_t = 4, value_name = "COUNT")]
    pub(super) disk_writers: usize,
    /// Answers with address fields as wide as IPv6 needs (`response_ip_addr_size = IPv6`).
    #[arg(long)]
    pub(super) wide_addresses: bool,
}

/// When file bytes are forced to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Fsync {
    /// When the system likes.
    Never,
    /// Before an upload is answered; appends when the system likes.
    Close,
    /// Before any change is answered.
    Always,
}

/// `fastdfs upload`.
#[derive(Debug, Args)]
#[command(
    after_help = "A file over 4 MiB goes in steps as an appender file and becomes a normal one at its end (servers since 6.02). When \
    it is cut off,\nthe message names the command that goes on: upload FILE --resume ID."
)]
pub(in crate::cli) struct UploadArgs {
    /// The file.
    pub(super) file: PathBuf,
    /// Goes on with an upload of the same file that was cut off: the id that it told.
    #[arg(long, value_name = "ID", value_parser = file_id, conflicts_with_all = ["whole", "group", "storage", "slave_of"])]
    pub(super) resume: Option<FileId>,
    /// Leaves it an appender file, for more to be appended.
    #[arg(long, conflicts_with = "slave_of")]
    pub(super) appender: bool,
    /// In one request whatever its size: for servers before 6.02. Cannot be resumed.
    #[arg(long)]
    pub(super) whole: bool,
    /// Extension of the new name, at most 6 characters. Default: the file's, where it fits.
    #[arg(long, value_parser = extension)]
    pub(super) ext: Option<Extension>,
    /// To this group.
    #[arg(long, value_parser = group, conflicts_with_all = ["storage", "slave_of"])]
    pub(super) group: Option<GroupName>,
    /// To this storage, whatever the tracker would choose.
    #[arg(long, value_name = "IP:PORT", conflicts_with = "slave_of")]
    pub(super) storage: Option<SocketAddr>,
    /// To this store path of the storage, from 0.
    #[arg(long, value_name = "INDEX", requires = "storage")]
    pub(super) store_path: Option<u8>,
    /// As a slave of this file: its name with --prefix added.
    #[arg(long, value_name = "ID", value_parser = file_id, requires = "prefix")]
    pub(super) slave_of: Option<FileId>,
    /// What a slave's name adds to its master's, such as `_150x150`.
    #[arg(long, value_parser = prefix, requires = "slave_of")]
    pub(super) prefix: Option<SlavePrefix>,
    /// Metadata to set.
    #[arg(long = "meta", value_name = "KEY=VALUE", value_parser = crate::cli::args::pair)]
    pub(super) metadata: Vec<(String, String)>,
    #[command(flatten)]
    pub(super) cluster: ClusterArgs,
}

/// `fastdfs download`.
#[derive(Debug, Args)]
pub(in crate::cli) struct DownloadArgs {
    /// The file's id.
    #[arg(value_parser = file_id)]
    pub(super) id: FileId,
    /// Where to: a file or a folder; `-` is stdout. Default: its name, in the working folder.
    pub(super) to: Option<PathBuf>,
    /// Connections at once for one file; each fetches at least 4 MiB.
    #[arg(long, default_value_t = 1, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(super) connections: u16,
    /// Goes on with what a download that was cut off has left beside the target, and leaves it there if it is cut off again.
    #[arg(long, conflicts_with_all = ["offset", "length"])]
    pub(super) resume: bool,
    /// Only from this byte on.
    #[arg(long, value_name = "BYTES")]
    pub(super) offset: Option<u64>,
    /// Only so many bytes.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) length: Option<u64>,
    #[command(flatten)]
    pub(super) cluster: ClusterArgs,
}

/// `fastdfs append`.
#[derive(Debug, Args)]
pub(in crate::cli) struct AppendArgs {
    /// The id of an appender file. Nobody else should append to it meanwhile.
    #[arg(value_parser = file_id)]
    pub(super) id: FileId,
    /// What to append; `-` is stdin.
    pub(super) file: PathBuf,
    #[command(flatten)]
    pub(super) cluster: ClusterArgs,
}

/// `fastdfs info`.
#[derive(Debug, Args)]
pub(in crate::cli) struct InfoArgs {
    /// The file's id.
    #[arg(value_parser = file_id)]
    pub(super) id: FileId,
    /// Only what the id itself says; no server is asked.
    #[arg(long)]
    pub(super) local: bool,
    #[command(flatten)]
    pub(super) cluster: ClusterArgs,
}

/// `fastdfs delete`.
#[derive(Debug, Args)]
pub(in crate::cli) struct DeleteArgs {
    /// The ids of files.
    #[arg(required = true, value_parser = file_id)]
    pub(super) ids: Vec<FileId>,
    #[command(flatten)]
    pub(super) cluster: ClusterArgs,
}

/// `fastdfs ls`.
#[derive(Debug, Args)]
pub(in crate::cli) struct LsArgs {
    /// Only this group.
    #[arg(value_parser = group)]
    pub(super) group: Option<GroupName>,
    #[command(flatten)]
    pub(super) cluster: ClusterArgs,
}

fn file_id(text: &str) -> Result<FileId, String> {
    let text = text.strip_prefix("fastdfs:").unwrap_or(text);
    text.parse().map_err(|error| format!("{error}; an id looks like group1/M00/00/00/fwAAAWjx….bin"))
}

fn group(text: &str) -> Result<GroupName, String> {
    text.parse().map_err(|error| format!("{error}; a group is 1 to 16 of A-Z a-z 0-9"))
}

fn extension(text: &str) -> Result<Extension, String> {
    let text = text.strip_prefix('.').unwrap_or(text);
    text.parse().map_err(|error| format!("{error}; an extension is at most 6 of A-Z a-z 0-9 . _ -"))
}

fn prefix(text: &str) -> Result<SlavePrefix, String> {
    text.parse().map_err(|error| format!("{error}; a prefix is 1 to 16 of A-Z a-z 0-9 . _ -"))
}
