//! The client against trackers and storages that are gone, lie, or stop in the middle.

use std::{net::SocketAddr, time::Duration};

use packhorse_fastdfs::{
    Client, ClientError, ClientOptions,
    client::Sent,
    wire::{Command, FileInfo, Header, Status, message},
};
use tokio::net::TcpListener;

use crate::{
    cluster::{Cluster, bytes, ext},
    peers::{
        APPENDER, Cut, Peer, appender, client_of_storage, cutting, file, impatient_client, ok, options_of, refused,
    },
};

async fn scripted(answers: Vec<Vec<u8>>) -> SocketAddr {
    Peer::scripted(answers).await.address
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
    let cut = ok(&bytes(100))[..50].to_vec();
    for (answer, expected) in [(huge, "limit"), (negative, "wrong"), (not_an_answer, "wrong"), (cut, "broke")] {
        let client = impatient_client(scripted(vec![answer]).await).await;
        let error = client.download(&appender(), 0, 0, 100).await.unwrap_err();
        assert!(error.to_string().contains(expected) && error.to_string().contains(APPENDER), "{error}");
    }
}

#[tokio::test]
async fn a_silent_storage_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut options = options_of(silent.local_addr().unwrap()).await;
    (options.io_timeout, options.reading_timeout) = (Duration::from_millis(200), Duration::ZERO);
    let client = Client::new(options);
    let error = client.download(&file(), 0, 0, 100).await.unwrap_err();
    assert!(matches!(error, ClientError::TimedOut { sent: Sent::Whole, .. }) && error.is_safe_to_repeat(), "{error}");
    assert!(!error.is_outcome_unknown());
    let error = client.append_at(&appender(), 0, b"x").await.unwrap_err();
    assert!(error.is_transient() && !error.is_safe_to_repeat() && error.is_outcome_unknown(), "{error}");
    let error = client.upload(b"x", &ext("txt")).await.unwrap_err();
    assert!(!error.is_safe_to_repeat() && error.is_outcome_unknown(), "{error}");
}

#[tokio::test]
async fn damage_on_the_way_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("back");
    let answers = vec![ok(b"hello fastdfz"), ok(b"hello fastdfs")];
    let client = client_of_storage(scripted(answers).await).await;
    let error = client.download_to_file(&file(), &to).await.unwrap_err();
    assert!(matches!(error, ClientError::Mismatch { .. }), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    assert_eq!(client.download_to_file(&file(), &to).await.unwrap(), 13);
}

#[tokio::test]
async fn echoes_of_changes_of_nothing_are_skipped() {
    let (echo, empty) = (ok(&bytes(60)), ok(&[]));
    let client = client_of_storage(scripted(vec![echo.clone(), empty.clone(), echo, empty]).await).await;
    assert_eq!(client.append_at(&appender(), 5, b"").await.unwrap(), 5);
    assert_eq!(client.append_at(&appender(), 5, b"x").await.unwrap(), 6);
    client.truncate(&appender(), 3).await.unwrap();
    client.truncate(&appender(), 2).await.unwrap();
}

#[tokio::test]
async fn old_servers_refuse_ranges_past_the_end_and_are_asked_again() {
    let storage = scripted(vec![refused(Status::INVALID), ok(b"fs")]).await;
    assert_eq!(client_of_storage(storage).await.download(&file(), 11, 100, 100).await.unwrap(), b"fs"[..]);
    let info = FileInfo { size: 13, modified_unix: 1, crc32: 0, source: None }.encode(16);
    let storage = scripted(vec![refused(Status::INVALID), ok(&info), ok(b"fs")]).await;
    assert_eq!(client_of_storage(storage).await.download(&appender(), 11, 100, 100).await.unwrap(), b"fs"[..]);
}

#[tokio::test]
async fn a_file_in_appends_survives_cuts_and_leaves_nothing_behind() {
    let at = Cluster::start().await;
    let content = bytes((9 << 20) + 77);
    let source = at.folder.path().join("source");
    std::fs::write(&source, &content).unwrap();
    // The first connection takes the beginning and half of the next step; the second one breaks within the repeated step.
    let proxy = cutting(at.server.storage_addr, vec![Cut::Request(6 << 20), Cut::Request(3 << 20)]).await;
    let client = client_of_storage(proxy).await;
    let file = client.upload_file_in_appends(&source, &ext("bin")).await.unwrap();
    assert!(at.client.download(&file, 0, 0, 1 << 30).await.unwrap() == content);
    assert_eq!(at.files().len(), 1);
    // Cut more often than a step is tried: it fails, and what was uploaded is deleted.
    let proxy = cutting(at.server.storage_addr, [6 << 20, 1 << 20, 1 << 20].map(Cut::Request).to_vec()).await;
    let client = client_of_storage(proxy).await;
    let error = client.upload_file_in_appends(&source, &ext("bin")).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert_eq!(at.files().len(), 1);
}
