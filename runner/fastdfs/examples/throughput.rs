//! How fast client and server are together on this machine, and how much memory each takes for a large stream.
//!
//! `cargo run --release -p packhorse-fastdfs --example throughput -- [FOLDER]`
//!
//! The server is a process of its own, this program started again, so that its memory and its processor time are its own.
//! Reads come from the page cache and writes are not synced: what is measured is the programs, not the disk.

#![expect(clippy::print_stdout, reason = "its output is what it is for")]
#![expect(clippy::unwrap_used, reason = "a measurement that fails has nothing to say")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use packhorse_fastdfs::{Client, ClientOptions, Extension, FileId, Fsync, ServerHandle, ServerOptions};

const LONG: Duration = Duration::from_secs(1);
const SMALL: usize = 1 << 10;
const STREAM: u64 = 1 << 30;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--serve", folder] => runtime.block_on(serve(Path::new(folder))),
        ["--stream", tracker, folder] => runtime.block_on(stream(tracker, Path::new(folder))),
        [] => measure(&runtime, Path::new("throughput.data")),
        [folder] => measure(&runtime, Path::new(folder)),
        _ => println!("usage: throughput [FOLDER]"),
    }
}

fn measure(runtime: &tokio::runtime::Runtime, folder: &Path) {
    let server = Server::start(folder);
    runtime.block_on(rates(&server.tracker));
    drop(server);
    let server = Server::start(folder);
    let streamed = again(&["--stream", &server.tracker, &folder.display().to_string()]).status().unwrap();
    assert!(streamed.success());
    println!("  peak memory of the server: {}", peak(&format!("/proc/{}/status", server.process.id())));
    drop(server);
    fs::remove_dir_all(folder).unwrap();
}

/// Another process of this program that serves until it is dropped.
struct Server {
    process: Child,
    tracker: String,
}

impl Server {
    fn start(folder: &Path) -> Self {
        let mut process = again(&["--serve", &folder.display().to_string()])
            .stdout(Stdio::piped())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut tracker = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut tracker).unwrap();
        Self { process, tracker: tracker.trim().to_owned() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It serves as long as its stdin is open.
        drop(self.process.stdin.take());
        self.process.wait().unwrap();
    }
}

fn again(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(arguments);
    command
}

async fn serve(folder: &Path) {
    let options = ServerOptions { fsync: Fsync::Never, ..ServerOptions::new(folder).on_free_ports() };
    let server = ServerHandle::start(options).await.unwrap();
    println!("{}", server.tracker_addr);
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await.unwrap().unwrap();
    server.shutdown().await;
}

async fn rates(tracker: &str) {
    let client = Client::new(ClientOptions::new([tracker]));
    for connections in [1, 4, 16] {
        println!("upload 1 KiB, {connections} at once: {:.0}/s", small_uploads(connections, &client).await);
    }
    for connections in [1, 4, 16] {
        println!("download 1 KiB, {connections} at once: {:.0}/s", small_downloads(connections, &client).await);
    }
    for (size, text) in [(16 << 20, "16 MiB"), (256 << 20, "256 MiB")] {
        large(&client, size, text).await;
    }
}

async fn large(client: &Client, size: usize, text: &str) {
    let content = vec![7; size];
    let (mut uploading, mut count) = (Duration::ZERO, 0);
    while uploading < LONG {
        let start = Instant::now();
        let file = client.upload(&content, &Extension::none()).await.unwrap();
        uploading += start.elapsed();
        count += 1;
        // Otherwise the disk, which writes behind, would be what is measured in the end.
        client.delete(&file).await.unwrap();
    }
    println!("upload {text}: {:.0} MB/s", megabytes(count * size as u64, uploading));
    let file = client.upload(&content, &Extension::none()).await.unwrap();
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed() < LONG {
        client.download(&file, 0, 0, size).await.unwrap();
        count += 1;
    }
    println!("download {text}: {:.0} MB/s", megabytes(count * size as u64, start.elapsed()));
    client.delete(&file).await.unwrap();
}

fn megabytes(bytes: u64, took: Duration) -> f64 {
    bytes as f64 / 1e6 / took.as_secs_f64()
}

/// How often a second something is done, by as many tasks as `connections` says.
async fn at_once<F: Future<Output = ()> + Send>(
    connections: usize,
    client: &Client,
    once: impl Fn(Client) -> F + Clone + Send + 'static,
) -> f64 {
    let tasks: Vec<_> = (0..connections)
        .map(|_| {
            let (client, once) = (client.clone(), once.clone());
            tokio::spawn(async move {
                let (start, mut count) = (Instant::now(), 0_u64);
                while start.elapsed() < LONG {
                    once(client.clone()).await;
                    count += 1;
                }
                count as f64 / start.elapsed().as_secs_f64()
            })
        })
        .collect();
    let mut rate = 0.0;
    for task in tasks {
        rate += task.await.unwrap();
    }
    rate
}

async fn small_uploads(connections: usize, client: &Client) -> f64 {
    at_once(connections, client, async |client: Client| {
        client.upload(&[7; SMALL], &Extension::none()).await.unwrap();
    })
    .await
}

async fn small_downloads(connections: usize, client: &Client) -> f64 {
    let file: FileId = client.upload(&[7; SMALL], &Extension::none()).await.unwrap();
    at_once(connections, client, move |client: Client| {
        let file = file.clone();
        async move {
            assert_eq!(client.download(&file, 0, 0, SMALL).await.unwrap().len(), SMALL);
        }
    })
    .await
}

/// A large file up and down, from and to the disk; says what this process took for it.
async fn stream(tracker: &str, folder: &Path) {
    let (from, to): (PathBuf, PathBuf) = (folder.join("stream.in"), folder.join("stream.out"));
    let mut file = fs::File::create(&from).unwrap();
    for number in 0..STREAM / (1 << 20) {
        file.write_all(&[number as u8; 1 << 20]).unwrap();
    }
    let client = Client::new(ClientOptions::new([tracker]));
    let start = Instant::now();
    let id = client.upload_file(&from, &Extension::none()).await.unwrap();
    println!("upload 1 GiB from a file: {:.0} MB/s", megabytes(STREAM, start.elapsed()));
    let start = Instant::now();
    let size = client.download_to_file(&id, &to).await.unwrap();
    println!("download 1 GiB to a file, synced: {:.0} MB/s", megabytes(size, start.elapsed()));
    assert_eq!(size, STREAM);
    client.delete(&id).await.unwrap();
    println!("  peak memory of the client: {}", peak("/proc/self/status"));
}

/// The most memory that a process ever had in use.
fn peak(status: &str) -> String {
    let status = fs::read_to_string(status).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().to_owned()
}
