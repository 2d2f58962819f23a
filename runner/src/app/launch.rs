//! From a workflow and inputs to a run: everything that can be wrong is found before a run exists.

use super::fit::Fit;
use super::library::Library;
use super::start::Ground;
use crate::app::exit::Stop;
use crate::engine::{EngineError, NewRun, new_run_id};
use crate::failpoint::Point;
use crate::plugin::{Plugin, StepPlugin};
use crate::settings::Settings;
use packhorse_core::admission::{Priority, Terms};
use packhorse_core::failure::{Class, Failure, chain};
use packhorse_core::registry::{Registry, context, id_of};
use packhorse_core::run::{CodecPin, Created, FirstMessage, RunId};
use packhorse_core::transfer::Flow;
use packhorse_core::workflow::Workflow;
use packhorse_core::workflow::expr::Scope;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Another request with the same key is creating its run.
pub(super) const TAKEN: &str = "PH8403";
/// The run's concurrency group is full, and it does not wait.
pub(super) const FULL: &str = "PH8040";
/// How a file begins that does not lie on this machine.
const SCHEMES: [&str; 4] = ["fastdfs:", "packets:", "md5:", "sha256:"];
/// Stack of the thread that evaluates expressions, in bytes: what `packhorse_core` asks for.
const LARGE_STACK: usize = 64 << 20;

/// What a person asked to run.
#[derive(Debug, Clone, Default)]
pub struct Launch {
    /// A path or a name.
    pub workflow: String,
    /// `-i`.
    pub inputs: BTreeMap<String, String>,
    /// `--codec`.
    pub codec: Option<String>,
    /// `--var`.
    pub vars: BTreeMap<String, String>,
    /// `--priority`.
    pub priority: Option<Priority>,
    /// Which files of this machine `inputs` may name.
    pub local: Local,
    /// Root `trigger` of expressions; null where somebody asked for the run by its name.
    pub trigger: Value,
    /// The message that asks for the run, with its topic.
    pub message: Option<FirstMessage>,
}

/// Which files of this machine whoever asks may name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Local {
    /// Any; relative ones count from this process's folder.
    #[default]
    Here,
    /// Any; relative ones count from the folder of whoever asks.
    From(PathBuf),
    /// None: not even whether there is such a file is told.
    Nobody,
}

/// A run that only waits for its files to be looked at.
pub struct Prepared {
    workflow: Arc<Workflow>,
    source: Vec<u8>,
    inputs: Map<String, Value>,
    /// Inputs that are files, as written.
    files: Vec<(String, String)>,
    vars: BTreeMap<String, String>,
    terms: Terms,
    plugin: Option<Arc<Plugin>>,
    /// The root `device` of expressions, without what the device said of itself.
    device: Value,
    /// By the name that the workflow gives them.
    steps: BTreeMap<String, Arc<StepPlugin>>,
    trigger: Value,
    message: Option<FirstMessage>,
}

/// Checks workflow, inputs and codec. Nothing is started and nothing written.
pub async fn prepare(launch: Launch, settings: &Settings, library: &Library<'_>) -> Result<Prepared, Stop> {
    let (workflow, source) = library.workflow(&launch.workflow, settings).await?;
    let checked = Arc::clone(&workflow);
    let (given, local, trigger) = (launch.inputs.clone(), launch.local.clone(), launch.trigger.clone());
    let mut message = launch.message.clone();
    let registry = match workflow.inputs.iter().any(|input| input.name == "device") {
        true => library.registry(settings).await?,
        false => Arc::default(),
    };
    let resolved = with_large_stack(move || resolve(&checked, launch, &registry)).await??;
    let Resolved { inputs, mut files, device, codec, mut vars, loose, terms } = resolved;
    for (name, file) in files.iter_mut().filter(|(name, file)| given.contains_key(name) && is_local(file)) {
        *file = located(name, file, &local)?;
    }
    for (_, file) in files.iter().filter(|(_, file)| is_local(file)) {
        readable(file)?;
    }
    let plugin = match codec {
        Some(codec) => Some(library.codec(codec).await?),
        None => no_codec(&workflow, &device).map(|()| None)?,
    };
    if let Some(plugin) = &plugin {
        let declared = |name: &String| plugin.description().vars.iter().any(|var| var.name == *name);
        vars.retain(|name, _| declared(name) || !loose.contains(name));
    }
    if let (Some(plugin), Some(device)) = (&plugin, inputs.get("device").and_then(Value::as_str)) {
        let pairs = vars.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let routes = plugin.routes(device, &pairs).map_err(|error| Stop::usage("PH6002", chain(&error)))?;
        message = message.filter(|message| routes.find(Flow::FromDevice, &message.topic).is_some());
    } else {
        message = None;
    }
    let steps = step_plugins(library, &workflow, settings).await?;
    Ok(Prepared { workflow, source, inputs, files, vars, terms, plugin, device, steps, trigger, message })
}

/// Looks whether there is room for one more, looks at the files, keeps the codec's bytes, and starts the run.
pub async fn launch(app: &Ground, prepared: Prepared) -> Result<RunId, Stop> {
    launch_as(app, prepared, new_run_id()).await
}

/// The same under an id that was made before. An id that is taken is [`TAKEN`].
pub(super) async fn launch_as(app: &Ground, mut prepared: Prepared, run: RunId) -> Result<RunId, Stop> {
    let settings = app.settings.clone();
    let room = tokio::task::spawn_blocking(move || super::room::for_a_run(&settings)).await;
    room.map_err(|error| Stop::bug(error.to_string()))??;
    for (input, text) in &prepared.files {
        let file = app.world.files().pin(text).await.map_err(|failure| input_failure(input, failure))?;
        let value = serde_json::to_value(file).map_err(|error| Stop::bug(error.to_string()))?;
        prepared.inputs.insert(input.clone(), value);
    }
    let codec = match &prepared.plugin {
        Some(plugin) => Some(keep(app, plugin).await?),
        None => None,
    };
    let mut plugins = BTreeMap::new();
    for (name, plugin) in &prepared.steps {
        keep_object(app, plugin.digest(), plugin.bytes()).await?;
        plugins.insert(name.clone(), plugin.digest().to_owned());
    }
    Point::LaunchKept.pass();
    let device = greeted(app, std::mem::take(&mut prepared.device)).await?;
    fits(app, &prepared, &device).await?;
    let created = Created {
        run,
        workflow: prepared.workflow.name.clone(),
        digest: prepared.workflow.digest.clone(),
        engine: env!("CARGO_PKG_VERSION").to_owned(),
        inputs: prepared.inputs,
        device,
        trigger: prepared.trigger,
        message: prepared.message,
        vars: prepared.vars,
        codec,
        plugins,
        terms: prepared.terms,
    };
    let new = NewRun { workflow: prepared.workflow, source: prepared.source, created };
    app.engine.start(new).await.map_err(|error| match error {
        EngineError::Taken(_) => Stop::unavailable(TAKEN, chain(&error)),
        EngineError::GroupFull { .. } => full(&error),
        error => Stop::unavailable("PH7002", chain(&error)),
    })
}

/// Nothing is out of order: the answer to this run is no, whenever it is asked for.
fn full(error: &EngineError) -> Stop {
    let stop = Stop::unavailable(FULL, chain(error));
    Stop { failure: Failure { class: Class::Permanent, ..stop.failure }, ..stop }
}

/// Refuses a run whose packets cannot fit the broker.
async fn fits(app: &Ground, prepared: &Prepared, device: &Value) -> Result<(), Stop> {
    let limits = app.world.bus.status().borrow().limits();
    let (Some(plugin), Some(limit)) = (&prepared.plugin, limits.and_then(|limits| limits.max_packet_size)) else {
        return Ok(());
    };
    let mut scope = Scope::new();
    scope.insert("device".to_owned(), device.clone());
    scope.insert("inputs".to_owned(), Value::Object(prepared.inputs.clone()));
    scope.insert("vars".to_owned(), json!(prepared.vars));
    let vars = prepared.vars.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    let (workflow, plugin) = (Arc::clone(&prepared.workflow), Arc::clone(plugin));
    let fit = Fit { workflow, plugin, vars, scope, limit };
    with_large_stack(move || fit.check()).await?
}

/// What a run is made of, before anything is looked for.
struct Resolved {
    inputs: Map<String, Value>,
    files: Vec<(String, String)>,
    device: Value,
    codec: Option<String>,
    vars: BTreeMap<String, String>,
    /// Variables of the workflow that the device's codec, which the workflow did not choose, need not know.
    loose: Vec<String>,
    terms: Terms,
}

/// The device's entry goes before the workflow, and who asks before both.
fn resolve(workflow: &Workflow, launch: Launch, registry: &Registry) -> Result<Resolved, Stop> {
    let resolved = workflow.resolve_inputs(&launch.inputs).map_err(|failures| bad_inputs(workflow, &failures))?;
    let (inputs, files) = (resolved.values, resolved.files);
    let id = inputs.get("device").and_then(Value::as_str);
    let entry = id.and_then(|id| registry.find(id)).map(|placed| &placed.entry);
    let device = match (id, inputs.get("device")) {
        (Some(id), _) => context(id, entry.map(|entry| &**entry), None),
        (None, other) => other.map_or(Value::Null, |id| json!({ "id": id })),
    };
    let mut scope = Scope::new();
    scope.insert("device".to_owned(), device.clone());
    scope.insert("inputs".to_owned(), Value::Object(inputs.clone()));
    let text = |value: Value, what: &str| match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        other => Err(Stop::usage("PH2003", format!("{what} came out as {other}, which is no text"))),
    };
    let registered = entry.and_then(|entry| entry.codec.clone());
    let chosen = launch.codec.is_none() && registered.is_some();
    let codec = match (launch.codec.or(registered), &workflow.codec) {
        (Some(codec), _) => Some(codec),
        (None, Some(template)) => Some(text(template.resolve(&scope).map_err(refused)?, "codec")?),
        (None, None) => None,
    };
    let mut vars = BTreeMap::new();
    for (name, template) in &workflow.vars {
        vars.insert(name.clone(), text(template.resolve(&scope).map_err(refused)?, &format!("vars.{name}"))?);
    }
    let named =
        |name: &String| launch.vars.contains_key(name) || entry.is_some_and(|entry| entry.vars.contains_key(name));
    let loose = vars.keys().filter(|name| chosen && !named(name)).cloned().collect();
    vars.extend(entry.map(|entry| entry.vars.clone()).unwrap_or_default());
    vars.extend(launch.vars);
    let terms = workflow.terms(&scope, launch.priority).map_err(refused)?;
    Ok(Resolved { inputs, files, device, codec, vars, loose, terms })
}

/// The root `device` with what the device said last of itself.
async fn greeted(app: &Ground, mut device: Value) -> Result<Value, Stop> {
    let Some(id) = id_of(&device).map(str::to_owned) else { return Ok(device) };
    let hello = super::devices::hello(&*app.world.index, &id).await;
    let hello = hello.map_err(|failure| Stop::unavailable("PH7002", failure.message))?;
    device["hello"] = hello.unwrap_or_default();
    Ok(device)
}

/// A run that speaks to a device needs a codec, from whomever.
fn no_codec(workflow: &Workflow, device: &Value) -> Result<(), Stop> {
    let Some(step) = workflow.speaks() else { return Ok(()) };
    let device = id_of(device).unwrap_or("of this run");
    let message = format!(
        "step {step} speaks to the device, and neither the workflow nor an entry of the device {device} names a codec"
    );
    Err(Stop::usage("PH6004", message).hint("add the device to a file of the devices folder, or give --codec NAME"))
}

/// Runs a function on a thread with a stack that every accepted expression fits in.
pub async fn with_large_stack<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Stop> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("expressions".to_owned()).stack_size(LARGE_STACK);
    thread
        .spawn(move || drop(sender.send(work())))
        .map_err(|error| Stop::bug(format!("cannot start a thread: {error}")))?;
    receiver.await.map_err(|_| Stop::bug("the thread for expressions stopped"))
}

async fn keep(app: &Ground, plugin: &Arc<Plugin>) -> Result<CodecPin, Stop> {
    let pin = CodecPin {
        name: plugin.name().to_owned(),
        version: plugin.version().to_owned(),
        digest: plugin.digest().to_owned(),
    };
    keep_object(app, &pin.digest, plugin.bytes()).await?;
    Ok(pin)
}

async fn keep_object(app: &Ground, digest: &str, bytes: Arc<[u8]>) -> Result<(), Stop> {
    let (journal, digest) = (Arc::clone(&app.world.journal), digest.to_owned());
    let kept = tokio::task::spawn_blocking(move || journal.put_object(&digest, &bytes, crate::store::wall())).await;
    kept.map_err(|error| Stop::bug(error.to_string()))?.map_err(|error| Stop::unavailable("PH7002", chain(&error)))
}

/// The step plugins that a workflow names; looks whether they were granted what they import.
async fn step_plugins(
    library: &Library<'_>,
    workflow: &Workflow,
    settings: &Settings,
) -> Result<BTreeMap<String, Arc<StepPlugin>>, Stop> {
    let mut steps = BTreeMap::new();
    for name in workflow.step_plugins() {
        let plugin = library.step(name.clone()).await?;
        let grants = settings.grants.get(plugin.name()).cloned().unwrap_or_default();
        plugin.check_grants(&grants).map_err(|error| Stop::usage("PH6103", chain(&error)))?;
        steps.insert(name, plugin);
    }
    Ok(steps)
}

fn is_local(text: &str) -> bool {
    !SCHEMES.iter().any(|scheme| text.starts_with(scheme))
}

/// A local file that an input names, as this process finds it.
fn located(name: &str, text: &str, local: &Local) -> Result<String, Stop> {
    match local {
        Local::Here => Ok(text.to_owned()),
        Local::From(folder) => Ok(folder.join(path_of(text)).display().to_string()),
        Local::Nobody => Err(Stop::usage("PH8410", format!("input {name} is a file of the daemon's machine")).hint(
            "over HTTP a file is named by fastdfs:ID, md5:HEX or sha256:HEX; `packhorse fastdfs upload` stores one",
        )),
    }
}

fn path_of(text: &str) -> &Path {
    Path::new(text.strip_prefix("file:").unwrap_or(text))
}

/// A local file must be readable before anything starts; others are looked for later.
fn readable(text: &str) -> Result<(), Stop> {
    let path = path_of(text);
    // Looked at before it is opened: opening a pipe waits for whoever writes to it.
    let about = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if !about.is_file() {
        return Err(Stop::usage("PH2004", format!("{} is not a regular file", path.display())));
    }
    std::fs::File::open(path).map(drop).map_err(|error| unreadable(path, &error))
}

pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Stop {
    Stop::usage("PH2004", format!("cannot read {}: {error}", path.display()))
        .hint("check the path and its rights; relative paths count from here")
}

fn bad_inputs(workflow: &Workflow, failures: &[Failure]) -> Stop {
    let mut stop = Stop::usage("PH2005", format!("workflow {} cannot run with these inputs", workflow.name));
    let lines = failures.iter().map(|failure| {
        let hint = failure.hint.as_ref().map_or_else(String::new, |hint| format!("\n  help: {hint}"));
        format!("error[{}]: {}{hint}\n", failure.code, failure.message)
    });
    stop.rendered = Some(lines.collect::<String>().into());
    stop
}

fn refused(failure: Failure) -> Stop {
    Stop { exit: crate::app::exit::Exit::Usage, failure, rendered: None }
}

fn input_failure(input: &str, failure: Failure) -> Stop {
    let exit = if failure.class == Class::Permanent {
        crate::app::exit::Exit::Usage
    } else {
        crate::app::exit::Exit::Unavailable
    };
    let message = format!("input {input}: {}", failure.message);
    Stop { exit, failure: Failure { message, ..failure }, rendered: None }
}
