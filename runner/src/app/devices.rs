//! Devices: the folder as it is now, and what a device said last of itself.

use crate::app::exit::Stop;
use crate::store::{KeyValue, steady};
use packhorse_core::effect::KvRequest;
use packhorse_core::failure::{Class, Failure, chain};
use packhorse_core::registry::{self, Clash, Devices, Registry};
use packhorse_core::workflow::MAX_BYTES;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

/// Reads the folder; where there is none, nothing is registered. Blocks, and needs a large stack.
///
/// # Errors
///
/// Without a daemon there is no last good content: a file that is not good is an error, because the device's entry may stand in it.
pub fn read_devices(folder: &Path) -> Result<Registry, Stop> {
    let unreadable = |path: &Path, error: &std::io::Error| super::launch::unreadable(path, error);
    let listed = match std::fs::read_dir(folder) {
        Ok(listed) => listed,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Registry::default()),
        Err(error) => return Err(unreadable(folder, &error)),
    };
    let mut files = BTreeMap::new();
    for path in listed.flatten().map(|entry| entry.path()) {
        let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".yaml")) else { continue };
        if name.is_empty() || name.starts_with(['.', '#', '~']) {
            continue;
        }
        let source = source(&path).map_err(|error| unreadable(&path, &error))?;
        let devices = registry::read(&source, &path.display().to_string()).map_err(|problems| bad(&problems))?;
        files.insert(name.to_owned(), Arc::new(devices));
    }
    if let Some((name, clash)) = registry::clashes(&BTreeMap::new(), &files).into_iter().next() {
        return Err(tied(&name, &clash));
    }
    Ok(Registry::new(files.iter().map(|(name, devices): (_, &Arc<Devices>)| (name.as_str(), &**devices))))
}

/// A regular file, and no more of it than shows that it is too long.
fn source(path: &Path) -> std::io::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("it is not a regular file"));
    }
    let mut source = Vec::new();
    std::fs::File::open(path)?.take(MAX_BYTES as u64 + 1).read_to_end(&mut source)?;
    Ok(source)
}

fn bad(problems: &packhorse_core::workflow::Problems) -> Stop {
    let mut stop = Stop::usage("PH2011", format!("{} has {} problem(s)", problems.file(), problems.count()));
    stop.rendered = Some(problems.to_string().into());
    stop
}

fn tied(name: &str, clash: &Clash) -> Stop {
    Stop::usage("PH2012", format!("file {name} of devices: {clash}"))
        .hint("write more characters out in one of the two, or name the devices that both mean by their ids")
}

/// What a device said last of itself; `None` where nothing is known.
pub(super) async fn hello(index: &dyn KeyValue, device: &str) -> Result<Option<Value>, Failure> {
    let key = crate::engine::hello_key(device);
    let failed = |error| Failure::new("PH7002", Class::Transient, chain(&error));
    let kept = index.operate(KvRequest::Get { key }, steady()).await.map_err(failed)?;
    // What cannot be read was written by another version: as good as none.
    Ok(kept.as_str().and_then(|text| serde_json::from_str(text).ok()))
}
