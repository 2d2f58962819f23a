//! Step plugins built for tests, and a small device that knows the handshake's protocol by its paper alone.

use packhorse_tests::client::Stranger;
use packhorse_tests::{Child, World};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

/// The component of a step plugin of this repository; all of them are built once in a test program.
pub fn plugin(name: &str) -> PathBuf {
    static BUILT: OnceLock<tempfile::TempDir> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let sources = ["plugins/handshake", "tests/probe"].map(|source| root.join(source).display().to_string());
        let into = folder.path().display().to_string();
        let world = World::new();
        let command = world.command(&["plugin", "build", &sources[0], &sources[1], "--plugins", &into]);
        Child::start(command, "packhorse plugin build").end().exits(0).says(&["handshake", "step-probe"]);
        folder
    });
    built.path().join(format!("{name}.wasm"))
}

/// A device that answers a challenge's rounds; what it computes is written from the README.
pub struct Vendor {
    weak: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
    session: Arc<Mutex<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
}

impl Vendor {
    pub fn start(broker: &str, device: &str, secret: &str) -> Self {
        let (weak, over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let session = Arc::new(Mutex::new(Vec::new()));
        let filters = [format!("handshake/{device}/hello"), format!("handshake/{device}/proof")];
        let client = Stranger::connect(broker, &[&filters[0], &filters[1]]);
        let secret: Vec<u8> =
            (0..secret.len()).step_by(2).map(|at| u8::from_str_radix(&secret[at..at + 2], 16).unwrap()).collect();
        let (is_weak, is_over, kept, device) = (weak.clone(), over.clone(), session.clone(), device.to_owned());
        let thread = std::thread::spawn(move || {
            let (mut challenge, mut run) = (Vec::new(), String::new());
            while !is_over.load(Ordering::Relaxed) {
                let Some((topic, payload)) = client.hear(Duration::from_millis(20)) else { continue };
                let said: Value = serde_json::from_slice(&payload).unwrap();
                if topic.ends_with("hello") {
                    let length = if is_weak.load(Ordering::Relaxed) { 4 } else { 24 };
                    challenge = (0..length).map(|_| rand::random()).collect();
                    run = said["run"].as_str().unwrap().to_owned();
                    client.say(
                        &format!("handshake/{device}/challenge"),
                        json!({ "challenge": hex(&challenge) }).to_string(),
                    );
                    continue;
                }
                let wanted = mac(&secret, &[&b"proof"[..], &challenge[..], run.as_bytes()].map(counted).concat());
                let verdict = if said["proof"] == hex(&wanted) {
                    let key = mac(&secret, &[&b"session"[..], &challenge[..]].map(counted).concat());
                    kept.lock().unwrap().clone_from(&key);
                    json!({ "ok": true, "check": hex(&mac(&key, b"device")) })
                } else {
                    json!({ "ok": false, "reason": "the proof is wrong" })
                };
                client.say(&format!("handshake/{device}/verdict"), verdict.to_string());
            }
        });
        Self { weak, over, session, thread: Some(thread) }
    }

    /// From now on its challenges are short.
    pub fn ask_weakly(&self) {
        self.weak.store(true, Ordering::Relaxed);
    }

    /// The session key as the device has it.
    pub fn session(&self) -> String {
        hex(&self.session.lock().unwrap())
    }
}

impl Drop for Vendor {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn counted(part: &[u8]) -> Vec<u8> {
    [&(part.len() as u64).to_be_bytes()[..], part].concat()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// HMAC-SHA256 by the text of RFC 2104, with keys of at most 64 bytes.
fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let padded = |pad: u8| -> Vec<u8> { (0..64).map(|at| key.get(at).copied().unwrap_or(0) ^ pad).collect() };
    let inner = Sha256::digest([&padded(0x36)[..], text].concat());
    Sha256::digest([&padded(0x5c)[..], &inner[..]].concat()).to_vec()
}
