//! Arguments of `plugin`: the kit for vendors.

use super::{ServiceArgs, pair};
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// `plugin`.
#[derive(Debug, Args)]
pub(in super::super) struct PluginArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: PluginCommand,
}

/// The commands of `plugin`.
#[derive(Debug, Subcommand)]
pub(in super::super) enum PluginCommand {
    /// Begins a codec: a folder in the plugins folder that builds, passes its tests and moves files, to be changed into yours.
    New {
        /// Of the codec, and of its folder: a-z, 0-9 and -.
        name: String,
        /// In what it is written. C wants clang and lld.
        #[arg(long, value_enum, default_value_t = Language::Rust)]
        lang: Language,
        /// The plugins folder.
        #[arg(long, env = "PACKHORSE_PLUGINS", value_name = "DIR")]
        plugins: Option<PathBuf>,
    },
    /// Builds codecs in Rust or C to NAME.wasm in the plugins folder.
    Build {
        /// Folders of codecs; without any, every codec in the plugins folder.
        paths: Vec<PathBuf>,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Shows what a codec is: contract version, imports, topics, modes, limits, digest.
    Inspect {
        /// A name or a path to a .wasm file.
        plugin: String,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Runs a codec's golden vectors, round trips, random bytes and a whole transfer over a lossy link. A codec whose folder lies in
    /// the plugins folder, and has changed, is built before.
    Test {
        /// Names or paths; without any, every codec that is there.
        plugins_named: Vec<String>,
        #[command(flatten)]
        place: PlaceArgs,
        /// Another folder with vectors, those of another codec of the same format too.
        #[arg(long, value_name = "DIR")]
        vectors: Option<PathBuf>,
        /// Plays the device where the codec has no device side: another codec of the same format.
        #[arg(long, value_name = "NAME[@VERSION]")]
        device: Option<String>,
        /// Random inputs to each side.
        #[arg(long, default_value_t = 20_000)]
        random: u32,
        /// Pieces of random files that go from one side to the other, in each mode.
        #[arg(long, default_value_t = 2_000)]
        round_trips: u32,
        /// Seed of everything random.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// A variable for the codec; required ones that are not given come from its vectors, or are invented.
        #[arg(long = "var", value_name = "KEY=VALUE", value_parser = pair)]
        vars: Vec<(String, String)>,
        /// The report as one JSON object, as `-o json` gives it.
        #[arg(long)]
        json: bool,
    },
    /// Times codecs: nanoseconds a packet, alone and sixteen in a call, beside the same code natively where its crate is there; what it takes
    /// to compile and to load one, and what an instance keeps in memory.
    Bench {
        /// Names or paths to .wasm files. Of several, each is set beside the native figures of the first.
        #[arg(required = true)]
        plugins_named: Vec<String>,
        #[command(flatten)]
        place: PlaceArgs,
        /// Plays the device where a codec has no device side: another codec of the same format.
        #[arg(long, value_name = "NAME[@VERSION]")]
        device: Option<String>,
        /// Bytes of file in a packet, as near as the codec allows; 1024 where it is not given.
        #[arg(long, value_name = "BYTES")]
        piece: Option<u32>,
        /// A variable for the codec.
        #[arg(long = "var", value_name = "KEY=VALUE", value_parser = pair)]
        vars: Vec<(String, String)>,
    },
    /// Shows what goes between a platform and one device, decoded as it comes from the broker; nothing is published.
    Tap {
        /// Device id.
        device: String,
        #[command(flatten)]
        listen: ListenArgs,
    },
    /// Writes what goes between a platform and one device to a file, until it is interrupted.
    Capture {
        /// Device id.
        device: String,
        /// Where to; what is there stays.
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
        #[command(flatten)]
        listen: ListenArgs,
    },
    /// Runs a captured conversation through a codec and shows where it is understood otherwise; exit 1 where it is.
    Replay {
        /// What `capture` wrote.
        file: PathBuf,
        /// Through which codec; without one, the codec that captured it, as it is now.
        #[arg(long, value_name = "NAME[@VERSION]")]
        codec: Option<String>,
        /// The plugins folder.
        #[arg(long, env = "PACKHORSE_PLUGINS", value_name = "DIR")]
        plugins: Option<PathBuf>,
        /// Writes the conversation, as this codec understands it, as a file of golden vectors.
        #[arg(long, value_name = "FILE")]
        as_vectors: Option<PathBuf>,
    },
    /// Says which version a name without one means: NAME@VERSION, which must lie in the plugins folder. Counts for runs that begin later.
    Pin {
        /// NAME@VERSION; with --off, NAME.
        plugin: String,
        /// The name means its newest version again.
        #[arg(long)]
        off: bool,
        /// The plugins folder.
        #[arg(long, env = "PACKHORSE_PLUGINS", value_name = "DIR")]
        plugins: Option<PathBuf>,
    },
    /// Pins a name to the version before the one that it means now. Counts for runs that begin later.
    Rollback {
        /// A name.
        plugin: String,
        /// The plugins folder.
        #[arg(long, env = "PACKHORSE_PLUGINS", value_name = "DIR")]
        plugins: Option<PathBuf>,
    },
    /// Lets a quarantined plugin be used again.
    Release {
        /// A name, a path to a .wasm file, or the SHA-256 of its bytes as PH6007 tells it.
        plugin: String,
        #[command(flatten)]
        services: ServiceArgs,
    },
    /// Moves runs from one build of their codec to another: those under way begin their session again at the byte where they are.
    Repin(RepinArgs),
    /// Lists the codecs that can be named.
    List {
        /// The plugins folder.
        #[arg(long, env = "PACKHORSE_PLUGINS", value_name = "DIR")]
        plugins: Option<PathBuf>,
    },
}

/// `plugin repin`.
#[derive(Debug, Args)]
pub(in super::super) struct RepinArgs {
    /// What they are pinned to: the SHA-256 of the codec's bytes, or its first eight digits or more.
    #[arg(long, value_name = "DIGEST")]
    pub from: String,
    /// What they are to be pinned to: the SHA-256 of a codec of the same name in the plugins folder, its first eight digits or more, or
    /// NAME@VERSION.
    #[arg(long, value_name = "DIGEST")]
    pub to: String,
    /// Ids of runs, or unambiguous beginnings of them. One that failed, was cancelled or timed out goes on with `packhorse retry`, one
    /// that is paused with `packhorse resume`.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub runs: Vec<String>,
    /// Every unfinished run that is pinned to --from.
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub services: ServiceArgs,
}

/// Where codecs lie, and how much they may use.
#[derive(Debug, Args)]
pub(in super::super) struct PlaceArgs {
    /// The plugins folder: `NAME.wasm`, and the codec's own folder `NAME/` with its source and `vectors/`.
    #[arg(long, env = "PACKHORSE_PLUGINS", value_name = "DIR")]
    pub plugins: Option<PathBuf>,
    /// What the codecs of this command may use, whatever `plugins.NAME.profile` says: `large` for those that bring the interpreter of their language.
    #[arg(long, value_enum)]
    pub profile: Option<ProfileChoice>,
}

/// How much a codec may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in super::super) enum ProfileChoice {
    /// What translating packets needs.
    Standard,
    /// What an interpreter needs.
    Large,
}

/// Whom to listen to, and as which codec.
#[derive(Debug, Args)]
pub(in super::super) struct ListenArgs {
    /// Which codec they speak.
    #[arg(long, value_name = "NAME[@VERSION]")]
    pub codec: String,
    /// The broker, or several with commas between them.
    #[arg(
        long,
        env = "PACKHORSE_MQTT",
        default_value = "mqtt://127.0.0.1:1883",
        value_name = "URL",
        hide_env_values = true
    )]
    pub mqtt: String,
    /// The file that is pushed, for protocols that do not tell enough of it.
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// A variable for the codec.
    #[arg(long = "var", value_name = "KEY=VALUE", value_parser = pair)]
    pub vars: Vec<(String, String)>,
    /// The plugins folder.
    #[arg(long, env = "PACKHORSE_PLUGINS", value_name = "DIR")]
    pub plugins: Option<PathBuf>,
}

/// In what a codec is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in super::super) enum Language {
    /// With the crate `packhorse-codec`.
    Rust,
    /// With `packhorse.h`.
    C,
}
