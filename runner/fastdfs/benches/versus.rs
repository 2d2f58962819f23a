//! Our client and that of the crate `fastdfs`, side by side on the same embedded server, and thereby the server under both.
//!
//! `cargo bench -p packhorse-fastdfs --bench versus`: about five minutes. Files lie on the disk that holds the build folder,
//! are not synced, and are deleted outside of the measured part. `kept` uses the connections of one client, `new` makes a
//! client for each operation, which connects to tracker and storage.

#![expect(clippy::unwrap_used, reason = "a measurement that fails has nothing to say")]

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use packhorse_fastdfs::{Client, ClientOptions, Extension, FileId, Fsync, ServerHandle, ServerOptions};
use tokio::runtime::Runtime;

const SIZES: [(usize, &str); 4] =
    [(1 << 10, "1 KiB"), (64 << 10, "64 KiB"), (16 << 20, "16 MiB"), (256 << 20, "256 MiB")];

/// What both clients can do. An id is text.
trait Side {
    const NAME: &'static str;
    fn new(tracker: &str) -> Self;
    async fn upload(&self, content: &[u8]) -> String;
    async fn download(&self, file: &str) -> usize;
    async fn end(&self);
}

struct Ours(Client);

impl Side for Ours {
    const NAME: &'static str = "packhorse";

    fn new(tracker: &str) -> Self {
        Self(Client::new(ClientOptions::new([tracker])))
    }

    async fn upload(&self, content: &[u8]) -> String {
        self.0.upload(content, &Extension::none()).await.unwrap().to_string()
    }

    async fn download(&self, file: &str) -> usize {
        self.0.download(&file.parse::<FileId>().unwrap(), 0, 0, usize::MAX).await.unwrap().len()
    }

    async fn end(&self) {
        self.0.quit().await;
    }
}

/// It keeps connections too, and looks after those that rest in a task of its own, which is switched off here.
struct Theirs(fastdfs::FdfsClient);

impl Side for Theirs {
    const NAME: &'static str = "crate fastdfs 0.1.1";

    fn new(tracker: &str) -> Self {
        let options = fastdfs::ClientOptions::new(vec![tracker]);
        Self(options.time_between_eviction_runs(Duration::ZERO).build().unwrap())
    }

    async fn upload(&self, content: &[u8]) -> String {
        self.0.upload_file_buf(content, "", None, false).await.unwrap().to_string()
    }

    async fn download(&self, file: &str) -> usize {
        self.0.download_file_buf(&file.parse().unwrap(), 0, 0).await.unwrap().len()
    }

    async fn end(&self) {
        self.0.close().await;
    }
}

#[derive(Clone, Copy)]
enum Connections {
    Kept,
    New,
}

struct Bench {
    runtime: Runtime,
    tracker: String,
    /// Deletes what was uploaded.
    cleaner: Client,
}

impl Bench {
    async fn delete(&self, file: &str) {
        self.cleaner.delete(&file.parse().unwrap()).await.unwrap();
    }

    /// How long `count` uploads take together.
    async fn uploads<S: Side>(&self, connections: Connections, kept: &S, content: &[u8], count: u64) -> Duration {
        let mut took = Duration::ZERO;
        for _ in 0..count {
            let start = Instant::now();
            let file = match connections {
                Connections::Kept => kept.upload(content).await,
                Connections::New => S::new(&self.tracker).upload(content).await,
            };
            took += start.elapsed();
            self.delete(&file).await;
        }
        took
    }

    async fn downloads<S: Side>(&self, connections: Connections, kept: &S, content: &[u8], count: u64) -> Duration {
        let file = kept.upload(content).await;
        let mut took = Duration::ZERO;
        for _ in 0..count {
            let start = Instant::now();
            let size = match connections {
                Connections::Kept => kept.download(&file).await,
                Connections::New => S::new(&self.tracker).download(&file).await,
            };
            took += start.elapsed();
            assert_eq!(size, content.len());
        }
        self.delete(&file).await;
        took
    }

    fn side<S: Side>(&self, criterion: &mut Criterion) {
        for (connections, how) in [(Connections::Kept, "kept"), (Connections::New, "new")] {
            for (size, text) in SIZES {
                let content = vec![7; size];
                let kept = self.runtime.block_on(async { S::new(&self.tracker) });
                let mut group = criterion.benchmark_group(format!("{text}, {how} connections"));
                group.throughput(Throughput::Bytes(size as u64)).sampling_mode(SamplingMode::Flat).sample_size(10);
                group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
                group.bench_function(BenchmarkId::new("upload", S::NAME), |bencher| {
                    bencher
                        .iter_custom(|count| self.runtime.block_on(self.uploads(connections, &kept, &content, count)));
                });
                group.bench_function(BenchmarkId::new("download", S::NAME), |bencher| {
                    bencher.iter_custom(|count| {
                        self.runtime.block_on(self.downloads(connections, &kept, &content, count))
                    });
                });
                group.finish();
                self.runtime.block_on(kept.end());
            }
        }
    }
}

fn versus(criterion: &mut Criterion) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let runtime = Runtime::new().unwrap();
    let options = ServerOptions { fsync: Fsync::Never, ..ServerOptions::new(folder.path()).on_free_ports() };
    let server = runtime.block_on(ServerHandle::start(options)).unwrap();
    let tracker = server.tracker_addr.to_string();
    let cleaner = Client::new(ClientOptions::new([&tracker]));
    let bench = Bench { runtime, tracker, cleaner };
    bench.side::<Ours>(criterion);
    bench.side::<Theirs>(criterion);
    bench.runtime.block_on(server.shutdown());
}

criterion_group!(benches, versus);
criterion_main!(benches);
