//! Link, real codecs and the simulated device over the in-memory bus: pushes, pulls and verifies in bad weather.

use packhorse::blob::{BlobStore, Contents, MemoryBlobs};
use packhorse::bus::{Bus, MemoryBus, Message};
use packhorse::device::{Device, DeviceOptions, Faults, Pace, Struck};
use packhorse::link::{Control, Link, LinkEnd, LinkNote, NoMeter, Order, PlainShelf, Rejected, Spool, Unclaimed};
use packhorse::plugin::{Host, HostSettings, Plugin};
use packhorse::store::MemoryKeyValue;
use packhorse_core::effect::{Confirmed, Layout, TransferReport, TransferRequest, TransferTask};
use packhorse_core::file::FileRef;
use packhorse_tests::files;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use tokio::sync::{mpsc, watch};

const CODECS: [&str; 2] = ["json-base64", "acme-tlv"];

struct World {
    folder: tempfile::TempDir,
    link: Arc<Link>,
    blobs: Arc<MemoryBlobs>,
    plugin: Arc<Plugin>,
    stop: watch::Sender<bool>,
    device: tokio::task::JoinHandle<(Struck, Struck)>,
}

fn host() -> Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| Host::new(HostSettings::default()).expect("the plugin host starts")).clone()
}

impl World {
    async fn new(codec: &str, faults: Faults, on_device: &[(&str, usize)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let codec = codec.to_owned();
        let plugin = tokio::task::spawn_blocking(move || host().load(&codec)).await.unwrap().unwrap();
        let bus: Arc<dyn Bus> = Arc::new(MemoryBus::new());
        let blobs = Arc::new(MemoryBlobs::new());
        let contents = Arc::new(Contents::new(blobs.clone()));
        let spool = Spool::open(&folder.path().join("spool")).unwrap();
        let link =
            Link::new(bus.clone(), contents, spool, folder.path().join("data"), Arc::new(MemoryKeyValue::default()));
        let link = Arc::new(link);
        let dir = folder.path().join("device");
        std::fs::create_dir_all(&dir).unwrap();
        for (index, (name, size)) in on_device.iter().enumerate() {
            files::file(&dir, name, *size, 100 + index as u64);
        }
        let id = "dev-1".into();
        let options = DeviceOptions { id, dir, vars: Vec::new(), faults, seed: 5, spool: None, pace: Pace::default() };
        let (notes, _) = mpsc::unbounded_channel();
        let device = Device::new(options, plugin.clone(), bus, notes).unwrap();
        let (stop, stopping) = watch::channel(false);
        let device = tokio::spawn(async move { device.run(stopping).await.unwrap() });
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        Self { folder, link, blobs, plugin, stop, device }
    }

    fn file(&self, size: usize) -> (FileRef, Vec<u8>) {
        let path = files::file(self.folder.path(), "fw.bin", size, 1);
        let bytes = std::fs::read(&path).unwrap();
        let file = FileRef {
            uri: format!("file:{}", path.display()),
            name: "fw.bin".into(),
            size: size as u64,
            md5: files::md5(&bytes),
            sha256: files::sha256(&bytes),
            meta: BTreeMap::new(),
        };
        (file, bytes)
    }

    async fn run(&self, task: TransferTask, window: Option<u16>) -> TransferReport {
        self.run_after(None, task, window).await.0
    }

    /// The same after a message that came before anybody listened; also gives the last packets that were rejected.
    async fn run_after(
        &self,
        first: Option<Message>,
        task: TransferTask,
        window: Option<u16>,
    ) -> (TransferReport, Vec<Rejected>) {
        let request = TransferRequest {
            task,
            device: "dev-1".into(),
            window,
            packet_size: None,
            message_limit: None,
            rate: None,
            budget: None,
            meta: BTreeMap::new(),
        };
        let (notes, mut told) = mpsc::channel(16);
        let (_control, watched) = watch::channel(Control::Go);
        let order = Order {
            began_with: None,
            run: "run".into(),
            level: 3,
            name: "run/step/1".into(),
            request,
            plugin: self.plugin.clone(),
            vars: Vec::new(),
            epoch: 1,
            attempt: 1,
            checkpoint: None,
            first,
            control: watched,
            heard: None,
            notes,
            claim: Arc::new(Unclaimed),
            meter: Arc::new(NoMeter),
            shelf: Arc::new(PlainShelf(self.blobs.clone())),
        };
        let link = self.link.clone();
        let running = tokio::spawn(async move { link.run(order).await });
        let (mut last, mut rejected, started) = (None, Vec::new(), std::time::Instant::now());
        let patience = std::time::Duration::from_secs(60);
        while let Ok(Some(note)) = tokio::time::timeout(patience, told.recv()).await {
            if let LinkNote::Progress(report, rejects, _) = note {
                rejected = rejects;
                assert!(started.elapsed() < patience, "no end in sight: {report:?}");
                last = Some(report);
            }
        }
        match running.await.unwrap() {
            LinkEnd::Good(report) => (*report, rejected),
            other => panic!("{other:?}, last progress {last:?}"),
        }
    }

    fn on_device(&self) -> PathBuf {
        self.folder.path().join("device/fw.bin")
    }

    async fn stop(self) -> (Struck, Struck) {
        self.stop.send(true).unwrap();
        self.device.await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_every_size_arrive_byte_for_byte() {
    for codec in CODECS {
        for size in [0, 1, 639, 640, 641, 6_400, 100_000] {
            let world = World::new(codec, Faults::default(), &[]).await;
            let (file, bytes) = world.file(size);
            let report = world.run(TransferTask::Push { file }, Some(16)).await;
            assert!(std::fs::read(world.on_device()).unwrap() == bytes, "{codec} {size}");
            assert_eq!(report.traffic.payload_bytes, size as u64, "{codec} {size}");
            assert_eq!(report.traffic.retransmitted_bytes, 0, "{codec} {size}");
            world.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_message_that_asked_for_a_transfer_is_heard_first() {
    for (topic, heard) in [("packhorse/dev-1/up", true), ("packhorse/dev-2/up", false)] {
        let world = World::new("json-base64", Faults::default(), &[]).await;
        let (file, bytes) = world.file(100_000);
        let first = Message::new(topic, b"please".to_vec());
        let (_, rejected) = world.run_after(Some(first), TransferTask::Push { file }, Some(16)).await;
        // It is no packet of this codec, so that it is seen by what the codec says of it.
        assert_eq!(rejected.iter().any(|packet| packet.head == b"please"), heard, "{topic}: {rejected:?}");
        assert!(std::fs::read(world.on_device()).unwrap() == bytes);
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_survive_loss_duplicates_reordering_and_corruption() {
    let faults =
        Faults { loss_up: 0.2, loss_down: 0.2, duplicate: 0.05, reorder: 0.05, corrupt: 0.05, restart_every: None };
    for codec in CODECS {
        let world = World::new(codec, faults, &[]).await;
        let (file, bytes) = world.file(1 << 20);
        let report = world.run(TransferTask::Push { file }, Some(32)).await;
        assert!(std::fs::read(world.on_device()).unwrap() == bytes, "{codec}");
        assert_eq!(report.traffic.payload_bytes, 1 << 20);
        let sent = (report.traffic.payload_bytes + report.traffic.retransmitted_bytes) as f64 / f64::from(1 << 20);
        println!("{codec}: sent {sent:.3} times the file, {:?}", report.traffic);
        let (down, up) = world.stop().await;
        for struck in [down, up] {
            assert!(
                struck.lost > 0 && struck.duplicated > 0 && struck.reordered > 0 && struck.corrupted > 0,
                "{struck:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pulls_arrive_whole_in_the_store() {
    let faults =
        Faults { loss_up: 0.1, loss_down: 0.1, duplicate: 0.05, reorder: 0.05, corrupt: 0.02, restart_every: None };
    for codec in CODECS {
        for (faults, size) in
            [(Faults::default(), 0), (Faults::default(), 1), (Faults::default(), 64_000), (faults, 200_000)]
        {
            let world = World::new(codec, faults, &[("syslog", size)]).await;
            let expected = files::bytes(size, 100);
            let task = TransferTask::Pull { file_type: "syslog".into(), name: None, layout: Layout::Whole };
            let report = world.run(task, Some(8)).await;
            assert_eq!(report.file.sha256, files::sha256(&expected), "{codec} {size}");
            assert_eq!(report.traffic.payload_bytes, size as u64, "{codec} {size}");
            let stored = world.blobs.read_at(&report.file.uri, 0, size).await.unwrap();
            assert!(stored == expected, "{codec} {size}");
            world.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_is_asked_what_it_really_holds() {
    for codec in CODECS {
        let world = World::new(codec, Faults::default(), &[]).await;
        let (file, bytes) = world.file(50_000);
        let nothing = world.run(TransferTask::Verify { file: file.clone() }, None).await;
        assert!(nothing.device_digests.is_empty(), "{codec}: {nothing:?}");
        world.run(TransferTask::Push { file: file.clone() }, None).await;
        let same = world.run(TransferTask::Verify { file: file.clone() }, None).await;
        assert_eq!(same.confirmed, Confirmed::DeviceDigest, "{codec}");
        let mut spoilt = bytes.clone();
        spoilt[7] ^= 1;
        std::fs::write(world.on_device(), spoilt).unwrap();
        let other = world.run(TransferTask::Verify { file: file.clone() }, None).await;
        assert_ne!(other.device_digests, same.device_digests, "{codec}");
        world.run(TransferTask::Push { file: file.clone() }, Some(8)).await;
        assert!(std::fs::read(world.on_device()).unwrap() == bytes, "{codec}: sent again");
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarting_device_gets_its_file_all_the_same() {
    let faults = Faults {
        loss_up: 0.05,
        loss_down: 0.05,
        restart_every: Some(std::time::Duration::from_millis(150)),
        ..Faults::default()
    };
    for codec in CODECS {
        let world = World::new(codec, faults, &[]).await;
        let (file, bytes) = world.file(1 << 20);
        let report = world.run(TransferTask::Push { file }, Some(32)).await;
        assert!(std::fs::read(world.on_device()).unwrap() == bytes, "{codec}");
        assert_eq!(report.traffic.payload_bytes, 1 << 20);
        world.stop().await;
    }
}
