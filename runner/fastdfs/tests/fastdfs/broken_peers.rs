//! The client against trackers and storages that are gone, lie, or stop in the middle.

use std::{net::SocketAddr, time::Duration};

use packhorse_fastdfs::{
    Client, ClientError, ClientOptions, FileId,
    wire::{AddressSize, Command, FetchTarget, HEADER_LEN, Header, Status, StoreTarget, message},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::cluster::{Cluster, bytes, ext};

const FILE: &str = "group1/M00/00/00/fwAAA2sAAcSAGJxEAAAADcRYHyQ246.txt";

/// A peer that answers the n-th request with the n-th of these messages, and then closes.
async fn scripted(answers: Vec<Vec<u8>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut answers = answers.into_iter();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            while read_request(&mut stream).await.is_some() {
                let Some(answer) = answers.next() else { return };
                stream.write_all(&answer).await.unwrap();
                if answer.len() < HEADER_LEN || is_cut(&answer) {
                    break;
                }
            }
        }
    });
    address
}

fn is_cut(answer: &[u8]) -> bool {
    Header::decode(answer.first_chunk().unwrap())
        .is_ok_and(|header| header.length != (answer.len() - HEADER_LEN) as u64)
}

async fn read_request(stream: &mut TcpStream) -> Option<Command> {
    let mut header = [0; HEADER_LEN];
    stream.read_exact(&mut header).await.ok()?;
    let header = Header::decode(&header).unwrap();
    stream.read_exact(&mut vec![0; header.length as usize]).await.ok()?;
    Some(header.command)
}

/// A client whose tracker always names this storage.
async fn client_of_storage(storage: SocketAddr) -> Client {
    patient_client(storage, Duration::from_secs(20)).await
}

async fn patient_client(storage: SocketAddr, patience: Duration) -> Client {
    let fetch = FetchTarget::encode(&"group1".parse().unwrap(), &[storage], AddressSize::Ipv4);
    let tracker = scripted(vec![message(Command::ANSWER, Status::OK, &fetch); 50]).await;
    let mut options = ClientOptions::new([tracker.to_string()]);
    options.io_timeout = patience;
    Client::new(options)
}

fn file() -> FileId {
    FILE.parse().unwrap()
}

#[tokio::test]
async fn trackers_are_tried_in_turn() {
    let at = Cluster::start().await;
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let trackers = [gone.to_string(), at.server.tracker_addr.to_string()];
    let client = Client::new(ClientOptions::new(trackers));
    client.upload(b"x", &ext("txt")).await.unwrap();
    assert_eq!(client.active_trackers().await, 1);
    let client = Client::new(ClientOptions::new([gone.to_string(), gone.to_string()]));
    let error = client.upload(b"x", &ext("txt")).await.unwrap_err();
    assert!(matches!(error, ClientError::NoTracker { tried: 2, .. }) && error.is_transient(), "{error}");
    let none = Client::new(ClientOptions::new(Vec::<String>::new()));
    assert!(matches!(none.upload(b"x", &ext("txt")).await, Err(ClientError::NotConfigured)));
}

#[tokio::test]
async fn a_connection_that_closed_while_it_rested_is_replaced() {
    let at = Cluster::start_with(|mut options| {
        options.idle_timeout = Duration::from_millis(50);
        options
    })
    .await;
    let file = at.client.upload(b"x", &ext("txt")).await.unwrap();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(120)).await;
        assert_eq!(at.client.download(&file, 0, 0, 10).await.unwrap(), b"x"[..]);
    }
    at.client.quit().await;
    assert_eq!(at.client.file_size(&file).await.unwrap(), 1);
}

#[tokio::test]
async fn lies_about_lengths_are_errors() {
    let mut huge = Header::answer(Status::OK, i64::MAX as u64).encode().to_vec();
    huge.extend_from_slice(b"a few bytes");
    let mut negative = vec![0xFF; 8];
    negative.extend_from_slice(&[100, 0]);
    let not_an_answer = message(Command::UPLOAD, Status::OK, &[]);
    let cut = message(Command::ANSWER, Status::OK, &bytes(100))[..50].to_vec();
    for (answer, expected) in [(huge, "limit"), (negative, "wrong"), (not_an_answer, "wrong"), (cut, "broke")] {
        let client = client_of_storage(scripted(vec![answer]).await).await;
        let error = client.download(&file(), 0, 100, 100).await.unwrap_err();
        assert!(error.to_string().contains(expected) && error.to_string().contains(FILE), "{error}");
    }
}

#[tokio::test]
async fn a_silent_storage_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = patient_client(silent.local_addr().unwrap(), Duration::from_millis(300)).await;
    let error = client.download(&file(), 0, 0, 100).await.unwrap_err();
    assert!(matches!(error, ClientError::TimedOut { .. }) && error.is_safe_to_repeat(), "{error}");
    let error = client.append(&file(), b"x").await.unwrap_err();
    assert!(error.is_transient() && !error.is_safe_to_repeat(), "{error}");
}

#[tokio::test]
async fn damage_on_the_way_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("back");
    let answers = vec![
        message(Command::ANSWER, Status::OK, b"hello fastdfz"),
        message(Command::ANSWER, Status::OK, b"hello fastdfs"),
    ];
    let client = client_of_storage(scripted(answers).await).await;
    let error = client.download_to_file(&file(), &to).await.unwrap_err();
    assert!(matches!(error, ClientError::Mismatch { .. }), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    assert_eq!(client.download_to_file(&file(), &to).await.unwrap(), 13);
}

#[tokio::test]
async fn echoes_of_changes_of_nothing_are_skipped() {
    let echo = message(Command::ANSWER, Status::OK, &bytes(60));
    let empty = message(Command::ANSWER, Status::OK, &[]);
    let client = client_of_storage(scripted(vec![echo.clone(), empty.clone(), echo, empty]).await).await;
    client.append(&file(), b"").await.unwrap();
    client.append(&file(), b"x").await.unwrap();
    client.truncate(&file(), 3).await.unwrap();
    client.truncate(&file(), 2).await.unwrap();
}

#[tokio::test]
async fn old_servers_refuse_ranges_past_the_end_and_are_asked_again() {
    let refused = message(Command::ANSWER, Status::INVALID, &[]);
    let info = packhorse_fastdfs::wire::FileInfo { size: 13, modified_unix: 1, crc32: 0, source: None }.encode(16);
    let rest = message(Command::ANSWER, Status::OK, b"fs");
    let client =
        client_of_storage(scripted(vec![refused, message(Command::ANSWER, Status::OK, &info), rest]).await).await;
    assert_eq!(client.download(&file(), 11, 100, 100).await.unwrap(), b"fs"[..]);
}

/// A tracker that names `storage`, whatever it is asked.
async fn tracker_of(storage: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let group = "group1".parse().unwrap();
                while let Some(command) = read_request(&mut stream).await {
                    let body = match command {
                        Command::STORE_ANY_ONE => StoreTarget::encode(&group, &[storage], 0, AddressSize::Ipv4),
                        _ => FetchTarget::encode(&group, &[storage], AddressSize::Ipv4),
                    };
                    stream.write_all(&message(Command::ANSWER, Status::OK, &body)).await.unwrap();
                }
            });
        }
    });
    address
}

/// Passes bytes on to `storage`, and cuts the first connections after so many bytes from the client.
async fn cutting(storage: SocketAddr, cuts: Vec<u64>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut cuts = cuts.into_iter();
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let limit = cuts.next().unwrap_or(u64::MAX);
            tokio::spawn(async move {
                let mut server = TcpStream::connect(storage).await.unwrap();
                let (from_client, mut to_client) = client.split();
                let mut from_client = from_client.take(limit);
                let (mut from_server, mut to_server) = server.split();
                // Whichever ends first ends both.
                tokio::select! {
                    _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
                    _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_file_in_appends_survives_cuts_and_leaves_nothing_behind() {
    let at = Cluster::start().await;
    let content = bytes((9 << 20) + 77);
    let source = at.folder.path().join("source");
    std::fs::write(&source, &content).unwrap();
    // The first connection takes the beginning and half of the next step; the second one breaks within the repeated step.
    let proxy = cutting(at.server.storage_addr, vec![6 << 20, 3 << 20]).await;
    let client = Client::new(ClientOptions::new([tracker_of(proxy).await.to_string()]));
    let file = client.upload_file_in_appends(&source, &ext("bin")).await.unwrap();
    assert!(at.client.download(&file, 0, 0, 1 << 30).await.unwrap() == content);
    assert_eq!(at.files().len(), 1);
    // Cut more often than a step is tried: it fails, and what was uploaded is deleted.
    let proxy = cutting(at.server.storage_addr, vec![6 << 20, 1 << 20, 1 << 20]).await;
    let client = Client::new(ClientOptions::new([tracker_of(proxy).await.to_string()]));
    let error = client.upload_file_in_appends(&source, &ext("bin")).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert_eq!(at.files().len(), 1);
}
