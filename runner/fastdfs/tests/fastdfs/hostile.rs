//! Requests from those who mean harm or go away in the middle.

use std::{io, net::SocketAddr, time::Duration};

use packhorse_fastdfs::wire::{AppendHead, Command, HEADER_LEN, Header, Status, UploadHead, message};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::cluster::{Cluster, bytes, ext};

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

async fn answer(stream: &mut TcpStream) -> io::Result<Header> {
    let mut header = [0; HEADER_LEN];
    stream.read_exact(&mut header).await?;
    Ok(Header::decode(&header).unwrap())
}

fn upload_head(size: u64) -> Vec<u8> {
    let head = UploadHead { path_index: 0, size, extension: ext("bin") }.encode();
    let mut start = Header::request(Command::UPLOAD, size + head.len() as u64).encode().to_vec();
    start.extend_from_slice(&head);
    start
}

#[tokio::test]
async fn random_bytes_close_a_connection_and_nothing_else() {
    let at = Cluster::start().await;
    for address in [at.server.tracker_addr, at.server.storage_addr] {
        for seed in 0..40 {
            let mut stream = connect(address).await;
            let noise = &bytes(40_000)[seed * 900..];
            let _ = stream.write_all(&noise[..900]).await;
            let _ = stream.shutdown().await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    }
    let file = at.client.upload(b"still here", &ext("txt")).await.unwrap();
    assert_eq!(at.client.download(&file, 0, 0, 100).await.unwrap(), b"still here"[..]);
}

#[tokio::test]
async fn every_command_with_a_random_body_is_answered_or_closed() {
    let at = Cluster::start().await;
    let noise = bytes(4096);
    for address in [at.server.tracker_addr, at.server.storage_addr] {
        for command in 0..=u8::MAX {
            for length in [0, 1, 16, 39, 60, 300] {
                let mut stream = connect(address).await;
                let _ = stream.write_all(&message(Command(command), Status::OK, &noise[..length])).await;
                let _ = stream.shutdown().await;
                let mut answers = Vec::new();
                let _ = stream.read_to_end(&mut answers).await;
                let starts_well = answers.len() < HEADER_LEN || answers[8] == 100;
                assert!(starts_well, "command {command}, {length} bytes: {answers:?}");
            }
        }
    }
    assert_eq!((at.files().len(), at.unfinished()), (0, 0));
}

#[tokio::test]
async fn announced_lengths_are_not_believed() {
    let at = Cluster::start().await;
    for length in [u64::MAX, 1 << 63, i64::MAX as u64, 1 << 40] {
        for (address, command) in [
            (at.server.tracker_addr, Command::FETCH_ONE),
            (at.server.storage_addr, Command::DOWNLOAD),
            (at.server.storage_addr, Command::SET_METADATA),
            (at.server.storage_addr, Command::UPLOAD),
        ] {
            let mut stream = connect(address).await;
            let mut request = length.to_be_bytes().to_vec();
            request.extend_from_slice(&[command.0, 0]);
            request.extend_from_slice(&bytes(200));
            let _ = stream.write_all(&request).await;
            if let Ok(header) = answer(&mut stream).await {
                assert!(!header.status.is_ok(), "{length} {command:?}");
            }
        }
    }
    at.client.active_test(at.server.storage_addr).await.unwrap();
}

#[tokio::test]
async fn an_upload_that_stops_in_the_middle_leaves_nothing() {
    let at = Cluster::start().await;
    for sent in [0, 1, 1000, 100_000] {
        let mut stream = connect(at.server.storage_addr).await;
        stream.write_all(&upload_head(200_000)).await.unwrap();
        stream.write_all(&bytes(sent)).await.unwrap();
        stream.shutdown().await.unwrap();
        assert!(answer(&mut stream).await.is_err());
    }
    assert_eq!((at.files().len(), at.unfinished()), (0, 0));
}

#[tokio::test]
async fn an_append_that_stops_in_the_middle_is_taken_back() {
    let at = Cluster::start().await;
    let file = at.client.upload_appender(b"12345", &ext("log")).await.unwrap();
    let head = AppendHead::encode(&file.name, 500_000);
    let mut stream = connect(at.server.storage_addr).await;
    stream.write_all(&Header::request(Command::APPEND, head.len() as u64 + 500_000).encode()).await.unwrap();
    stream.write_all(&head).await.unwrap();
    stream.write_all(&bytes(400_000)).await.unwrap();
    // What has not been answered for is not shown.
    assert_eq!(at.client.file_size(&file).await.unwrap(), 5);
    stream.shutdown().await.unwrap();
    assert!(answer(&mut stream).await.is_err());
    assert_eq!(at.client.download(&file, 0, 0, 100).await.unwrap(), b"12345"[..]);
    at.client.append(&file, b"6").await.unwrap();
    assert_eq!(at.client.download(&file, 0, 0, 100).await.unwrap(), b"123456"[..]);
}

#[tokio::test]
async fn a_refused_append_does_not_confuse_the_next_request() {
    let at = Cluster::start().await;
    let file = at.client.upload_appender(b"x", &ext("log")).await.unwrap();
    at.client.delete(&file).await.unwrap();
    let content = bytes(300_000);
    let mut request = AppendHead::encode(&file.name, 300_000);
    request.extend_from_slice(&content);
    let mut stream = connect(at.server.storage_addr).await;
    stream.write_all(&message(Command::APPEND, Status::OK, &request)).await.unwrap();
    stream.write_all(&message(Command::ACTIVE_TEST, Status::OK, &[])).await.unwrap();
    assert_eq!(answer(&mut stream).await.unwrap().status, Status::NOT_FOUND);
    assert_eq!(answer(&mut stream).await.unwrap(), Header::answer(Status::OK, 0));
}

#[tokio::test]
async fn a_large_refused_upload_still_hears_why() {
    let at = Cluster::start_with(|mut options| {
        options.max_file_size = 1 << 20;
        options
    })
    .await;
    let refused = at.client.upload(&bytes(8 << 20), &ext("bin")).await.unwrap_err();
    assert_eq!(refused.status(), Some(Status::TOO_BIG), "{refused}");
    let file = at.client.upload_appender(&bytes(1 << 20), &ext("bin")).await.unwrap();
    assert_eq!(at.client.append(&file, b"1").await.unwrap_err().status(), Some(Status::TOO_BIG));
    assert_eq!(at.client.truncate(&file, 2 << 20).await.unwrap_err().status(), Some(Status::TOO_BIG));
}

#[tokio::test]
async fn requests_sent_together_are_answered_in_order() {
    let at = Cluster::start().await;
    let mut stream = connect(at.server.storage_addr).await;
    let mut requests = Vec::new();
    for size in 0..50 {
        requests.extend_from_slice(&upload_head(size * 100));
        requests.extend_from_slice(&bytes(size as usize * 100));
        requests.extend_from_slice(&message(Command::ACTIVE_TEST, Status::OK, &[]));
    }
    stream.write_all(&requests).await.unwrap();
    for _ in 0..50 {
        let header = answer(&mut stream).await.unwrap();
        assert_eq!(header, Header::answer(Status::OK, 60));
        stream.read_exact(&mut [0; 60]).await.unwrap();
        assert_eq!(answer(&mut stream).await.unwrap(), Header::answer(Status::OK, 0));
    }
    assert_eq!(at.files().len(), 50);
}

#[tokio::test]
async fn a_link_is_not_followed() {
    let at = Cluster::start().await;
    let file = at.client.upload(b"inside", &ext("txt")).await.unwrap();
    let secret = at.folder.path().join("secret");
    std::fs::write(&secret, b"outside").unwrap();
    let path = at.folder.path().join("data").join(&file.name.as_str()[4..]);
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&secret, &path).unwrap();
    assert!(at.client.download(&file, 0, 0, 100).await.unwrap_err().status().is_some());
    std::os::unix::fs::symlink(at.folder.path(), at.folder.path().join("data/AA")).unwrap();
    std::fs::create_dir(at.folder.path().join("BB")).unwrap();
    std::fs::write(at.folder.path().join("BB").join(file.name.leaf()), b"outside").unwrap();
    let through_folder = file.to_string().replace("/00/00/", "/AA/BB/").parse().unwrap();
    assert!(at.client.download(&through_folder, 0, 0, 100).await.unwrap_err().status().is_some());
}

#[tokio::test]
async fn only_so_many_connections_are_let_in() {
    let at = Cluster::start_with(|mut options| {
        options.max_connections = 3;
        options
    })
    .await;
    let mut inside = Vec::new();
    for _ in 0..3 {
        inside.push(probed(at.server.storage_addr).await.unwrap());
    }
    assert!(probed(at.server.storage_addr).await.is_err());
    let mut leaving = inside.pop().unwrap();
    leaving.write_all(&message(Command::QUIT, Status::OK, &[])).await.unwrap();
    assert_eq!(leaving.read(&mut [0]).await.unwrap(), 0);
    while probed(at.server.storage_addr).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_connection_that_rests_too_long_is_closed() {
    let at = Cluster::start_with(|mut options| {
        options.idle_timeout = Duration::from_millis(50);
        options
    })
    .await;
    let mut resting = connect(at.server.storage_addr).await;
    assert_eq!(resting.read(&mut [0]).await.unwrap(), 0);
}

async fn probed(address: SocketAddr) -> io::Result<TcpStream> {
    let mut stream = connect(address).await;
    stream.write_all(&message(Command::ACTIVE_TEST, Status::OK, &[])).await?;
    answer(&mut stream).await?;
    Ok(stream)
}

#[tokio::test]
async fn stopping_ends_resting_connections_and_waits_for_requests() {
    let at = Cluster::start().await;
    let mut resting = connect(at.server.storage_addr).await;
    resting.write_all(&message(Command::ACTIVE_TEST, Status::OK, &[])).await.unwrap();
    answer(&mut resting).await.unwrap();
    let address = at.server.storage_addr;
    at.server.shutdown().await;
    assert_eq!(resting.read(&mut [0]).await.unwrap(), 0);
    assert!(TcpStream::connect(address).await.is_err());
}
