//! What can go wrong with a plugin: before it runs (`PluginError`) and in a call (`CallError`).

use std::path::PathBuf;

use packhorse_core::transfer::{RouteError, Text};

use super::Function;

/// Why a plugin could not be loaded or a session not opened.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// No file and no embedded codec has this name.
    #[error("codec `{name}` is not built{looked}; build it with `packhorse plugin build{hint}`")]
    NotBuilt {
        /// As referred to.
        name: String,
        /// Where it was looked for, with a leading blank, or empty.
        looked: String,
        /// The rest of the command that builds it, with a leading blank, or empty.
        hint: String,
    },
    /// There are files of this name, and none of this version.
    #[error("codec `{name}` has no version {wanted}; there is {found}")]
    NoSuchVersion {
        /// Its name.
        name: String,
        /// The version that was asked for.
        wanted: String,
        /// The versions that are there.
        found: String,
    },
    /// The reference is neither a name nor a path.
    #[error("`{reference}` names no codec: write NAME, NAME@VERSION or the path of a .wasm file")]
    BadReference {
        /// As written.
        reference: String,
    },
    /// A file that could not be read or written.
    #[error("cannot {verb} {path}")]
    File {
        /// What was tried.
        verb: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// More than its profile allows.
    #[error("plugin {name} has {found}, more than the {limit} that a plugin may have{hint}")]
    TooLarge {
        /// Of the file.
        name: String,
        /// How much, of what.
        found: String,
        /// The most that is taken.
        limit: String,
        /// What would let it be taken.
        hint: String,
    },
    /// The bytes are no component of ours.
    #[error("plugin {name} {problem}")]
    NotACodec {
        /// Of the file.
        name: String,
        /// What it is instead, and what to do.
        problem: String,
    },
    /// It wants something from the outside.
    #[error("plugin {name} imports {import}, which no codec may: {hint}")]
    ForbiddenImport {
        /// Of the file.
        name: String,
        /// The interface, as it names it.
        import: String,
        /// What the author should do.
        hint: &'static str,
    },
    /// A step plugin wants an interface that it was not granted.
    #[error(
        "plugin {name} imports {import}, which it was not granted: write `{setting}` in packhorse.yaml, or do without it"
    )]
    NotGranted {
        /// Of the plugin.
        name: String,
        /// The interface, as it names it.
        import: String,
        /// What would grant it.
        setting: String,
    },
    /// It was built against another contract.
    #[error("plugin {name} speaks {contract} {found}, this runner speaks {ours}: {hint}")]
    WrongContract {
        /// Of the file.
        name: String,
        /// Which contract.
        contract: &'static str,
        /// Its contract version.
        found: String,
        /// Ours.
        ours: &'static str,
        /// Which of the two should be renewed.
        hint: &'static str,
    },
    /// The compiler or linker refused it.
    #[error("plugin {name} cannot be compiled: {problem}")]
    Compile {
        /// Of the file.
        name: String,
        /// The compiler's words.
        problem: String,
    },
    /// Compiling it took more than it may.
    #[error("plugin {name} is not taken: compiling it takes more than {what}{hint}")]
    CompileLimit {
        /// Of the file.
        name: String,
        /// Of what, and how much.
        what: String,
        /// What would let it be taken.
        hint: String,
    },
    /// No key that counts has signed its file.
    #[error("plugin {} is not signed by anybody whose plugins are taken: {problem}", path.display())]
    Unsigned {
        /// Its file.
        path: PathBuf,
        /// What is wrong with what lies beside it.
        problem: String,
    },
    /// What it says of itself makes no sense.
    #[error("plugin {name} describes itself wrongly: {problem}")]
    Description {
        /// Of the file.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// A call failed while it was loaded or opened.
    #[error(transparent)]
    Call(#[from] CallError),
    /// Its `open` said no.
    #[error("plugin {plugin} refuses this transfer: {}", said(text))]
    Refused {
        /// Name and version.
        plugin: String,
        /// Its words.
        text: Text,
    },
    /// A variable is missing, unknown or not of the declared pattern.
    #[error("plugin {plugin}: variable `{variable}` {problem}")]
    Variable {
        /// Name and version.
        plugin: String,
        /// Of the variable.
        variable: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The topics cannot be built for this device.
    #[error("plugin {plugin}: {source}")]
    Route {
        /// Name and version.
        plugin: String,
        /// Why not.
        source: RouteError,
    },
    /// It has no device side.
    #[error("plugin {plugin} has no device side: it cannot simulate a device")]
    NoDeviceSide {
        /// Name and version.
        plugin: String,
    },
    /// All instance slots are taken.
    #[error("no room for another session of plugin {plugin}: all {slots} slots are taken")]
    NoSlot {
        /// Name and version.
        plugin: String,
        /// How many there are.
        slots: u32,
    },
    /// WebAssembly cannot run here.
    #[error("cannot start the WebAssembly engine: {problem}")]
    Engine {
        /// The engine's words.
        problem: String,
    },
    /// `plugin new` wrote nothing.
    #[error("cannot begin a codec in {path}: {problem}")]
    New {
        /// Where it would have been.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
    /// `plugin build` failed.
    #[error("cannot build {path}: {problem}")]
    Build {
        /// Of the crate or module.
        path: PathBuf,
        /// The end of what the tool said.
        problem: String,
    },
    /// A captured conversation that cannot be read.
    #[error("{path}: {problem}")]
    Capture {
        /// Of the file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A pin that says no version, or that cannot be set.
    #[error("{path}: {problem}")]
    Pin {
        /// Of the file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A vectors file that cannot be read.
    #[error("{path}: {problem}")]
    Vectors {
        /// Of the file.
        path: PathBuf,
        /// Which case, and what is wrong.
        problem: String,
    },
}

impl PluginError {
    /// A stable code for the journal and `explain`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotBuilt { .. } => "plugin_not_built",
            Self::NoSuchVersion { .. } => "plugin_no_such_version",
            Self::BadReference { .. } => "plugin_bad_reference",
            Self::File { .. } => "plugin_file",
            Self::TooLarge { .. } => "plugin_too_large",
            Self::NotACodec { .. } => "plugin_not_a_codec",
            Self::ForbiddenImport { .. } => "plugin_forbidden_import",
            Self::NotGranted { .. } => "plugin_not_granted",
            Self::WrongContract { .. } => "plugin_wrong_contract",
            Self::Compile { .. } => "plugin_compile",
            Self::CompileLimit { .. } => "plugin_compile_limit",
            Self::Unsigned { .. } => "plugin_unsigned",
            Self::Description { .. } => "plugin_description",
            Self::Call(call) => call.code(),
            Self::Refused { .. } => "plugin_refused",
            Self::Variable { .. } => "plugin_variable",
            Self::Route { .. } => "plugin_route",
            Self::NoDeviceSide { .. } => "plugin_no_device_side",
            Self::NoSlot { .. } => "plugin_no_slot",
            Self::Engine { .. } => "plugin_engine",
            Self::New { .. } => "plugin_new",
            Self::Build { .. } => "plugin_build",
            Self::Capture { .. } => "plugin_capture",
            Self::Pin { .. } => "plugin_pin",
            Self::Vectors { .. } => "plugin_vectors",
        }
    }
}

impl PluginError {
    /// The number under which people look it up: its own where it has one, else `usual`.
    pub const fn number(&self, usual: &'static str) -> &'static str {
        if matches!(self, Self::Unsigned { .. }) { "PH6021" } else { usual }
    }
}

fn said(text: &Text) -> String {
    match (text.code.as_str(), text.message.as_str()) {
        ("", "") => "it gives no reason".to_owned(),
        ("", words) | (words, "") => words.escape_debug().to_string(),
        (code, message) => format!("{} ({})", message.escape_debug(), code.escape_debug()),
    }
}

/// A call that a plugin did not survive: the session is dead, and every later call gives this same error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("plugin {plugin} {verb} {function}: {failure}{}", quoted(.last_words.as_deref()), verb = failure.verb())]
pub struct CallError {
    /// Name and version.
    pub plugin: String,
    /// Where it happened.
    pub function: Function,
    /// What happened.
    pub failure: Failure,
    /// What its panic hook said right before, at most 1 KiB, control characters escaped.
    pub last_words: Option<String>,
}

impl CallError {
    /// A stable code for the journal and `explain`.
    pub const fn code(&self) -> &'static str {
        self.failure.code()
    }

    /// Whether the guest's code was stopped, rather than that what it gave back was refused.
    pub const fn is_trap(&self) -> bool {
        matches!(self.failure, Failure::Trap(_))
    }
}

fn quoted(words: Option<&str>) -> String {
    words.map_or_else(String::new, |words| format!("; its last words: {words}"))
}

/// What a plugin did wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Its code was stopped.
    #[error("{0}")]
    Trap(Trap),
    /// It ran to the end and gave back what the contract forbids.
    #[error("{0}")]
    Violation(Violation),
    /// The caller's batch is larger than the contract allows; the session lives.
    #[error("a batch of {items} items and {bytes} bytes is more than one call may carry")]
    BatchTooLarge {
        /// In the batch.
        items: usize,
        /// Of payload.
        bytes: usize,
    },
}

impl Failure {
    const fn verb(&self) -> &'static str {
        match self {
            Self::Trap(_) => "was stopped in",
            Self::Violation(_) => "broke the contract in",
            Self::BatchTooLarge { .. } => "was not called in",
        }
    }

    const fn code(&self) -> &'static str {
        match self {
            Self::Trap(trap) => trap.code(),
            Self::Violation(violation) => violation.code(),
            Self::BatchTooLarge { .. } => "plugin_batch_too_large",
        }
    }
}

/// Why a guest's code was stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trap {
    /// A panic, an abort, a division by zero: the instruction that says so.
    #[error("it gave up ({0})")]
    Unreachable(String),
    /// Calls too deep; for Rust guests this may show as [`Trap::OutOfBounds`].
    #[error("its stack overflowed")]
    StackOverflow,
    /// An access outside its memory.
    #[error("it touched memory outside its own; in Rust most often a stack overflow")]
    OutOfBounds,
    /// More memory than a plugin may have.
    #[error("it wanted more than {0} bytes of memory")]
    Memory(usize),
    /// Too long on the processor.
    #[error("it used more than {0} ms of processor time")]
    Cpu(u64),
    /// Too long altogether.
    #[error("it took more than {0} ms")]
    Wall(u64),
    /// It went on asking for what it had not been granted.
    #[error("it was refused {0} calls and went on asking")]
    Refused(u32),
    /// Its step was told to stop.
    #[error("its step was stopped")]
    Stopped,
    /// Too many instructions, where they are counted.
    #[error("it used more than {0} units of fuel")]
    Fuel(u64),
    /// Too much to copy out of it.
    #[error("it gave back more than {0} bytes")]
    Output(usize),
    /// What it gave back cannot be read: text that is no UTF-8, a list outside its memory, an unknown case.
    #[error("what it gave back cannot be read ({0})")]
    Invalid(String),
    /// Something else.
    #[error("{0}")]
    Other(String),
}

impl Trap {
    const fn code(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "plugin_trap_unreachable",
            Self::StackOverflow => "plugin_trap_stack",
            Self::OutOfBounds => "plugin_trap_bounds",
            Self::Memory(_) => "plugin_trap_memory",
            Self::Cpu(_) => "plugin_trap_cpu",
            Self::Wall(_) => "plugin_trap_wall",
            Self::Refused(_) => "plugin_trap_refused",
            Self::Stopped => "plugin_trap_stopped",
            Self::Fuel(_) => "plugin_trap_fuel",
            Self::Output(_) => "plugin_trap_output",
            Self::Invalid(_) => "plugin_trap_invalid",
            Self::Other(_) => "plugin_trap_other",
        }
    }
}

/// What the contract forbids in a result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// More events, commands, messages and faults together than a call may give.
    #[error("it gave back {count} items, more than {limit}")]
    TooManyItems {
        /// How many.
        count: usize,
        /// The most.
        limit: usize,
    },
    /// More bytes than a call may give.
    #[error("it gave back {bytes} bytes, more than {limit}")]
    TooManyBytes {
        /// How many.
        bytes: usize,
        /// The most.
        limit: usize,
    },
    /// `save` gave too much.
    #[error("it saved {bytes} bytes, more than {limit}")]
    SaveTooLarge {
        /// How many.
        bytes: usize,
        /// The most.
        limit: usize,
    },
    /// A message or fault points at an input that was not in the batch.
    #[error("it names item {index} of a batch of {batch}")]
    Cause {
        /// What it named.
        index: u16,
        /// How many there were.
        batch: usize,
    },
    /// A route that there is not, that goes the other way, or that its captures do not fit.
    #[error("{0}")]
    Route(RouteError),
    /// A range that ends before it begins.
    #[error("{what} from {start} to {end} ends before it begins")]
    Span {
        /// Which word held it.
        what: &'static str,
        /// First byte.
        start: u64,
        /// One past the last.
        end: u64,
    },
    /// Bytes beyond the end of any file.
    #[error("{len} bytes at offset {offset} lie beyond the end of any file")]
    Offset {
        /// Where it put them.
        offset: u64,
        /// How many.
        len: usize,
    },
}

impl Violation {
    const fn code(&self) -> &'static str {
        match self {
            Self::TooManyItems { .. } => "plugin_too_many_items",
            Self::TooManyBytes { .. } => "plugin_too_many_bytes",
            Self::SaveTooLarge { .. } => "plugin_save_too_large",
            Self::Cause { .. } => "plugin_bad_cause",
            Self::Route(_) => "plugin_bad_route",
            Self::Span { .. } => "plugin_bad_span",
            Self::Offset { .. } => "plugin_bad_offset",
        }
    }
}
