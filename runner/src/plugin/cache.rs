//! Compiled code kept between runs: one file a plugin, engine version and configuration, each under a keyed MAC.
//! What the plugin said of itself, checked, stands beside the code: it is constant, and asking again takes an instance.
//!
//! The cache only ever saves time. Whatever is wrong with it is said once, and code is compiled instead.

use std::hash::{Hash, Hasher};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use hmac::{Hmac, KeyInit, Mac};
use packhorse_core::profile::Profile;
use rand::RngCore;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use super::CacheFolder;
use super::host::hex;
use super::trusted::OwnCode;

const MAGIC: &[u8; 8] = b"PHcode\x00\x02";
const MAC_BYTES: usize = 32;
const KEY_BYTES: usize = 32;
/// Beyond this the oldest entries go.
const MAX_ENTRIES: usize = 128;

/// What stands beside compiled code: whatever the plugin said of itself, checked.
pub(crate) trait Said: Serialize + DeserializeOwned {
    /// In the names of its entries: what is of one kind is never read as another.
    const KIND: &str;
}

/// An open cache folder.
#[derive(Debug)]
pub(crate) struct Cache {
    dir: PathBuf,
    key: [u8; KEY_BYTES],
    /// Of the engine's version and configuration, in hex, and the profile: what was checked against the limits of one was not against
    /// those of the other.
    engine: String,
    most_bytes: u64,
    writes: AtomicU64,
}

impl Cache {
    /// Opens or makes the folder; nothing where it is switched off, or not ours alone.
    pub(crate) fn open(folder: &CacheFolder, engine: &Engine, profile: Profile, most_bytes: u64) -> Option<Self> {
        let dir = match folder {
            CacheFolder::Off => return None,
            CacheFolder::At(dir) => dir.clone(),
            CacheFolder::User => user_folder()?,
        };
        match own_folder(&dir).and_then(|()| key(&dir)) {
            Ok(key) => {
                let engine =
                    format!("{}{}", fingerprint(engine), if profile == Profile::Large { "-large" } else { "" });
                Some(Self { dir, key, engine, most_bytes, writes: AtomicU64::new(0) })
            }
            Err(error) => {
                tracing::warn!(dir = %dir.display(), %error, "compiled plugins are not cached");
                None
            }
        }
    }

    /// The compiled code of the component with this digest, and what stands beside it.
    pub(crate) fn get<T: Said>(&self, engine: &Engine, digest: &[u8; 32]) -> Option<(Component, T)> {
        let name = self.entry::<T>(digest);
        let path = self.dir.join(&name);
        let file = std::fs::File::open(&path).ok()?;
        // One buffer: what the MAC is checked over is what is run.
        let mut entry = Vec::new();
        let len = file.metadata().ok()?.len().min(self.most_bytes);
        entry.reserve_exact(usize::try_from(len).ok()?.saturating_add(1));
        file.take(self.most_bytes).read_to_end(&mut entry).ok()?;
        self.checked(&name, &entry)
            .and_then(|(code, said)| Ok((code.load(engine).map_err(|error| error.to_string())?, said)))
            .inspect_err(|problem| {
                tracing::warn!(path = %path.display(), problem, "a compiled plugin is not used, and made anew");
            })
            .ok()
    }

    /// Keeps the compiled code of the component with this digest.
    pub(crate) fn put<T: Said>(&self, digest: &[u8; 32], component: &Component, said: &T) {
        let name = self.entry::<T>(digest);
        let written = component.serialize().map_err(|error| error.to_string()).and_then(|code| {
            let said = serde_json::to_vec(said).map_err(|error| error.to_string())?;
            let len = u32::try_from(said.len()).map_err(|error| error.to_string())?.to_le_bytes();
            let mac = self.mac(&name, &[&len, &said, &code]).finalize().into_bytes();
            self.write(&name, &[MAGIC, &mac, &len, &said, &code]).map_err(|error| error.to_string())
        });
        if let Err(problem) = written {
            tracing::warn!(dir = %self.dir.display(), problem, "a compiled plugin was not cached");
        }
        self.prune();
    }

    fn entry<T: Said>(&self, digest: &[u8; 32]) -> String {
        format!("{}-{}.{}.cwasm", hex(digest), self.engine, T::KIND)
    }

    fn checked<'a, T: Said>(&self, name: &str, entry: &'a [u8]) -> Result<(OwnCode<'a>, T), String> {
        let rest = entry.strip_prefix(MAGIC).ok_or("it is of another format")?;
        let (mac, kept) = rest.split_at_checked(MAC_BYTES).ok_or("it is cut short")?;
        self.mac(name, &[kept]).verify_slice(mac).map_err(|_| "its MAC is wrong")?;
        let (len, rest) = kept.split_first_chunk().ok_or("it is cut short")?;
        let (said, code) = rest.split_at_checked(u32::from_le_bytes(*len) as usize).ok_or("it is cut short")?;
        let said = serde_json::from_slice(said).map_err(|error| error.to_string())?;
        Ok((OwnCode::mac_was_checked(code), said))
    }

    fn mac(&self, name: &str, kept: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        mac.update(name.as_bytes());
        mac.update(&[0]);
        kept.iter().for_each(|part| mac.update(part));
        mac
    }

    fn write(&self, name: &str, parts: &[&[u8]]) -> std::io::Result<()> {
        let serial = self.writes.fetch_add(1, Ordering::Relaxed);
        let temporary = self.dir.join(format!(".{name}.{}.{serial}.tmp", std::process::id()));
        let made = write_new(&temporary, parts).and_then(|()| std::fs::rename(&temporary, self.dir.join(name)));
        if made.is_err() {
            // It may not be there; then there is nothing to remove.
            let _ = std::fs::remove_file(&temporary);
        }
        made
    }

    fn prune(&self) {
        let Ok(entries) = std::fs::read_dir(&self.dir) else { return };
        let mut files: Vec<_> = entries
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().ends_with(".cwasm"))
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        files.sort();
        for (_, path) in files.iter().take(files.len().saturating_sub(MAX_ENTRIES)) {
            // Another process may have been quicker.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn user_folder() -> Option<PathBuf> {
    let from = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = from("XDG_CACHE_HOME").or_else(|| from("HOME").map(|home| home.join(".cache")));
    if base.is_none() {
        tracing::warn!("compiled plugins are not cached: neither XDG_CACHE_HOME nor HOME names a folder");
    }
    base.map(|base| base.join("packhorse"))
}

/// Makes the folder, or makes sure that nobody else can write into it.
fn own_folder(dir: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    owned(&std::fs::symlink_metadata(dir)?, "folder", std::fs::Metadata::is_dir)
}

fn owned(found: &std::fs::Metadata, what: &str, kind: impl Fn(&std::fs::Metadata) -> bool) -> std::io::Result<()> {
    if !kind(found) {
        return Err(std::io::Error::other(format!("it is not a plain {what}")));
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(std::io::Error::other(format!("the {what} belongs to another user")));
    }
    if found.mode() & 0o077 != 0 {
        return Err(std::io::Error::other(format!("the {what} is open to others (mode {:o})", found.mode() & 0o777)));
    }
    Ok(())
}

/// Reads the key, or draws one. Of two processes that draw at one time, the first to link its file wins.
fn key(dir: &Path) -> std::io::Result<[u8; KEY_BYTES]> {
    let path = dir.join("key");
    if !path.try_exists()? {
        let mut fresh = [0; KEY_BYTES];
        rand::rng().fill_bytes(&mut fresh);
        let temporary = dir.join(format!(".key.{}.{}.tmp", std::process::id(), hex(&fresh[..4])));
        write_new(&temporary, &[&fresh])?;
        let linked = std::fs::hard_link(&temporary, &path);
        std::fs::remove_file(&temporary)?;
        linked.or_else(|error| if path.exists() { Ok(()) } else { Err(error) })?;
    }
    owned(&std::fs::symlink_metadata(&path)?, "key file", std::fs::Metadata::is_file)?;
    let bytes = std::fs::read(&path)?;
    bytes.try_into().map_err(|_| std::io::Error::other("the key file has not its 32 bytes; remove it"))
}

fn write_new(path: &Path, parts: &[&[u8]]) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    parts.iter().try_for_each(|part| file.write_all(part))
}

/// What compiled code depends on beside the component: the engine's version, its configuration, this processor.
fn fingerprint(engine: &Engine) -> String {
    let mut hasher = ShaHasher(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hex(&hasher.0.finalize()[..8])
}

/// The standard library's hashers are not the same from one release to the next.
struct ShaHasher(Sha256);

impl Hasher for ShaHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}
