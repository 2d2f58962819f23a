//! How fast client and server are together, on this machine: small uploads on kept connections, and large streams.
//!
//! `cargo run --release -p packhorse-fastdfs --example throughput -- [FOLDER]`

#![expect(clippy::print_stdout, reason = "its output is what it is for")]
#![expect(clippy::unwrap_used, reason = "a measurement that fails has nothing to say")]

use std::time::{Duration, Instant};

use packhorse_fastdfs::{Client, ClientOptions, Extension, ServerHandle, ServerOptions};

const LONG: Duration = Duration::from_secs(1);
const LARGE: usize = 16 << 20;

#[tokio::main]
async fn main() {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "throughput.data".to_owned());
    let server = ServerHandle::start(ServerOptions::new(&folder).on_free_ports()).await.unwrap();
    let client = Client::new(ClientOptions::new([server.tracker_addr.to_string()]));
    for connections in [1, 4, 16] {
        let rate = small_uploads(connections, &client).await;
        println!("upload 1 KiB, {connections} at once: {rate:.0}/s");
    }
    let content = vec![7; LARGE];
    let (count, took) = repeat(async || {
        let file = client.upload(&content, &Extension::none()).await.unwrap();
        // Otherwise the disk, which writes behind, would be what is measured in the end.
        client.delete(&file).await.unwrap();
    })
    .await;
    println!("upload 16 MiB: {:.0} MB/s", megabytes(count, took));
    let file = client.upload(&content, &Extension::none()).await.unwrap();
    let (count, took) = repeat(async || {
        client.download(&file, 0, 0, LARGE).await.unwrap();
    })
    .await;
    println!("download 16 MiB: {:.0} MB/s", megabytes(count, took));
    server.shutdown().await;
    std::fs::remove_dir_all(folder).unwrap();
}

fn megabytes(count: u64, took: Duration) -> f64 {
    count as f64 * LARGE as f64 / 1e6 / took.as_secs_f64()
}

async fn repeat(mut once: impl AsyncFnMut()) -> (u64, Duration) {
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < LONG {
        once().await;
        count += 1;
    }
    (count, start.elapsed())
}

async fn small_uploads(connections: usize, client: &Client) -> f64 {
    let uploading: Vec<_> = (0..connections)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                let extension: Extension = "bin".parse().unwrap();
                let start = Instant::now();
                let mut count = 0_u64;
                while start.elapsed() < LONG {
                    client.upload(&[7; 1024], &extension).await.unwrap();
                    count += 1;
                }
                (count, start.elapsed())
            })
        })
        .collect();
    let mut rate = 0.0;
    for task in uploading {
        let (count, took) = task.await.unwrap();
        rate += count as f64 / took.as_secs_f64();
    }
    rate
}
