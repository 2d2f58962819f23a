//! Where uploads go, what names tell without asking, what trackers list, and how often is asked.

use std::time::Duration;

use packhorse_fastdfs::{
    Client, ClientError, ClientOptions, FileId, Place,
    wire::{FileInfo, SlavePrefix, Status},
};
use tokio::net::TcpListener;

use crate::{
    cluster::{Cluster, bytes, ext},
    peers::{Peer, appender, client_of_storage, file, impatient_client, ok, options_of, refused, tracker_of},
};

#[tokio::test]
async fn uploads_go_where_they_are_told() {
    let at = Cluster::start().await;
    let group = at.client.groups().await.unwrap()[0].name;
    let here = at.client.at(Place::Group(group));
    assert_eq!(here.upload(b"x", &ext("txt")).await.unwrap().group, group);
    let elsewhere = at.client.at(Place::Group("elsewhere".parse().unwrap()));
    assert_eq!(elsewhere.upload(b"x", &ext("txt")).await.unwrap_err().status(), Some(Status::NOT_FOUND));
    // Only the storage is needed, and it refuses store paths that it does not have.
    let nobody = Client::new(ClientOptions::new(Vec::<String>::new()));
    let address = at.server.storage_addr;
    for (path_index, is_there) in [(None, true), (Some(0), true), (Some(7), false)] {
        let stored = nobody.at(Place::Storage { address, path_index }).upload(b"x", &ext("txt")).await;
        assert_eq!(stored.is_ok(), is_there, "{path_index:?}: {stored:?}");
    }
    assert!(matches!(nobody.upload(b"x", &ext("txt")).await, Err(ClientError::NotConfigured)));
    let mut options = ClientOptions::new(Vec::<String>::new());
    options.place = Place::Storage { address, path_index: None };
    Client::new(options).upload_appender_reader(&mut &b"xyz"[..], 3, &ext("log")).await.unwrap();
    assert_eq!(at.files().len(), 4);
}

#[tokio::test]
async fn an_upload_goes_to_another_storage_when_the_first_is_gone() {
    let at = Cluster::start().await;
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let tracker = tracker_of(&[gone, at.server.storage_addr]).await;
    let mut options = ClientOptions::new([tracker.to_string()]);
    options.tries = 1;
    let client = Client::new(options);
    let file = client.upload(b"x", &ext("txt")).await.unwrap();
    assert_eq!(client.download(&file, 0, 0, 10).await.unwrap(), b"x"[..]);
}

#[tokio::test]
async fn names_tell_what_they_can_and_storages_the_rest() {
    let at = Cluster::start().await;
    let nobody = Client::new(ClientOptions::new(Vec::<String>::new()));
    let file = at.client.upload(b"hello", &ext("txt")).await.unwrap();
    let (named, asked) = (nobody.info(&file).await.unwrap(), at.client.file_info(&file).await.unwrap());
    assert_eq!((named.size, named.crc32, named.source), (asked.size, asked.crc32, asked.source));
    assert!(named.modified_unix.abs_diff(asked.modified_unix) <= 2);
    let appender = at.client.upload_appender(b"hello", &ext("log")).await.unwrap();
    at.client.append(&appender, b" world").await.unwrap();
    let prefix: SlavePrefix = "_s".parse().unwrap();
    let long = at.client.upload_slave(&file, &prefix, &ext("jpg"), b"a slave").await.unwrap();
    let short = at.client.upload_slave(&file, &prefix, &ext(""), b"a short slave").await.unwrap();
    for (file, size) in [(&appender, 11), (&long, 7), (&short, 13)] {
        assert!(matches!(nobody.info(file).await, Err(ClientError::NotConfigured)), "{file}");
        assert_eq!(at.client.info(file).await.unwrap().size, size);
    }
}

#[tokio::test]
async fn single_groups_and_storages_are_listed() {
    let at = Cluster::start().await;
    let group = at.client.groups().await.unwrap()[0].clone();
    assert_eq!(at.client.group(&group.name).await.unwrap().name, group.name);
    let unknown = "unknown".parse().unwrap();
    assert_eq!(at.client.group(&unknown).await.unwrap_err().status(), Some(Status::NOT_FOUND));
    let all = at.client.storages(&group.name).await.unwrap();
    let one = at.client.storage(&group.name, &all[0].id).await.unwrap();
    assert_eq!((one.id, one.port), (all[0].id.clone(), all[0].port));
    let error = at.client.storage(&group.name, "10.9.8.7").await.unwrap_err();
    assert_eq!(error.status(), Some(Status::NOT_FOUND));
    assert_eq!(at.client.store_targets().await.unwrap(), [at.client.store_target().await.unwrap()]);
    for (text, address) in
        [("127.0.0.1:22122", "127.0.0.1:22122"), ("::1:22122", "[::1]:22122"), ("[::1]:5", "[::1]:5")]
    {
        let tracker = Peer::scripted(vec![ok(text.as_bytes())]).await;
        let client = Client::new(ClientOptions::new([tracker.address.to_string()]));
        assert_eq!(client.leader().await.unwrap(), address.parse().unwrap());
    }
}

#[tokio::test]
async fn busy_servers_are_asked_again_as_often_as_allowed() {
    let busy = || refused(Status::BUSY);
    let storage = Peer::scripted(vec![busy(), busy(), ok(b"hello fastdfs")]).await;
    let client = client_of_storage(storage.address).await;
    assert_eq!(client.download(&file(), 0, 0, 100).await.unwrap(), b"hello fastdfs"[..]);
    let storage = Peer::scripted(vec![busy(), ok(b"hello fastdfs")]).await;
    let error = impatient_client(storage.address).await.download(&file(), 0, 0, 100).await.unwrap_err();
    assert_eq!((error.status(), storage.requests().len()), (Some(Status::BUSY), 1));
    let storage = Peer::scripted(vec![busy(), busy(), busy(), ok(b"hello fastdfs")]).await;
    let error = client_of_storage(storage.address).await.download(&file(), 0, 0, 100).await.unwrap_err();
    assert_eq!((error.status(), storage.requests().len()), (Some(Status::BUSY), 3));
    // Refused for good is refused once.
    let storage = Peer::scripted(vec![refused(Status::NO_SPACE), ok(&[])]).await;
    let error = client_of_storage(storage.address).await.truncate(&appender(), 0).await.unwrap_err();
    assert_eq!((error.status(), storage.requests().len()), (Some(Status::NO_SPACE), 1));
}

#[tokio::test]
async fn a_tracker_that_comes_later_is_found() {
    let at = Cluster::start().await;
    let storage = at.server.storage_addr;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut options = ClientOptions::new([address.to_string(), address.to_string()]);
    options.tries = 1000;
    options.pause = Duration::from_millis(1);
    let client = Client::new(options);
    let uploading = tokio::spawn(async move { client.upload(b"x", &ext("txt")).await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    let tracker = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        let real = tracker_of(&[storage]).await;
        loop {
            let (mut from, _) = tracker.accept().await.unwrap();
            let mut to = tokio::net::TcpStream::connect(real).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut from, &mut to).await });
        }
    });
    uploading.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_append_that_was_refused_for_now_is_asked_back_before_it_is_repeated() {
    let size = |size| ok(&FileInfo { size, modified_unix: 1, crc32: 0, source: None }.encode(16));
    let commands = |peer: &Peer| peer.requests().iter().map(|request| request[8]).collect::<Vec<_>>();
    let storage = Peer::scripted(vec![refused(Status::BUSY), size(5), ok(&[])]).await;
    assert_eq!(client_of_storage(storage.address).await.append_at(&appender(), 5, b"xyz").await.unwrap(), 8);
    assert_eq!(commands(&storage), [24, 22, 24]);
    // A part of it is there: cut back, then done anew.
    let storage = Peer::scripted(vec![refused(Status::BUSY), size(7), ok(b"xy"), ok(&[]), ok(&[])]).await;
    assert_eq!(client_of_storage(storage.address).await.append_at(&appender(), 5, b"xyz").await.unwrap(), 8);
    assert_eq!(commands(&storage), [24, 22, 14, 36, 24]);
    // All of it is there, and what is there is what was sent; or is not.
    for (there, is_ours) in [(b"xyz", true), (b"xya", false)] {
        let storage = Peer::scripted(vec![refused(Status::BUSY), size(8), ok(there)]).await;
        let done = client_of_storage(storage.address).await.append_at(&appender(), 5, b"xyz").await;
        assert_eq!(commands(&storage), [24, 22, 14]);
        match done {
            Ok(size) => assert!(is_ours && size == 8),
            Err(error) => assert!(!is_ours && matches!(error, ClientError::Changed { expected: 8, found: 8, .. })),
        }
    }
    // Less than all is there, and it is somebody else's: it is not cut off.
    let storage = Peer::scripted(vec![refused(Status::BUSY), size(7), ok(b"ab")]).await;
    let error = client_of_storage(storage.address).await.append_at(&appender(), 5, b"xyz").await.unwrap_err();
    assert!(matches!(error, ClientError::Changed { expected: 8, found: 7, .. }), "{error}");
    assert_eq!(commands(&storage), [24, 22, 14]);
    for found in [4, 9] {
        let storage = Peer::scripted(vec![refused(Status::BUSY), size(found)]).await;
        let error = client_of_storage(storage.address).await.append_at(&appender(), 5, b"xyz").await.unwrap_err();
        assert!(matches!(error, ClientError::Changed { expected: 8, found: f, .. } if f == found), "{error}");
        assert!(!error.is_safe_to_repeat() && !error.is_transient());
    }
}

#[tokio::test]
async fn a_slow_append_that_was_repeated_is_noticed() {
    let size = |size| ok(&FileInfo { size, modified_unix: 1, crc32: 0, source: None }.encode(16));
    // Its answer cannot be understood, the size is still the old one; it is repeated, and then both have been carried out.
    let nonsense = [&ok(&[])[..8], &[77, 0]].concat();
    let storage = Peer::scripted(vec![nonsense.clone(), size(5), ok(&[]), size(11)]).await;
    let error = client_of_storage(storage.address).await.append_at(&appender(), 5, b"xyz").await.unwrap_err();
    assert!(matches!(error, ClientError::Changed { expected: 8, found: 11, .. }), "{error}");
    let storage = Peer::scripted(vec![nonsense, size(5), ok(&[]), size(8)]).await;
    assert_eq!(client_of_storage(storage.address).await.append_at(&appender(), 5, b"xyz").await.unwrap(), 8);
}

#[tokio::test]
async fn when_one_connection_breaks_those_that_rest_are_not_trusted() {
    let at = Cluster::start().await;
    let client = Client::new(options_of(at.server.storage_addr).await);
    let uploads: Vec<_> = (0..8)
        .map(|size| {
            let client = client.clone();
            tokio::spawn(async move { client.upload(&bytes(1000 * size), &ext("bin")).await.unwrap() })
        })
        .collect();
    let mut files: Vec<FileId> = Vec::new();
    for upload in uploads {
        files.push(upload.await.unwrap());
    }
    // The server cuts everybody; whatever rests is dead now, and with one try more the client does without it.
    let Cluster { server, folder, .. } = at;
    let address = server.storage_addr.to_string();
    server.shutdown().await;
    let mut options = packhorse_fastdfs::ServerOptions::new(folder.path()).on_free_ports();
    options.storage = address;
    let _server = packhorse_fastdfs::ServerHandle::start(options).await.unwrap();
    for file in &files[1..] {
        client.download(file, 0, 0, 1 << 20).await.unwrap();
    }
}
