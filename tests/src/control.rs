//! Questions to the process that owns a data folder, in the socket's own words.

use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// The newest run; nothing while nobody owns the folder or there is no run yet.
pub fn newest(data: &Path) -> Option<Value> {
    ask(data, &json!({ "do": "list", "all": true, "limit": 1 }))?.pointer("/ok/items/0").cloned()
}

/// Bytes done and bytes in all of the newest run's transfer.
pub fn progress(data: &Path) -> Option<(u64, u64)> {
    let run = newest(data)?;
    let number = |pointer: &str| run.pointer(pointer).and_then(Value::as_u64);
    Some((number("/progress/done")?, number("/progress/total")?))
}

fn ask(data: &Path, question: &Value) -> Option<Value> {
    let mut stream = UnixStream::connect(data.join("control.sock")).ok()?;
    stream.write_all(format!("{question}\n").as_bytes()).ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    serde_json::from_str(&line).ok()
}
