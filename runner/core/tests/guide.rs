//! Every YAML block of the guides is a workflow that passes.

use packhorse_core::registry;
use packhorse_core::workflow::{self, expr};
use std::path::Path;

#[test]
fn every_example_of_the_guides_passes() {
    for (guide, count) in [("guide-workflows.md", 4), ("guide-triggers.md", 1)] {
        passes(guide, count);
    }
}

fn passes(name: &'static str, count: usize) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    let guide = std::fs::read_to_string(&path).expect("readable");
    let blocks: Vec<String> =
        guide.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect();
    assert_eq!(blocks.len(), count);
    for block in blocks {
        let check = move || workflow::check(block.as_bytes(), name).map(drop).map_err(|problems| problems.to_string());
        let thread = std::thread::Builder::new().stack_size(expr::STACK).spawn(check).expect("spawns");
        thread.join().expect("no panic").unwrap_or_else(|problems| panic!("{problems}"));
    }
}

/// Every YAML block of the guide to devices that is a file of devices passes.
#[test]
fn the_examples_of_devices_pass() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide-devices.md");
    let guide = std::fs::read_to_string(&path).expect("readable");
    let blocks = guide.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let files: Vec<String> = blocks.filter(|block| registry::is_devices(block.as_bytes())).map(str::to_owned).collect();
    let read = move || {
        let read = |file: &String| {
            registry::read(file.as_bytes(), "guide-devices.md").map_err(|problems| problems.to_string())
        };
        files.iter().map(|file| read(file).map(|devices| devices.entries.len())).collect::<Vec<_>>()
    };
    let thread = std::thread::Builder::new().stack_size(expr::STACK).spawn(read).expect("spawns");
    assert_eq!(thread.join().expect("no panic"), [Ok(2), Ok(3)]);
}
