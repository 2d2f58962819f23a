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
    for sent in [0, 1, 1000, 100_000, 400_000, 599_999] {
        let mut stream = connect(at.server.storage_addr).await;
        stream.write_all(&upload_head(600_000)).await.unwrap();
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
    let path = at.folder.path().join("data").join(&file.name.as_str()[4..]);
    while std::fs::metadata(&path).unwrap().len() == 5 {
        tokio::task::yield_now().await;
    }
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
    let mut resting = probed(at.server.storage_addr).await.unwrap();
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

/// Sends a request and returns the status of its answer; None when the connection is closed instead.
async fn status_of(address: SocketAddr, command: Command, body: &[u8]) -> Option<Status> {
    let mut stream = connect(address).await;
    stream.write_all(&message(command, Status::OK, body)).await.unwrap();
    answer(&mut stream).await.ok().map(|header| header.status)
}

#[tokio::test]
async fn names_that_point_elsewhere_are_refused_and_wrong_tails_are_not_found() {
    let at = Cluster::start().await;
    let file = at.client.upload(b"inside", &ext("txt")).await.unwrap();
    std::fs::write(at.folder.path().join("data/outside.txt"), b"outside").unwrap();
    let name = file.name.as_str();
    let (stem, digits) = (&name[..37], &name[37..40]);
    for (name, expected) in [
        (name.to_owned(), Status::OK),
        (format!("{name}\0junk"), Status::OK),
        (format!("{stem}{digits}.log"), Status::NOT_FOUND),
        (format!("{stem}xyz.txt"), Status::NOT_FOUND),
        (format!("{name}.."), Status::NOT_FOUND),
        (name.replace("M00", "M01"), Status::INVALID),
        (name.replace("M00", "MFF"), Status::INVALID),
        (name.replace("M00", "m00"), Status::INVALID),
        (name.replace("/00/00/", "/0a/00/"), Status::INVALID),
        (name.replace("/00/00/", "/../00/"), Status::INVALID),
        ("M00/00/00/../outside.txt".into(), Status::INVALID),
        ("M00/00/00/../../outside.txt".into(), Status::INVALID),
        ("M00/../outside.txt-and-more".into(), Status::INVALID),
        (format!("/{name}"), Status::INVALID),
        ("M00/00/00/..".into(), Status::INVALID),
        ("M00/00/00/".into(), Status::INVALID),
        ("/etc/passwd".into(), Status::INVALID),
        ("\0".repeat(44), Status::INVALID),
        (format!("{}\0{}", &name[..20], &name[20..]), Status::NOT_FOUND),
        ("M00/00/00/".to_owned() + &"x".repeat(200), Status::NOT_FOUND),
        ("M00/00/00/\u{fc}ber-the-top-and-down-the-hill".into(), Status::INVALID),
    ] {
        let mut download = vec![0; 16];
        download.extend_from_slice(b"group1\0\0\0\0\0\0\0\0\0\0");
        download.extend_from_slice(name.as_bytes());
        assert_eq!(status_of(at.server.storage_addr, Command::DOWNLOAD, &download).await, Some(expected), "{name:?}");
        let info = status_of(at.server.storage_addr, Command::FILE_INFO, &download[16..]).await;
        assert_eq!(info, Some(expected), "{name:?}");
    }
    assert_eq!(at.files().len(), 1);
}

#[tokio::test]
async fn groups_that_are_none_are_refused() {
    let at = Cluster::start().await;
    let file = at.client.upload(b"x", &ext("txt")).await.unwrap();
    for group in [&b"group2\0\0\0\0\0\0\0\0\0\0"[..], b"group1          ", b"seventeen-letters", &[0; 16], &[0xFF; 16]]
    {
        let mut body = group[..16].to_vec();
        body.extend_from_slice(file.name.as_str().as_bytes());
        let storage = status_of(at.server.storage_addr, Command::DELETE, &body).await;
        assert_eq!(storage, Some(Status::INVALID), "{group:?}");
        let tracker = status_of(at.server.tracker_addr, Command::FETCH_ONE, &body).await;
        assert_eq!(tracker, Some(Status::NOT_FOUND), "{group:?}");
        let wide = status_of(at.server.tracker_addr, Command::STORE_GROUP_ONE, &[group, b"more"].concat()).await;
        assert_eq!(wide, Some(Status::INVALID), "{group:?}");
    }
    assert_eq!(at.files().len(), 1);
}

#[tokio::test]
async fn requests_that_come_byte_by_byte_are_answered() {
    let at = Cluster::start().await;
    let mut stream = connect(at.server.storage_addr).await;
    stream.set_nodelay(true).unwrap();
    let mut request = upload_head(300);
    request.extend_from_slice(&bytes(300));
    for byte in &request {
        stream.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(answer(&mut stream).await.unwrap(), Header::answer(Status::OK, 60));
}

#[tokio::test]
async fn requests_that_stop_at_any_byte_change_nothing() {
    let at = Cluster::start().await;
    let file = at.client.upload_appender(b"12345", &ext("log")).await.unwrap();
    let mut append = AppendHead::encode(&file.name, 20);
    append.extend_from_slice(&[b'x'; 20]);
    let append = message(Command::APPEND, Status::OK, &append);
    let mut upload = upload_head(20);
    upload.extend_from_slice(&[b'x'; 20]);
    let mut delete = b"group1\0\0\0\0\0\0\0\0\0\0".to_vec();
    delete.extend_from_slice(file.name.as_str().as_bytes());
    for request in [append, upload, message(Command::DELETE, Status::OK, &delete)] {
        for sent in 0..request.len() {
            let mut stream = connect(at.server.storage_addr).await;
            stream.write_all(&request[..sent]).await.unwrap();
            stream.shutdown().await.unwrap();
            assert!(answer(&mut stream).await.is_err(), "{sent}");
        }
    }
    assert_eq!(at.client.download(&file, 0, 0, 100).await.unwrap(), b"12345"[..]);
    assert_eq!((at.files().len(), at.unfinished()), (1, 0));
}

#[tokio::test]
async fn uploads_that_would_fill_the_disk_are_refused() {
    let at = Cluster::start_with(|mut options| {
        options.reserved_space = 1 << 60;
        options
    })
    .await;
    let refused = at.client.upload(b"x", &ext("txt")).await.unwrap_err();
    assert_eq!(refused.status(), Some(Status::NO_SPACE), "{refused}");
}

#[tokio::test]
async fn who_stops_within_a_request_is_not_waited_for_as_long_as_who_rests() {
    let at = Cluster::start_with(|mut options| {
        options.io_timeout = Duration::from_millis(50);
        options.idle_timeout = Duration::from_secs(3600);
        options
    })
    .await;
    // One that never asked anything, one in its header, one in its content; each is closed without a word.
    for sent in [0, 5, 100] {
        let mut stream = connect(at.server.storage_addr).await;
        stream.write_all(&upload_head(1000)[..sent.min(25)]).await.unwrap();
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "{sent}");
    }
    let mut resting = probed(at.server.storage_addr).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    resting.write_all(&message(Command::ACTIVE_TEST, Status::OK, &[])).await.unwrap();
    assert_eq!(answer(&mut resting).await.unwrap(), Header::answer(Status::OK, 0));
}

/// Begins an append of a large content, and waits until some of it is on the disk.
async fn begin_an_append(at: &Cluster, file: &packhorse_fastdfs::FileId) -> TcpStream {
    let head = AppendHead::encode(&file.name, 900_000);
    let mut stream = connect(at.server.storage_addr).await;
    stream.write_all(&Header::request(Command::APPEND, head.len() as u64 + 900_000).encode()).await.unwrap();
    stream.write_all(&head).await.unwrap();
    stream.write_all(&bytes(600_000)).await.unwrap();
    let path = at.folder.path().join("data").join(&file.name.as_str()[4..]);
    while std::fs::metadata(&path).unwrap().len() < 10 {
        tokio::task::yield_now().await;
    }
    stream
}

#[tokio::test]
async fn a_file_that_is_being_changed_is_busy_after_a_while() {
    let at = Cluster::start_with(|mut options| {
        options.io_timeout = Duration::from_millis(300);
        options
    })
    .await;
    let file = at.client.upload_appender(b"12345", &ext("log")).await.unwrap();
    let mut slow = begin_an_append(&at, &file).await;
    let dribbling = tokio::spawn(async move {
        // Never silent for too long, and never ready.
        while slow.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut options = packhorse_fastdfs::ClientOptions::new([at.server.tracker_addr.to_string()]);
    options.tries = 1;
    let error = packhorse_fastdfs::Client::new(options).delete(&file).await.unwrap_err();
    assert_eq!(error.status(), Some(Status::BUSY), "{error}");
    assert_eq!(at.client.download(&file, 0, 0, 100).await.unwrap(), b"12345"[..]);
    dribbling.abort();
}

#[tokio::test]
async fn stopping_cuts_what_outlives_the_grace_and_frees_the_folder() {
    let at = Cluster::start_with(|mut options| {
        options.grace = Duration::from_millis(100);
        options
    })
    .await;
    let file = at.client.upload_appender(b"12345", &ext("log")).await.unwrap();
    let mut slow = begin_an_append(&at, &file).await;
    let waiting = {
        let (client, file) = (at.client.clone(), file.clone());
        tokio::spawn(async move { client.delete(&file).await })
    };
    let Cluster { server, folder, .. } = at;
    server.shutdown().await;
    assert!(answer(&mut slow).await.is_err());
    assert!(waiting.await.unwrap().is_err());
    let options = packhorse_fastdfs::ServerOptions::new(folder.path()).on_free_ports();
    let server = packhorse_fastdfs::ServerHandle::start(options).await.unwrap();
    let client = crate::cluster::client_of(&server);
    assert_eq!(client.download(&file, 0, 0, 100).await.unwrap(), b"12345"[..]);
}

#[tokio::test]
async fn a_slave_of_a_name_that_was_half_deleted_has_no_metadata() {
    let at = Cluster::start().await;
    let master = at.client.upload(b"master", &ext("jpg")).await.unwrap();
    let prefix = "_small".parse().unwrap();
    let slave = at.client.upload_slave(&master, &prefix, &ext("jpg"), b"old").await.unwrap();
    let mut metadata = packhorse_fastdfs::wire::Metadata::default();
    metadata.insert(b"k", b"v").unwrap();
    at.client.set_metadata(&slave, &metadata, packhorse_fastdfs::wire::MetadataFlag::Overwrite).await.unwrap();
    // As a kill between the two deletions leaves it.
    std::fs::remove_file(at.folder.path().join("data").join(&slave.name.as_str()[4..])).unwrap();
    assert_eq!(at.client.upload_slave(&master, &prefix, &ext("jpg"), b"new").await.unwrap(), slave);
    assert!(at.client.metadata(&slave).await.unwrap().is_empty());
}
