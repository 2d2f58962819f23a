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

/// The first YAML block of the guide to devices is a file of devices that passes.
#[test]
fn the_example_of_devices_passes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide-devices.md");
    let guide = std::fs::read_to_string(&path).expect("readable");
    let block = guide.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    assert!(registry::is_devices(block.as_bytes()));
    let devices = registry::read(block.as_bytes(), "guide-devices.md").unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(devices.entries.len(), 2);
}
