//! Workflow files, good and bad, against what the checker makes of them.

use packhorse_core::workflow::{self, Problems, Workflow, expr};
use std::path::{Path, PathBuf};

/// Checks on a thread with the stack that expressions want.
fn check(source: Vec<u8>, name: &str) -> Result<Workflow, Problems> {
    let name = name.to_owned();
    let thread = std::thread::Builder::new().stack_size(expr::STACK);
    thread.spawn(move || workflow::check(&source, &name)).expect("spawns").join().expect("does not panic")
}

fn folder(of: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(of)
}

fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    files
}

fn name(path: &Path) -> String {
    path.file_name().expect("a file").to_string_lossy().into_owned()
}

#[test]
fn the_workflows_that_we_ship_pass() {
    for file in ["ota-push.yaml", "log-pull.yaml", "checksum-verify.yaml"] {
        let path = folder("../../workflows").join(file);
        let source = std::fs::read(&path).expect("readable");
        let workflow = check(source, file).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(format!("{}.yaml", workflow.name), file);
    }
}

#[test]
fn good_files_pass() {
    let files = yaml_files(&folder("tests/workflows/good"));
    assert!(!files.is_empty());
    for path in files {
        let source = std::fs::read(&path).expect("readable");
        check(source, &name(&path)).unwrap_or_else(|problems| panic!("{problems}"));
    }
}

/// Each bad file stands beside the text that people see. `UPDATE=1` writes these texts anew: review them as code.
#[test]
fn bad_files_are_told_what_is_wrong() {
    let files = yaml_files(&folder("tests/workflows/bad"));
    assert!(files.len() >= 40, "{} bad files", files.len());
    let update = std::env::var_os("UPDATE").is_some();
    let mut wrong = Vec::new();
    for path in files {
        let source = std::fs::read(&path).expect("readable");
        let problems = check(source, &name(&path)).err().unwrap_or_else(|| panic!("{} passes", path.display()));
        let text = problems.to_string();
        let expected = path.with_extension("txt");
        if update {
            std::fs::write(&expected, &text).expect("writable");
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != text {
            wrong.push(format!("{}:\n{text}", name(&path)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn machines_get_ranges_as_editors_count_them() {
    let source = std::fs::read(folder("tests/workflows/bad/wide-letters.yaml")).expect("readable");
    let problems = check(source, "wide-letters.yaml").expect_err("is wrong");
    let json = problems.to_json();
    let step = &json["diagnostics"][1];
    assert_eq!((json["file"].as_str(), step["code"].as_str()), (Some("wide-letters.yaml"), Some("PH0207")));
    assert_eq!(step["severity"], 1);
    assert_eq!((step["line"].as_u64(), step["column"].as_u64()), (Some(6), Some(63)));
    // Two letters before it are outside of the basic plane: two UTF-16 units each.
    assert_eq!(step["range"]["start"], serde_json::json!({ "line": 5, "character": 64 }));
    assert_eq!(step["range"]["end"], serde_json::json!({ "line": 5, "character": 71 }));
    assert!(step["message"].as_str().is_some_and(|message| message.contains("unknown step `nothing`")));
}

#[test]
fn colour_comes_only_when_asked() {
    let problems = check(b"kind: workflow/v1\nname: x\n".to_vec(), "x.yaml").expect_err("is wrong");
    assert!(!problems.render(workflow::Colour::Never).contains('\u{1b}'));
    assert!(problems.render(workflow::Colour::Always).contains("\u{1b}[31;1merror[PH0213]\u{1b}[0m"));
}
