//! Whose plugins are taken: a signature beside each file, as minisign makes it.
//!
//! The format is that of <https://jedisct1.github.io/minisign/>; signatures of its older form, which do not hash the file first, are
//! refused. What a signature says is that the holder of a key has seen these bytes: which name and version they may have is looked at
//! beside that, as without signatures.

use std::path::{Path, PathBuf};

use minisign_verify::{PublicKey, Signature};

use super::PluginError;

/// Longest file of a signature in bytes; minisign's own are some 300.
pub(crate) const MAX_SIGNATURE_BYTES: u64 = 4096;

/// Keys of which one must have signed each plugin's file. Without any, files are taken as they lie there.
#[derive(Clone, Default)]
pub struct Trust {
    keys: Vec<PublicKey>,
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Trust").field("keys", &self.keys.len()).finish()
    }
}

impl Trust {
    /// Public keys in base64, as `minisign -G` prints them.
    ///
    /// # Errors
    /// The first that is none.
    pub fn read(keys: &[String]) -> Result<Self, String> {
        let key = |text: &String| {
            PublicKey::from_base64(text.trim()).map_err(|_| format!("`{text}` is no public key of minisign"))
        };
        Ok(Self { keys: keys.iter().map(key).collect::<Result<_, _>>()? })
    }

    /// Looks whether one of the keys has signed these bytes of a file, by what lies beside it.
    ///
    /// # Errors
    /// [`PluginError::Unsigned`].
    pub(crate) fn check(&self, file: &Path, bytes: &[u8]) -> Result<(), PluginError> {
        if self.keys.is_empty() {
            return Ok(());
        }
        let beside = beside(file);
        let unsigned = |problem: String| PluginError::Unsigned { path: file.to_owned(), problem };
        let text = read(&beside).map_err(|error| unsigned(format!("{}: {error}", beside.display())))?;
        let signature = Signature::decode(&text)
            .map_err(|_| unsigned(format!("{} is no signature of minisign", beside.display())))?;
        if self.keys.iter().any(|key| key.verify(bytes, &signature, false).is_ok()) {
            return Ok(());
        }
        Err(unsigned(format!("{} is of none of the keys in plugin_keys, or of other bytes", beside.display())))
    }
}

/// Where the signature of a file lies.
pub(crate) fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".minisig");
    name.into()
}

fn read(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    // Opening never waits, whatever lies there.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let mut text = String::new();
    file.take(MAX_SIGNATURE_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Key, signature and signed bytes from the documentation of the crate `minisign-verify`, made by minisign itself.
    const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    const SIGNED: &[u8] = b"test";
    const SIGNATURE: &str = "untrusted comment: signature from minisign secret key
RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=
trusted comment: timestamp:1633700835\tfile:test\tprehashed
wLMDjy9FLAuxZ3q4NlEvkgtyhrr0gtTu6KC4KBJdITbbOeAi1zBIYo0v4iTgt8jJpIidRJnp94ABQkJAgAooBQ==
";
    /// The same bytes, signed in the older form.
    const LEGACY: &str = "untrusted comment: signature from minisign secret key
RWQf6LRCGA9i59SLOFxz6NxvASXDJeRtuZykwQepbDEGt87ig1BNpWaVWuNrm73YiIiJbq71Wi+dP9eKL8OC351vwIasSSbXxwA=
trusted comment: timestamp:1555779966\tfile:test
QtKMXWyYcwdpZAlPF7tE2ENJkRd1ujvKjlj1m9RtHTBnZPa5WKU5uWRs5GoP5M/VqE81QFuMKI5k/SfNQUaOAA==
";

    fn checked(keys: &[&str], signature: Option<&[u8]>, bytes: &[u8]) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("acme@1.0.0.wasm");
        if let Some(signature) = signature {
            std::fs::write(folder.path().join("acme@1.0.0.wasm.minisig"), signature).unwrap();
        }
        let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        Trust::read(&keys).unwrap().check(&file, bytes).map_err(|error| error.to_string())
    }

    #[test]
    fn what_one_of_the_keys_signed_is_taken_and_nothing_else() {
        let other = "RWTx5Zr1tiHQLwG9keckT0c45M3AGeHD6IvimQHpyRywVWGbP1aVSGav";
        let good = SIGNATURE.as_bytes();
        checked(&[KEY], Some(good), SIGNED).unwrap();
        checked(&[other, KEY], Some(good), SIGNED).unwrap();
        checked(&[], None, SIGNED).unwrap();
        // Good, but for its form.
        let key = PublicKey::from_base64(KEY).unwrap();
        key.verify(SIGNED, &Signature::decode(LEGACY).unwrap(), true).unwrap();
        for (keys, signature, bytes, words) in [
            (&[KEY], None, SIGNED, "No such file"),
            (&[KEY], Some(&b"trust me"[..]), SIGNED, "no signature of minisign"),
            (&[KEY], Some(&[0xff; 9000][..]), SIGNED, "minisig: "),
            (&[KEY], Some(good), b"tesT", "or of other bytes"),
            (&[other], Some(good), SIGNED, "none of the keys"),
            (&[KEY], Some(LEGACY.as_bytes()), SIGNED, "none of the keys"),
        ] {
            let problem = checked(keys, signature, bytes).unwrap_err();
            assert!(problem.contains(words) && problem.contains("acme@1.0.0.wasm"), "{words}? {problem}");
        }
    }

    #[test]
    fn a_text_that_is_no_key_is_named() {
        for text in ["", "RWQ", "untrusted comment: minisign public key"] {
            let problem = Trust::read(&[KEY.to_owned(), text.to_owned()]).unwrap_err();
            assert!(problem.contains(&format!("`{text}`")), "{problem}");
        }
    }
}
