//! What a killed server leaves behind, and what the next one makes of it. The server runs in a process of its own.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use packhorse_fastdfs::{Client, ClientOptions, ServerError, ServerHandle, ServerOptions};

use crate::cluster::{Cluster, bytes, client_of, ext};

const FOLDER: &str = "FASTDFS_TEST_FOLDER";

/// Not a test of its own: the process that [`Served`] starts and kills. Without a folder it has nothing to do.
#[test]
fn served_in_a_process_of_its_own() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let server = ServerHandle::start(ServerOptions::new(folder).on_free_ports()).await.unwrap();
        println!("\ntracker {}", server.tracker_addr);
        std::future::pending::<()>().await;
    });
}

pub(crate) struct Served {
    process: Child,
    pub(crate) client: Client,
}

impl Served {
    pub(crate) fn start(folder: &std::path::Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crashes::served_in_a_process_of_its_own", "--nocapture"])
            .env(FOLDER, folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let tracker = lines.map(Result::unwrap).find_map(|line| line.strip_prefix("tracker ").map(str::to_owned));
        let client = Client::new(ClientOptions::new([tracker.expect("the server says where it listens")]));
        Self { process, client }
    }

    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_middle_of_changes_loses_nothing_that_was_answered() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged: Vec<(packhorse_fastdfs::FileId, Vec<u8>)> = Vec::new();
    for round in 0..5_usize {
        let served = Served::start(folder.path());
        for (file, content) in &acknowledged {
            let size = served.client.file_size(file).await.unwrap();
            assert_eq!(size, content.len() as u64, "round {round}");
            assert!(served.client.download(file, 0, 0, 1 << 30).await.unwrap() == content[..], "round {round}");
        }
        let file = served.client.upload_appender(b"begin", &ext("log")).await.unwrap();
        served.client.append(&file, &bytes(round * 1000)).await.unwrap();
        acknowledged.push((file.clone(), [b"begin".to_vec(), bytes(round * 1000)].concat()));
        let (started, begun) = tokio::sync::oneshot::channel();
        let endless = tokio::spawn(endless_changes(served.client.clone(), file, started));
        begun.await.unwrap();
        let path = folder.path().join("data").join(&acknowledged[round].0.name.as_str()[4..]);
        let answered = acknowledged[round].1.len() as u64;
        // Killed while more than was answered for is on disk.
        while std::fs::metadata(&path).unwrap().len() == answered {
            tokio::task::yield_now().await;
        }
        served.kill();
        endless.await.unwrap();
    }
    let folder_of_unfinished = folder.path().join("data/tmp");
    let served = Served::start(folder.path());
    assert_eq!(std::fs::read_dir(folder_of_unfinished).unwrap().count(), 0);
    served.kill();
}

/// An upload and an append that never come to their ends.
async fn endless_changes(client: Client, file: packhorse_fastdfs::FileId, started: tokio::sync::oneshot::Sender<()>) {
    let upload = async {
        let mut endless = Endless;
        client.upload_reader(&mut endless, 1 << 39, &ext("bin")).await.unwrap_err();
    };
    let append = async {
        started.send(()).unwrap();
        let mut endless = Endless;
        client.append_reader(&file, &mut endless, 1 << 39).await.unwrap_err();
    };
    tokio::join!(upload, append);
}

/// Gives a little now and then: enough to keep a change unfinished without filling the disk.
struct Endless;

impl tokio::io::AsyncRead for Endless {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        let waker = context.waker().clone();
        buffer.put_slice(&[7; 100][..buffer.remaining().min(100)]);
        waker.wake();
        std::task::Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn unfinished_uploads_are_gone_after_a_restart() {
    let at = Cluster::start().await;
    let kept = at.client.upload(b"kept", &ext("txt")).await.unwrap();
    at.server.shutdown().await;
    std::fs::write(at.folder.path().join("data/tmp/17"), b"half an upload").unwrap();
    let server = ServerHandle::start(ServerOptions::new(at.folder.path()).on_free_ports()).await.unwrap();
    assert!(!at.folder.path().join("data/tmp/17").exists());
    assert_eq!(client_of(&server).download(&kept, 0, 0, 10).await.unwrap(), b"kept"[..]);
}

#[tokio::test]
async fn two_servers_never_share_a_folder_or_an_address() {
    let at = Cluster::start().await;
    let second = ServerHandle::start(ServerOptions::new(at.folder.path()).on_free_ports()).await;
    assert!(matches!(second, Err(ServerError::InUse { .. })), "{second:?}");
    let other = tempfile::tempdir().unwrap();
    let mut options = ServerOptions::new(other.path()).on_free_ports();
    options.tracker = at.server.tracker_addr.to_string();
    let taken = ServerHandle::start(options).await.unwrap_err();
    assert!(taken.to_string().contains(&at.server.tracker_addr.to_string()), "{taken}");
}
