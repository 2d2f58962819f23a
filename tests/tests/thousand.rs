//! Many pushes at once in one process: all files identical; prints what the runner's memory came to and how long it took.

use packhorse_tests::child::{Child, PATIENCE};
use packhorse_tests::{World, alone, count, files};
use std::path::Path;
use std::time::{Duration, Instant};

const WORKFLOW: &str = "kind: workflow/v1\nname: many\ninputs:\n  device: { type: string }\n  image: { type: file }\n\
    codec: json-base64\nsteps:\n  - id: push\n    uses: transfer.push\n    \
    with: { device: \"${{ inputs.device }}\", file: \"${{ inputs.image }}\", window: 1 }\n";

/// Waits until a process has said a word on stderr.
fn wait_for(child: &Child, word: &str) {
    let started = Instant::now();
    while !child.err().contains(word) {
        assert!(started.elapsed() < PATIENCE, "`{word}` is not said:\n{}", child.err());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A figure of a process in KiB, as the kernel tells it.
fn kib(pid: u32, name: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim_start_matches(':').split_whitespace().next()?.parse().ok()
}

fn quantile(sorted: &[u64], share: f64) -> u64 {
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

/// Pushes to so many devices at once; the runner's peak memory in KiB.
fn pushes(many: usize, size: usize) -> u64 {
    let world = World::new();
    let services = world.services();
    let number = many.to_string();
    let device = world.device(&services.mqtt, "json-base64", "dev", &["--count", &number]);
    wait_for(&device, "listening");
    let list: String = (1..=many).map(|number| format!("dev-{number}\n")).collect();
    let list = world.text("devices.txt", &list).display().to_string();
    let (image, bytes) = world.file("fw.bin", size, 3);
    let image = format!("image={}", image.display());
    let each = ["-i", &image, "--each", &list, "--parallel", &number];
    let mut run = world.run(&services, &world.text("many.yaml", WORKFLOW), &each);
    let (pid, mut peak) = (run.pid(), 0);
    while run.runs() {
        peak = kib(pid, "VmHWM").unwrap_or(peak);
        std::thread::sleep(Duration::from_millis(20));
    }
    let ended = run.end().exits(0).json();
    assert_eq!(ended["succeeded"].as_u64(), Some(many as u64));
    let items = ended["items"].as_array().unwrap();
    let mut took: Vec<u64> = items.iter().map(|item| item["duration_ms"].as_u64().unwrap()).collect();
    took.sort_unstable();
    assert_eq!(took.len(), many);
    let expected = files::sha256(&bytes);
    let identical =
        (1..=many).filter(|number| arrived(&world.path(&format!("device/dev-{number}/fw.bin"))) == expected);
    assert_eq!(identical.count(), many, "every device holds the file");
    device.signal(rustix::process::Signal::TERM);
    let told = device.end().exits(0).err;
    let answered =
        told.lines().find(|line| line.starts_with("answered:")).expect("devices tell how fast they were answered");
    println!(
        "{many} pushes of {size} bytes at once: peak memory of the runner {} MiB; a push took {} ms (median), {} ms (p99); {answered}",
        peak / 1024,
        quantile(&took, 0.5),
        quantile(&took, 0.99)
    );
    peak
}

fn arrived(path: &Path) -> String {
    files::sha256(&std::fs::read(path).unwrap_or_default())
}

#[test]
fn pushes_to_many_devices_at_once_all_arrive() {
    let _alone = alone();
    let many = count(100, 1_000);
    let size = count(64, 256) * 1024;
    let one = pushes(1, size);
    let all = pushes(many, size);
    println!(
        "memory: {} MiB for one, and {} KiB for each further one",
        one / 1024,
        all.saturating_sub(one) / (many as u64 - 1)
    );
    assert!(all < 512 * 1024, "{} MiB", all / 1024);
}
