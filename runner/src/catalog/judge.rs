//! From bytes to workflows and plugins, or the reason why they are none.

use super::generation::{Definition, Generation, Shelved};
use super::scan::{Content, View};
use crate::plugin::{Host, PluginError, is_path, kit, pin};
use packhorse_core::catalog::Seen;
use packhorse_core::failure::{Class, Failure, chain};
use packhorse_core::registry::Devices;
use packhorse_core::workflow::{self, Workflow};
use semver::Version;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Makes a workflow of a file's bytes. Called on a thread with a large stack.
pub(super) fn workflow(name: &str, bytes: &[u8], path: &Path) -> Result<Arc<Workflow>, Failure> {
    let shown = path.display().to_string();
    let bad = |problems: workflow::Problems| Failure::new("PH2001", Class::Permanent, problems.to_string());
    let workflow = workflow::check(bytes, &shown).map_err(bad)?;
    if workflow.name != name {
        let message = format!("{shown} calls itself `{}`; a file is named after what is in it", workflow.name);
        return Err(Failure::new("PH2010", Class::Permanent, message)
            .hint(format!("name the file {}.yaml, or write `name: {name}`", workflow.name)));
    }
    Ok(Arc::new(workflow))
}

/// What a workflow lacks among the plugins of `generation`.
pub(super) enum Lack {
    Nothing,
    /// A plugin that is being judged.
    Pending,
    Missing(Failure),
}

/// Looks for the plugins that a workflow names itself; those that expressions name are looked for when a run starts.
pub(super) fn lacks(workflow: &Workflow, generation: &Generation, pending: &dyn Fn(&str) -> bool) -> Lack {
    let named = workflow.codec.as_ref().and_then(|codec| codec.as_literal()).and_then(Value::as_str);
    let codec = named.filter(|codec| !is_path(codec)).map(|codec| (codec, generation.codec(codec).err()));
    let steps = workflow.step_plugins();
    let steps = steps.iter().map(|step| (step.as_str(), generation.step(step).err()));
    for (name, error) in codec.into_iter().chain(steps) {
        let Some(error) = error else { continue };
        if pending(name) {
            return Lack::Pending;
        }
        let message = format!("workflow {}: {}", workflow.name, chain(&error));
        return Lack::Missing(Failure::new("PH6006", Class::Permanent, message));
    }
    Lack::Nothing
}

/// What the entries of a file of devices lack among the plugins of `generation`.
pub(super) fn lacks_codec(devices: &Devices, generation: &Generation, pending: &dyn Fn(&str) -> bool) -> Lack {
    for name in devices.codecs() {
        let Some(error) = generation.codec(name).err() else { continue };
        if pending(name) {
            return Lack::Pending;
        }
        return Lack::Missing(Failure::new("PH6006", Class::Permanent, format!("codec {name}: {}", chain(&error))));
    }
    Lack::Nothing
}

pub(super) fn definition(workflow: &Arc<Workflow>, bytes: &Arc<[u8]>, path: &Path) -> Arc<Definition> {
    Arc::new(Definition { workflow: Arc::clone(workflow), source: Arc::clone(bytes), path: path.to_owned() })
}

/// Loads a plugin and runs its own vectors (`NAME/vectors` beside `NAME.wasm`). Blocks: it may compile.
pub(super) fn plugin(host: &Host, name: &str, content: &Content) -> Result<Shelved, Failure> {
    let bytes = content.bytes.as_ref().map_err(Clone::clone)?;
    let failed = |error: PluginError| Failure::new(error.number("PH6006"), Class::Permanent, chain(&error));
    host.check_signature(&content.path, bytes).map_err(failed)?;
    if Host::is_step(bytes) {
        let step = host.load_step_bytes(name, bytes).map_err(failed)?;
        return Ok(Shelved::Step(step));
    }
    let plugin = host.load_bytes(name, bytes).map_err(failed)?;
    crate::plugin::check_name(name, &plugin).map_err(failed)?;
    let vectors = super::beside::vectors(&content.path);
    let passed = kit::test::golden(&plugin, &vectors).map_err(|problem| {
        Failure::new("PH6009", Class::Permanent, format!("{name}: its own vectors fail: {problem}"))
            .hint(format!("see `packhorse plugin test {name}`"))
    })?;
    Ok(Shelved::Codec { plugin, vectors: Some(passed) })
}

/// A file that holds an older version than the one of it that counts: mostly a fix undone by accident. One whose name says a version cannot.
pub(super) fn downgrade(name: &str, before: Option<&Shelved>, now: &Shelved) -> Option<Failure> {
    let version = |shelved: &Shelved| match shelved {
        Shelved::Codec { plugin, vectors: Some(_) } => Version::parse(plugin.version()).ok(),
        _ => None,
    };
    let (older, counts) = (version(now)?, version(before?)?);
    (older < counts).then(|| {
        let message = format!("{name}.wasm holds version {older}, and {counts} of it counts: a file does not go back by itself");
        Failure::new("PH6020", Class::Permanent, message).hint(format!(
            "lay it down as {name}@{older}.wasm and say `packhorse plugin pin {name}@{older}`, or allow it: `plugins: {{ {name}: {{ allow_downgrade: true }} }}`"
        ))
    })
}

/// Which version each name is pinned to. A pin of a version that is not there refuses whatever names it, as a missing plugin does.
pub(super) fn pins(view: &View, before: &Generation) -> BTreeMap<String, Seen<Version>> {
    view.seen(before.pins.entries().map(|(name, _)| name), |_, content| {
        let verdict = content.bytes.as_ref().map_err(Clone::clone).and_then(|bytes| {
            let bad =
                |problem| Failure::new("PH6006", Class::Permanent, format!("{}: {problem}", content.path.display()));
            pin::parse(bytes).map(Arc::new).map_err(bad)
        });
        Seen::Content { digest: content.digest.clone(), verdict }
    })
}

/// An embedded codec, which was tested with this program.
pub(super) fn embedded(host: &Host, name: &str) -> Result<Shelved, Failure> {
    let plugin = host.load_embedded(name);
    let plugin = plugin.map_err(|error| Failure::new("PH6006", Class::Permanent, chain(&error)))?;
    Ok(Shelved::Codec { plugin, vectors: None })
}
