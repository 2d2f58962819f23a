//! Compiling. What came from outside is compiled in a child process, bounded in time and memory, and never in this one: a compiler is the
//! largest program that a plugin's bytes ever meet, and some bytes keep it busy for hours.
//!
//! The child is this program with [`ARGUMENT`]. It reads a key and the component from its stdin, and writes the code to its stdout
//! under a MAC of that key, which nobody else knows: what was cut or is not the child's is not loaded.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use rand::RngCore;
use rustix::process::{Resource, Rlimit, setrlimit};
use sha2::Sha256;
use wasmtime::component::Component;

use super::engine::compiling;
use super::room::Room;
use super::trusted::OwnCode;
use super::{Ceilings, Limits, MAX_LARGE_COMPONENT_BYTES, PluginError};

/// What makes this program the child; not for use by hand.
const ARGUMENT: &str = "compile-plugin-in-child";
const KEY_BYTES: usize = 32;
const MAC_BYTES: usize = 32;
/// Of what the child says when it fails.
const MAX_WORDS: u64 = 4096;
/// How often the child is looked at.
const LOOK: Duration = Duration::from_millis(1);

/// Who compiles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compiler {
    /// This process: for components that are trusted, and for tests.
    Here,
    /// A child process: this program, by its path.
    Child(PathBuf),
}

/// What compiling one component may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompileLimits {
    /// Time on the processor, in whole seconds.
    pub cpu: Duration,
    /// Time on the wall: a busy machine is slow, and a child that waits for nothing must end.
    pub wall: Duration,
    /// Bytes of memory.
    pub memory: u64,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self { cpu: Duration::from_secs(5), wall: Duration::from_secs(60), memory: 512 << 20 }
    }
}

impl CompileLimits {
    /// For an interpreter with its library.
    pub fn large() -> Self {
        Self { cpu: Duration::from_secs(120), wall: Duration::from_secs(1200), memory: 4 << 30 }
    }
}

/// Compiles a component whose bytes were checked.
pub(super) fn compile(
    (room, compiler): (&Room, &Compiler),
    name: &str,
    component: &[u8],
) -> Result<Component, PluginError> {
    let failed = |problem: String| PluginError::Compile { name: name.to_owned(), problem };
    let Compiler::Child(program) = compiler else {
        return Component::from_binary(&room.engine, component).map_err(|error| failed(format!("{error:#}")));
    };
    let mut key = [0; KEY_BYTES];
    rand::rng().fill_bytes(&mut key);
    let answer = ask(program, &room.ceilings, &key, component).map_err(|error| match error {
        Refused::Over(what) => PluginError::CompileLimit { name: name.to_owned(), what, hint: String::new() },
        Refused::Failed(problem) => failed(problem),
    })?;
    let cut = || failed("the compiler's process gave no whole answer".to_owned());
    let (mac, code) = answer.split_at_checked(MAC_BYTES).ok_or_else(cut)?;
    keyed(&key, code).verify_slice(mac).map_err(|_| cut())?;
    OwnCode::mac_was_checked(code).load(&room.engine).map_err(|error| failed(format!("{error:#}")))
}

/// Why there is no code.
enum Refused {
    Over(String),
    Failed(String),
}

fn ask(program: &Path, ceilings: &Ceilings, key: &[u8], component: &[u8]) -> Result<Vec<u8>, Refused> {
    let (limits, most) = (ceilings.compile, ceilings.code);
    let mut command = Command::new(program);
    command.arg(ARGUMENT).arg(limits.cpu.as_secs().max(1).to_string()).arg(limits.memory.to_string());
    command.arg(ceilings.limits.stack.to_string()).arg(u8::from(ceilings.limits.fuel.is_some()).to_string());
    command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let spoilt = |error: std::io::Error| Refused::Failed(format!("the compiler's process cannot be run: {error}"));
    let mut child = command.spawn().map_err(spoilt)?;
    let (Some(mut stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(Refused::Failed("the compiler's process has no pipes".to_owned()));
    };
    std::thread::scope(|scope| {
        let code = scope.spawn(|| read(stdout, most));
        let words = scope.spawn(|| read(stderr, MAX_WORDS));
        // It reads all before it writes. Where it ended early, its end tells why.
        scope.spawn(move || drop(stdin.write_all(key).and_then(|()| stdin.write_all(component))));
        let ended = wait(&mut child, limits.wall);
        let code = code.join().unwrap_or_default();
        let words = String::from_utf8_lossy(&words.join().unwrap_or_default()).trim().escape_debug().to_string();
        match ended.map_err(spoilt)? {
            Some(status) if status.success() => Ok(code),
            Some(status) => Err(refusal(status, &words, limits)),
            None => Err(Refused::Over(format!("{:?}", limits.wall))),
        }
    })
}

fn read(from: impl Read, most: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What was cut has no right MAC.
    drop(from.take(most).read_to_end(&mut bytes));
    bytes
}

/// Waits for the child's end; nothing where it had to be killed. Never leaves it running.
fn wait(child: &mut Child, most: Duration) -> std::io::Result<Option<ExitStatus>> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if begun.elapsed() >= most {
            // It may end just now.
            drop(child.kill());
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(LOOK);
    }
}

fn refusal(status: ExitStatus, words: &str, limits: CompileLimits) -> Refused {
    use rustix::process::Signal;
    use std::os::unix::process::ExitStatusExt as _;
    let is = |signal: Signal| status.signal() == Some(signal.as_raw());
    if is(Signal::XCPU) || is(Signal::KILL) {
        return Refused::Over(format!("{} s of processor time", limits.cpu.as_secs().max(1)));
    }
    // The allocator ends a process that gets no memory.
    if is(Signal::ABORT) && words.contains("memory allocation") {
        return Refused::Over(format!("{} bytes of memory", limits.memory));
    }
    if let Some(signal) = status.signal() {
        return Refused::Failed(format!("the compiler's process died of signal {signal} {words}"));
    }
    Refused::Failed(words.to_owned())
}

fn keyed(key: &[u8], code: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(code);
    mac
}

/// What this process is to do if it is a compiler's child; nothing otherwise. To be asked before anything else is started.
pub fn child_of_a_compiler() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != ARGUMENT {
        return None;
    }
    let numbers: Vec<u64> = arguments.filter_map(|number| number.to_str()?.parse().ok()).collect();
    Some(match work(&numbers) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            // The parent reads it; where it is gone, nobody does.
            drop(std::io::stderr().write_all(problem.as_bytes()));
            ExitCode::FAILURE
        }
    })
}

fn work(numbers: &[u64]) -> Result<(), String> {
    let [cpu, memory, stack, fuel] = numbers else { return Err("it is called by packhorse alone".to_owned()) };
    limit(*cpu, *memory).map_err(|error| format!("its limits cannot be set: {error}"))?;
    let (mut key, mut component) = ([0; KEY_BYTES], Vec::new());
    let mut stdin = std::io::stdin().lock();
    stdin.read_exact(&mut key).map_err(|error| error.to_string())?;
    stdin.take(MAX_LARGE_COMPONENT_BYTES as u64 + 1).read_to_end(&mut component).map_err(|error| error.to_string())?;
    let stack = usize::try_from(*stack).map_err(|error| error.to_string())?;
    let limits = Limits { stack, fuel: (*fuel == 1).then_some(1), ..Limits::default() };
    let engine = compiling(limits).map_err(|error| error.to_string())?;
    let code = engine.precompile_component(&component).map_err(|error| format!("{error:#}"))?;
    let mac = keyed(&key, &code).finalize().into_bytes();
    let mut out = std::io::stdout().lock();
    out.write_all(&mac)
        .and_then(|()| out.write_all(&code))
        .and_then(|()| out.flush())
        .map_err(|error| error.to_string())
}

/// The soft limit of processor time ends it; the hard one is for a child that would not hear it. It writes no file and no core.
fn limit(cpu: u64, memory: u64) -> std::io::Result<()> {
    let at = |soft: u64, hard: u64| Rlimit { current: Some(soft), maximum: Some(hard) };
    setrlimit(Resource::Cpu, at(cpu, cpu + 1))?;
    setrlimit(Resource::Data, at(memory, memory))?;
    // The program itself is mapped too, and counts here.
    setrlimit(Resource::As, at(memory + (1 << 30), memory + (1 << 30)))?;
    setrlimit(Resource::Core, at(0, 0))?;
    setrlimit(Resource::Fsize, at(0, 0))?;
    Ok(())
}
