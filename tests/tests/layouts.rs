//! How pulled and uploaded files lie in the file store: once, as one file or as one a packet, whatever was killed in between. Files are
//! counted on the disk of a FastDFS server that is a process of its own.

use packhorse_tests::child::Child;
use packhorse_tests::world::id;
use packhorse_tests::{Service, World, count, files};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

struct Place {
    world: World,
    services: Service,
    _device: Child,
}

impl Place {
    fn new() -> Self {
        let world = World::new();
        let services = world.services();
        std::fs::create_dir_all(world.path("device")).unwrap();
        let device = world.device(&services.mqtt, "json-base64", "dev-1", &[]);
        Self { world, services, _device: device }
    }

    fn log(&self, name: &str, size: usize, seed: u64) -> Vec<u8> {
        let bytes = files::bytes(size, seed);
        std::fs::write(self.world.path(&format!("device/{name}")), &bytes).unwrap();
        bytes
    }

    /// Pulls a log, then downloads, checks and pushes what was stored, and looks it up by its MD5.
    fn pull(&self, log: &str, layout: &str) -> (Child, PathBuf) {
        let text = format!(
            "kind: workflow/v1\nname: pull\ncodec: json-base64\nsteps:\n  - id: pull\n    uses: transfer.pull\n    with: {{ device: dev-1, file_type: {log}, name: back-{log}, window: 16, packet_size: 640, layout: {layout} }}\n  - uses: fastdfs.download\n    with: {{ file: \"${{{{ steps.pull.outputs.file }}}}\", to: pulled-{log} }}\n  - uses: checksum.verify\n    with: {{ file: \"${{{{ steps.pull.outputs.file }}}}\", sha256: \"${{{{ steps.pull.outputs.sha256 }}}}\" }}\n  - uses: transfer.push\n    with: {{ device: dev-1, file: \"${{{{ steps.pull.outputs.file }}}}\", window: 16 }}\noutputs:\n  uri: \"${{{{ steps.pull.outputs.file.uri }}}}\"\n  sha256: \"${{{{ steps.pull.outputs.sha256 }}}}\"\n"
        );
        let workflow = self.world.text("pull.yaml", &text);
        (self.world.run(&self.services, &workflow, &[]), workflow)
    }

    fn arrived(&self, run: &Value, log: &str, bytes: &[u8]) -> String {
        assert_eq!(run["status"], "succeeded", "{run:#}");
        assert_eq!(run["outputs"]["sha256"], files::sha256(bytes).as_str());
        for path in [format!("pulled-{log}"), format!("device/back-{log}")] {
            assert!(std::fs::read(self.world.path(&path)).unwrap() == bytes, "{path} differs");
        }
        run["outputs"]["uri"].as_str().unwrap().to_owned()
    }

    /// Files in the file store; what the server keeps for itself has shorter names.
    fn stored(&self) -> usize {
        fn below(path: &Path) -> usize {
            let Ok(entries) = std::fs::read_dir(path) else { return 0 };
            let files = |entry: std::fs::DirEntry| {
                let named = entry.file_name().len() >= 27;
                if entry.path().is_dir() { below(&entry.path()) } else { usize::from(named) }
            };
            entries.flatten().map(files).sum()
        }
        below(&self.world.path("fastdfs/data"))
    }
}

#[test]
fn a_pulled_file_is_one_file_and_is_stored_once() {
    let place = Place::new();
    let bytes = place.log("syslog", 200_000, 1);
    let first = place.pull("syslog", "whole").0.end().exits(0).json();
    let uri = place.arrived(&first, "syslog", &bytes);
    assert!(uri.starts_with("fastdfs:"), "{uri}");
    assert_eq!(place.stored(), 1);
    let second = place.pull("syslog", "whole").0.end().exits(0).json();
    assert_eq!(place.arrived(&second, "syslog", &bytes), uri);
    assert_eq!(place.stored(), 1, "its SHA-256 is known, and it is still there");
    let upload = place.world.text(
        "upload.yaml",
        "kind: workflow/v1\nname: upload\ninputs:\n  file: { type: file }\nsteps:\n  - id: up\n    uses: fastdfs.upload\n    with: { file: \"${{ inputs.file }}\" }\noutputs:\n  uri: \"${{ steps.up.outputs.file.uri }}\"\n",
    );
    let same = place.world.path("pulled-syslog");
    let run = place.world.run(&place.services, &upload, &["-i", &format!("file={}", same.display())]);
    assert_eq!(run.end().exits(0).json()["outputs"]["uri"], uri.as_str(), "an upload finds what was pulled");
    assert_eq!(place.stored(), 1);
    let (other, _) = place.world.file("other.bin", 5_000, 2);
    let run = place.world.run(&place.services, &upload, &["-i", &format!("file={}", other.display())]);
    run.end().exits(0);
    assert_eq!(place.stored(), 2);
}

#[test]
fn packets_are_files_of_their_own_and_read_as_one() {
    let place = Place::new();
    let mut all = 0;
    for (log, size, packets) in [("empty", 0, 1), ("one", 640, 1), ("two", 641, 2), ("many", 100_000, 157)] {
        let bytes = place.log(log, size, 3);
        let run = place.pull(log, "per_packet").0.end().exits(0).json();
        let uri = place.arrived(&run, log, &bytes);
        assert!(uri.starts_with("packets:fastdfs:"), "{uri}");
        all += packets + 1;
        assert_eq!(place.stored(), all, "{log}: its packets and their list");
    }
    let bytes = std::fs::read(place.world.path("device/many")).unwrap();
    let again = place.pull("many", "per_packet").0.end().exits(0).json();
    place.arrived(&again, "many", &bytes);
    assert_eq!(place.stored(), all, "known by its SHA-256");
}

#[test]
fn a_kill_while_packets_are_stored_loses_none_of_them() {
    let place = Place::new();
    let (kills, mut struck, mut orphans) = (count(2, 20), 0, 0);
    for round in 0..kills {
        let log = format!("log-{round}");
        let bytes = place.log(&log, 1_280_000, 10 + round as u64);
        let before = place.stored();
        let (mut run, _) = place.pull(&log, "per_packet");
        let name = place.world.until(&mut run, |run| (place.stored() > before + 300 + round * 50).then(|| id(run)));
        std::thread::sleep(Duration::from_millis(7 * (round as u64 % 5)));
        let ended = match name {
            Some(name) => {
                struck += usize::from(run.kill());
                place.world.resume(&place.services, &name).end()
            }
            None => run.end(),
        };
        place.arrived(&ended.exits(0).json(), &log, &bytes);
        let more = place.stored() - before - 2_001;
        // What was stored in the last moments before the kill was not durable yet.
        assert!(more <= 512, "{more} packets were stored twice");
        orphans += more;
    }
    println!("{struck} of {kills} kills struck, {orphans} packets without a list in all");
    assert!(struck > 0);
}
