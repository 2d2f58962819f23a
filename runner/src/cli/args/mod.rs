//! The command line as written: every command, flag and its help.
//!
//! * `daemon`: `serve`, and what only it can be asked. `hold`: holds, and `top`. `plugin`: the kit for vendors. `server`: a daemon elsewhere.

mod daemon;
mod hold;
mod plugin;
mod server;

use clap::{Args, Parser, Subcommand, ValueEnum};
pub(super) use daemon::*;
pub(super) use hold::*;
use packhorse_core::admission::Priority;
pub(super) use plugin::*;
pub(super) use server::*;
use std::path::PathBuf;

/// Runs YAML transfer workflows between a platform and its devices over MQTT.
#[derive(Debug, Parser)]
#[command(name = "packhorse", version, max_term_width = 110, propagate_version = true, disable_help_subcommand = true)]
#[command(
    after_help = "Exit codes: 0 succeeded, 1 the run failed, 2 usage or invalid input, 3 cancelled, 4 no token or one \
    that does not allow it,\n5 timed out, 6 paused for a person, 69 a service or port, 70 a bug of ours, 130/143 interrupted (state kept).\n\
    Begin with `packhorse demo`, then `packhorse help transfer.push`."
)]
pub(super) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How results are written to stdout; logs and progress go to stderr.
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// No progress bars, only results and errors.
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// More log lines: -v tells what runs and their steps do, as a daemon does without it, -vv everything. `PACKHORSE_LOG` sets a filter.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// How log lines are written to stderr.
    #[arg(long, global = true, value_enum, env = "PACKHORSE_LOG_FORMAT", default_value_t = LogFormat::Auto, hide_possible_values = false)]
    pub log_format: LogFormat,
    #[command(flatten)]
    pub at: ServerArgs,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// JSON where a daemon's stderr is no terminal, else text.
    Auto,
    /// For people.
    Text,
    /// An object a line: ts, level, msg, run_id, step, attempt, device, code.
    Json,
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Runs one workflow now, in this terminal, and waits for its end.
    Run(RunArgs),
    /// Goes on with a run that was interrupted or paused: in the daemon of the data folder, or in this terminal where there is none.
    Resume(ResumeArgs),
    /// The daemon: takes up what is unfinished, starts runs for others, and loads workflows and plugins anew whenever their files change.
    Serve(ServeArgs),
    /// Has the daemon look at its folders now and tells what it found; exit 1 where something newest is not good.
    Reload(DataArgs),
    /// Lists what starts runs by itself in the daemon: messages, times, files, requests.
    Triggers(DataArgs),
    /// What came to a trigger and no run could be made of: lists, shows, drops, or tries it once more.
    DeadLetters(LettersArgs),
    /// Makes a token for the daemon's API, and prints the lines for `packhorse.yaml` that allow it.
    Token(TokenArgs),
    /// Prints the OpenAPI document of the daemon's API.
    Openapi,
    /// Lists runs, newest first.
    Ps(PsArgs),
    /// A live view of the process that works on the data folder: runs, bars, rates, and what waits for what. `q` or Ctrl-C ends it.
    Top(TopArgs),
    /// Shows one run: its steps, outputs and traffic.
    Show(RunRef),
    /// Tells why a run waits, what is known of a device, or what a code means.
    Explain(ExplainArgs),
    /// Cancels a run: it ends at a packet boundary, tells the device where its protocol can, and runs `finally`.
    Cancel(CancelArgs),
    /// Pauses a run at the next packet boundary; `packhorse resume` goes on.
    Pause(RunRef),
    /// Continues a failed run at the failed step.
    Retry(RunRef),
    /// Holds runs: nothing that the selector means begins, and running transfers park at the next packet.
    Hold(HoldArgs),
    /// Ends holds; what waited for them goes on by itself.
    Release(ReleaseArgs),
    /// Lists holds.
    Holds(DataArgs),
    /// Prints the journal of a run: everything that was decided, in order.
    Logs(LogsArgs),
    /// Looks at broker, file store, Redis, clock, disk, rights, codecs and workflows, and says what to do.
    Doctor(ServiceArgs),
    /// Forgets runs that are older than they are kept (`retention` in packhorse.yaml), and what only they needed.
    Gc(GcArgs),
    /// Checks files of workflows and devices and reports every problem with its place.
    Validate(ValidateArgs),
    /// Prints the JSON Schema of workflows, for editors.
    Schema,
    /// Explains a primitive (`transfer.push`), or a command.
    Help(HelpArgs),
    /// Builds, inspects and tests codecs.
    Plugin(PluginArgs),
    /// A simulated device for any codec that has a device side.
    Device(DeviceArgs),
    /// Lists what is registered of devices, or shows what one device id comes to.
    Devices(DevicesArgs),
    /// A client of any FastDFS, and the embedded server alone.
    Fastdfs(super::fastdfs::args::FastdfsArgs),
    /// The embedded MQTT broker alone.
    Broker(BrokerArgs),
    /// Everything embedded: three workflows over a lossy link, one kill and resume.
    Demo(DemoArgs),
    /// Prints a completion script.
    Completions(CompletionsArgs),
}

/// Where things are; shared by the commands that run workflows.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Services and folders")]
pub(super) struct ServiceArgs {
    /// `embedded`, `embedded://HOST:PORT`, `mqtt://[USER:PASSWORD@]HOST[:PORT]` or `mqtts://…`; several brokers with
    /// commas between them. Variables `PACKHORSE_MQTT__NAME` (and `mqtt:` in packhorse.yaml) say more: USER, PASSWORD or
    /// PASSWORD_FILE, CA_FILE, CERT_FILE, KEY_FILE, TLS_SERVER_NAME, CLIENT_ID, VERSION (auto, 5, 3.1.1), SESSION (clean,
    /// keep), KEEP_ALIVE.
    #[arg(long, env = "PACKHORSE_MQTT", value_name = "URL", hide_env_values = true)]
    pub mqtt: Option<String>,
    /// `embedded` or `embedded://HOST:PORT` (the tracker's), or trackers: `HOST:22122,…`.
    #[arg(long, env = "PACKHORSE_FASTDFS", value_name = "ADDRESS")]
    pub fastdfs: Option<String>,
    /// `embedded`: the data folder's own key-value store, or `redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]` or `rediss://…`.
    #[arg(long, env = "PACKHORSE_REDIS", value_name = "URL", hide_env_values = true)]
    pub redis: Option<String>,
    /// Where the journal of runs is kept: `embedded` (the data folder), or `redis` (the server that --redis names).
    #[arg(long, env = "PACKHORSE_STORE", value_name = "KIND")]
    pub store: Option<String>,
    /// Where runs, the spool and embedded files are kept.
    #[arg(long, env = "PACKHORSE_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Where codecs lie: NAME.wasm, NAME@VERSION.wasm.
    #[arg(long, env = "PACKHORSE_PLUGINS", value_name = "DIR")]
    pub plugins: Option<PathBuf>,
    /// Where workflows are looked for by name.
    #[arg(long, env = "PACKHORSE_WORKFLOWS", value_name = "DIR")]
    pub workflows: Option<PathBuf>,
    /// Where files of devices lie: which codec, variables and bounds go with which device id.
    #[arg(long, env = "PACKHORSE_DEVICES", value_name = "DIR")]
    pub devices: Option<PathBuf>,
}

/// `run`.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// A file, or the name of a workflow in the workflows folder.
    pub workflow: String,
    /// An input of the workflow; a `file` input takes a path, `fastdfs:ID`, `md5:HEX` or `sha256:HEX`.
    #[arg(short, long = "input", value_name = "KEY=VALUE", value_parser = pair)]
    pub input: Vec<(String, String)>,
    /// One run for each line of a file, the line as the input `device`.
    #[arg(long, value_name = "FILE")]
    pub each: Option<PathBuf>,
    /// With --each: at most so many runs at once.
    #[arg(long, value_name = "N", default_value_t = 100, requires = "each")]
    pub parallel: usize,
    /// With --each: after so many runs that did not succeed no new ones are started; those under way go on to their end.
    #[arg(long, value_name = "K", requires = "each", value_parser = clap::value_parser!(u32).range(1..))]
    pub stop_after_failures: Option<u32>,
    /// Has the daemon of the data folder run it, prints the run's id and returns; relative files count from here.
    #[arg(short, long, conflicts_with = "each")]
    pub detach: bool,
    /// Where a daemon runs it: one run for all commands with this key, however often they are given, for 7 days; the same key with another
    /// request is refused.
    #[arg(long, value_name = "KEY", conflicts_with = "each", value_parser = key)]
    pub idempotency_key: Option<String>,
    /// Another codec than the device's entry or the workflow names.
    #[arg(long, value_name = "NAME[@VERSION]")]
    pub codec: Option<String>,
    /// A variable for the codec.
    #[arg(long = "var", value_name = "KEY=VALUE", value_parser = pair)]
    pub vars: Vec<(String, String)>,
    /// How urgent it is, whatever the workflow says: critical, high, normal, low, bulk, or 1 to 5.
    #[arg(long, value_name = "P")]
    pub priority: Option<Priority>,
    #[command(flatten)]
    pub services: ServiceArgs,
}

/// `resume`.
#[derive(Debug, Args)]
pub(super) struct ResumeArgs {
    /// Its id, or an unambiguous beginning of it; without one, the only unfinished run.
    pub run: Option<String>,
    #[command(flatten)]
    pub services: ServiceArgs,
}

/// `ps`.
#[derive(Debug, Args)]
pub(super) struct PsArgs {
    /// Finished runs too.
    #[arg(short, long)]
    pub all: bool,
    /// At most so many.
    #[arg(long, default_value_t = 50)]
    pub limit: usize,
    /// The data folder.
    #[arg(long, env = "PACKHORSE_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// A run, by id.
#[derive(Debug, Args)]
pub(super) struct RunRef {
    /// Its id, or an unambiguous beginning of it.
    pub run: String,
    /// The data folder.
    #[arg(long, env = "PACKHORSE_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// `explain`.
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// A run id, a device id, or a code such as PH5101.
    pub subject: String,
    /// The data folder.
    #[arg(long, env = "PACKHORSE_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// `cancel`.
#[derive(Debug, Args)]
pub(super) struct CancelArgs {
    #[command(flatten)]
    pub run: RunRef,
    /// Why, for the journal.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// `gc`.
#[derive(Debug, Args)]
pub(super) struct GcArgs {
    /// Only says what would go.
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub services: ServiceArgs,
}

/// `validate`.
#[derive(Debug, Args)]
pub(super) struct ValidateArgs {
    /// Files or folders; without any, the workflows folder.
    pub paths: Vec<PathBuf>,
    /// The folder for names.
    #[arg(long, env = "PACKHORSE_WORKFLOWS", value_name = "DIR")]
    pub workflows: Option<PathBuf>,
}

/// `help`.
#[derive(Debug, Args)]
pub(super) struct HelpArgs {
    /// A primitive, a command, or `exit-codes`; without one, the list of both.
    pub topic: Option<String>,
}

/// `device`.
#[derive(Debug, Args)]
pub(super) struct DeviceArgs {
    /// Which codec it speaks.
    #[arg(long, value_name = "NAME[@VERSION]")]
    pub codec: String,
    /// Device id; with --count its beginning.
    #[arg(long)]
    pub id: String,
    /// So many devices in this process: ID-1, ID-2, …, each in a folder of its name.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub count: Option<u32>,
    /// Where it stores what it gets and has what it serves.
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// The broker, or several with commas between them; `embedded` is not one here. The client id is never the runner's:
    /// `PACKHORSE_MQTT__CLIENT_ID` gets the device's id appended.
    #[arg(
        long,
        env = "PACKHORSE_MQTT",
        default_value = "mqtt://127.0.0.1:1883",
        value_name = "URL",
        hide_env_values = true
    )]
    pub mqtt: String,
    /// The plugins folder.
    #[arg(long, env = "PACKHORSE_PLUGINS", value_name = "DIR")]
    pub plugins: Option<PathBuf>,
    /// A variable for the codec.
    #[arg(long = "var", value_name = "KEY=VALUE", value_parser = pair)]
    pub vars: Vec<(String, String)>,
    #[command(flatten)]
    pub faults: FaultArgs,
}

/// Faults that a simulated device injects. Shares are from 0 to 1.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Faults (each message, from 0 to 1)")]
pub(super) struct FaultArgs {
    /// Lost, in each direction independently.
    #[arg(long, value_name = "P", value_parser = share)]
    pub loss: Option<f64>,
    /// Lost on the way from the device.
    #[arg(long, value_name = "P", value_parser = share)]
    pub loss_up: Option<f64>,
    /// Lost on the way to the device.
    #[arg(long, value_name = "P", value_parser = share)]
    pub loss_down: Option<f64>,
    /// Delivered twice.
    #[arg(long, value_name = "P", value_parser = share, default_value_t = 0.0)]
    pub duplicate: f64,
    /// Overtaken by later ones.
    #[arg(long, value_name = "P", value_parser = share, default_value_t = 0.0)]
    pub reorder: f64,
    /// One byte changed.
    #[arg(long, value_name = "P", value_parser = share, default_value_t = 0.0)]
    pub corrupt: f64,
    /// Restarts, losing what is not on disk, after about so many seconds, again and again.
    #[arg(long, value_name = "SECONDS")]
    pub restart_every: Option<f64>,
    /// Seed of the faults.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// `broker`.
#[derive(Debug, Args)]
pub(super) struct BrokerArgs {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:1883", value_name = "HOST:PORT")]
    pub listen: String,
}

/// `demo`.
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Size of the generated image in MiB.
    #[arg(long, default_value_t = 3)]
    pub size: u32,
    /// Messages lost in each direction, from 0 to 1.
    #[arg(long, default_value_t = 0.1, value_parser = share)]
    pub loss: f64,
    /// Seed of image and faults.
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// Keeps the demo's folder and prints where it is.
    #[arg(long)]
    pub keep: bool,
}

/// `completions`.
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// For which shell.
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("`{text}` is not KEY=VALUE"))?;
    if key.is_empty() { Err("the key is empty".to_owned()) } else { Ok((key.to_owned(), value.to_owned())) }
}

fn key(text: &str) -> Result<String, String> {
    if crate::serve::control::is_key(text) {
        Ok(text.to_owned())
    } else {
        Err("it is 1 to 255 visible ASCII characters".to_owned())
    }
}

fn share(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    if (0.0..=1.0).contains(&value) { Ok(value) } else { Err(format!("{value} is not between 0 and 1")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
