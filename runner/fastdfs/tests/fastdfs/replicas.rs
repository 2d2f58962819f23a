//! Files that have not reached every storage of their group: the others are asked, and a new file is waited for.

use packhorse_fastdfs::{
    Client, ClientOptions, FileId,
    wire::{FileInfo, Status},
};
use std::{net::SocketAddr, time::Duration};
use tokio::net::TcpListener;

use crate::{
    cluster::{Cluster, ext},
    peers::{Peer, file, ok, refused, tracker_of},
};

/// As many bytes as the name of the made-up file says.
const CONTENT: &[u8] = b"thirteen here";

fn missing() -> Vec<u8> {
    refused(Status::NOT_FOUND)
}

async fn client_among(storages: &[SocketAddr]) -> Client {
    let mut options = ClientOptions::new([tracker_of(storages).await.to_string()]);
    options.pause = Duration::from_millis(1);
    options.io_timeout = Duration::from_secs(20);
    Client::new(options)
}

/// A file that a real server took only just now, of 13 bytes.
async fn fresh() -> FileId {
    Cluster::start().await.client.upload(CONTENT, &ext("txt")).await.unwrap()
}

#[tokio::test]
async fn a_storage_without_the_file_sends_nobody_away_that_another_one_can_serve() {
    let (first, second) = (Peer::scripted(vec![missing(); 2]).await, Peer::scripted(vec![ok(CONTENT); 2]).await);
    let client = client_among(&[first.address, second.address]).await;
    assert_eq!(client.download(&file(), 0, 0, 100).await.unwrap(), CONTENT);
    let mut written = Vec::new();
    client.download_to_writer(&file(), 0, 0, &mut written).await.unwrap();
    assert_eq!((written.as_slice(), first.requests().len(), second.requests().len()), (CONTENT, 2, 2));
    let info = FileInfo { size: 13, modified_unix: 1, crc32: 2, source: None };
    let (third, fourth) = (Peer::scripted(vec![missing()]).await, Peer::scripted(vec![ok(&info.encode(16))]).await);
    let client = client_among(&[third.address, fourth.address]).await;
    assert_eq!(client.file_info(&file()).await.unwrap().crc32, 2);
}

#[tokio::test]
async fn an_old_file_that_no_storage_has_is_missing_at_once() {
    let peers = [Peer::scripted(vec![missing(); 9]).await, Peer::scripted(vec![missing(); 9]).await];
    let client = client_among(&[peers[0].address, peers[1].address]).await;
    let error = client.download(&file(), 0, 0, 100).await.unwrap_err();
    assert_eq!(error.status(), Some(Status::NOT_FOUND), "{error}");
    assert!(!error.is_transient());
    assert_eq!(peers.map(|peer| peer.requests().len()), [1, 1]);
}

#[tokio::test]
async fn where_a_storage_is_away_nobody_knows_that_a_file_is_missing() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let peer = Peer::scripted(vec![missing(); 9]).await;
    let error = client_among(&[peer.address, gone]).await.download(&file(), 0, 0, 100).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
}

#[tokio::test]
async fn a_new_file_is_waited_for() {
    let file = fresh().await;
    let peer = Peer::scripted([vec![missing(); 4], vec![ok(CONTENT)]].concat()).await;
    let client = client_among(&[peer.address]).await;
    assert_eq!(client.download(&file, 0, 0, 100).await.unwrap(), CONTENT);
    assert_eq!(peer.requests().len(), 5);
    let (folder, peer) = (tempfile::tempdir().unwrap(), Peer::scripted(vec![missing(), missing(), ok(CONTENT)]).await);
    let client = client_among(&[peer.address]).await;
    assert_eq!(client.download_to_file(&file, &folder.path().join("got")).await.unwrap(), 13);
    assert_eq!(std::fs::read(folder.path().join("got")).unwrap(), CONTENT);
}

#[tokio::test]
async fn a_new_file_that_never_comes_is_missing_in_the_end() {
    let (file, peer) = (fresh().await, Peer::scripted(vec![missing(); 20]).await);
    let error = client_among(&[peer.address]).await.download(&file, 0, 0, 100).await.unwrap_err();
    assert_eq!((error.status(), peer.requests().len()), (Some(Status::NOT_FOUND), 6), "{error}");
}
