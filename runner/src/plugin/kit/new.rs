//! A new codec: a folder that builds, passes its tests and moves files, to be changed into what a vendor's devices speak.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::super::{PluginError, shelf};
use super::files;

/// In what a codec is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// With the crate `packhorse-codec`.
    Rust,
    /// With `packhorse.h`; clang and lld build it.
    C,
}

/// A codec that was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Begun {
    /// Of the codec.
    pub name: String,
    /// In what it is written.
    pub language: Language,
    /// Where it is.
    pub path: PathBuf,
    /// What was written, below `path`.
    pub files: Vec<String>,
}

/// Writes a codec called `name` into `plugins_dir/name`, which must not be there yet. A failure leaves nothing behind.
pub fn new(name: &str, language: Language, plugins_dir: &Path) -> Result<Begun, PluginError> {
    let path = plugins_dir.join(name);
    let refused = |problem: &str| PluginError::New { path: path.clone(), problem: problem.to_owned() };
    if !shelf::is_name(name) {
        return Err(refused("a codec's name is made of 1 to 64 of a-z 0-9 -"));
    }
    if language == Language::Rust && !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        return Err(refused("the name of a crate begins with a letter"));
    }
    if path.exists() {
        return Err(refused("it is there already"));
    }
    let written = match language {
        Language::Rust => rust(name, plugins_dir),
        Language::C => c(name),
    };
    let failed = |source| PluginError::File { verb: "write", path: path.clone(), source };
    // Whole, or not at all.
    std::fs::create_dir_all(plugins_dir).map_err(failed)?;
    let making = plugins_dir.join(format!(".{name}.{}.new", std::process::id()));
    let made = write_all(&making, &written).and_then(|()| std::fs::rename(&making, &path));
    if let Err(error) = made {
        // It may never have been there.
        let _ = std::fs::remove_dir_all(&making);
        return Err(failed(error));
    }
    let files = written.into_iter().map(|(file, _)| file).collect();
    Ok(Begun { name: name.to_owned(), language, path, files })
}

type Written = Vec<(String, String)>;

fn rust(name: &str, plugins_dir: &Path) -> Written {
    let member = is_member(plugins_dir);
    let left_out = if member { "Cargo.toml.in" } else { "Cargo.member.toml.in" };
    let mut written = both(name);
    for (file, text) in files::RUST.iter().filter(|(file, _)| *file != left_out) {
        let file = if file.ends_with(".toml.in") { "Cargo.toml" } else { *file };
        written.push((file.to_owned(), files::filled(text, name)));
    }
    if !member {
        written.push((".gitignore".to_owned(), "/target\n".to_owned()));
        let of_sdk = files::RUST_SDK.iter().map(|(file, text)| (format!("packhorse-codec/{file}"), (*text).to_owned()));
        written.extend(of_sdk);
    }
    written
}

fn c(name: &str) -> Written {
    let mut written = both(name);
    written.extend(files::C.iter().map(|(file, text)| ((*file).to_owned(), files::filled(text, name))));
    let of_sdk = files::C_SDK.iter().filter(|(file, _)| *file != "regenerate" && *file != "README.md");
    written.extend(of_sdk.map(|(file, text)| (format!("packhorse/{file}"), (*text).to_owned())));
    written.push(("packhorse/codec.wit".to_owned(), files::WIT.to_owned()));
    written
}

fn both(name: &str) -> Written {
    let place = |file: &str| match file {
        "protocol.md" => "README.md".to_owned(),
        "vectors.yaml" => "vectors/sessions.yaml".to_owned(),
        other => other.to_owned(),
    };
    files::BOTH.iter().map(|(file, text)| (place(file), files::filled(text, name))).collect()
}

/// Whether the folder lies in the workspace where the SDK is a member itself.
fn is_member(plugins_dir: &Path) -> bool {
    let Ok(whole) = plugins_dir.canonicalize() else { return false };
    let has_sdk = |folder: &Path| {
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
        manifest.lines().any(|line| line.starts_with("packhorse-codec = { path = "))
    };
    whole.parent().is_some_and(has_sdk)
}

fn write_all(folder: &Path, written: &Written) -> std::io::Result<()> {
    for (file, text) in written {
        let path = folder.join(file);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_codec_is_whole_and_names_itself() {
        let dir = tempfile::tempdir().unwrap();
        for (name, language, source) in [("bolt-1", Language::Rust, "src/platform.rs"), ("nut", Language::C, "codec.c")]
        {
            let begun = new(name, language, dir.path()).unwrap();
            assert_eq!(begun.path, dir.path().join(name));
            let text = std::fs::read_to_string(begun.path.join(source)).unwrap();
            assert!(text.contains(&format!("\"{name}\"")) && !text.contains("{{"), "{text}");
            assert!(begun.files.iter().any(|file| file == "vectors/sessions.yaml"), "{:?}", begun.files);
            for file in &begun.files {
                assert!(begun.path.join(file).is_file(), "{file}");
            }
        }
        let manifest = std::fs::read_to_string(dir.path().join("bolt-1/packhorse-codec/Cargo.toml")).unwrap();
        assert!(!manifest.contains("workspace") && manifest.contains("optional = true"), "{manifest}");
    }

    #[test]
    fn what_is_there_stays_and_bad_names_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        new("bolt", Language::C, dir.path()).unwrap();
        for (name, language, words) in [
            ("bolt", Language::Rust, "it is there already"),
            ("Bolt", Language::C, "1 to 64 of a-z"),
            ("../x", Language::C, "1 to 64 of a-z"),
            ("1bolt", Language::Rust, "begins with a letter"),
        ] {
            let text = new(name, language, dir.path()).unwrap_err().to_string();
            assert!(text.contains(words), "{text}");
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
