//! Every operation of the client against the server, over real sockets.

use crate::cluster::{Cluster, bytes, ext};
use packhorse_fastdfs::{
    Extension, FileId, Fsync,
    client::Operation,
    wire::{FileKind, Metadata, MetadataFlag, SlavePrefix, Status},
};

const NO_LIMIT: usize = 1 << 30;

#[tokio::test]
async fn uploads_come_back_whatever_their_size() {
    let at = Cluster::start().await;
    for size in [0, 1, 13, 1024, 32 << 10, (32 << 10) + 1, 64 << 10, 300_000, 16 << 20] {
        let content = bytes(size);
        let file = at.client.upload(&content, &ext("bin")).await.unwrap();
        let named = file.name.info().unwrap();
        assert_eq!(named.kind, FileKind::Normal { size: size as u64 });
        assert_eq!(named.crc32, crc32fast::hash(&content));
        assert!(file.to_string().ends_with(".bin") && file.name.as_str().len() == 44, "{file}");
        assert_eq!(at.client.download(&file, 0, 0, NO_LIMIT).await.unwrap(), content, "{size}");
        let info = at.client.file_info(&file).await.unwrap();
        assert_eq!((info.size, info.crc32), (size as u64, named.crc32));
        assert_eq!(info.source.unwrap(), at.server.storage_addr.ip());
    }
    assert_eq!(at.unfinished(), 0);
}

#[tokio::test]
async fn files_and_readers_are_streamed() {
    let at = Cluster::start().await;
    let content = bytes(5_000_001);
    let path = at.folder.path().join("source.log");
    std::fs::write(&path, &content).unwrap();
    let file = at.client.upload_file(&path, &Extension::of_file_name("source.log")).await.unwrap();
    let back = at.folder.path().join("back");
    assert_eq!(at.client.download_to_file(&file, &back).await.unwrap(), 5_000_001);
    assert!(std::fs::read(&back).unwrap() == content);

    let file = at.client.upload_reader(&mut &content[..], 70_000, &Extension::none()).await.unwrap();
    let mut written = Vec::new();
    assert_eq!(at.client.download_to_writer(&file, 0, 0, &mut written).await.unwrap(), 70_000);
    assert!(written == content[..70_000]);

    let short = at.client.upload_reader(&mut &content[..10], 11, &Extension::none()).await.unwrap_err();
    assert!(short.to_string().contains("the reader"), "{short}");
    let missing = at.client.upload_file(&at.folder.path().join("nothing"), &ext("x")).await.unwrap_err();
    assert!(missing.to_string().contains("nothing"), "{missing}");
}

#[tokio::test]
async fn ranges_are_exact_and_clamped_at_the_end() {
    let at = Cluster::start().await;
    let content = bytes(200_000);
    let file = at.client.upload(&content, &ext("bin")).await.unwrap();
    for (offset, length) in [(0, 1), (5, 100), (65_530, 70_000), (199_999, 0), (199_999, 10), (100, 1 << 40)] {
        let end = if length == 0 { 200_000 } else { (offset + length).min(200_000) };
        let range = at.client.download(&file, offset, length, NO_LIMIT).await.unwrap();
        assert!(range == content[offset as usize..end as usize], "{offset} {length}");
    }
    assert!(at.client.download(&file, 200_000, 10, NO_LIMIT).await.unwrap().is_empty());
    assert!(at.client.download(&file, 200_001, 0, NO_LIMIT).await.unwrap().is_empty());
    let too_large = at.client.download(&file, 0, 0, 199_999).await.unwrap_err();
    assert!(too_large.to_string().contains("199999"), "{too_large}");
}

#[tokio::test]
async fn an_appender_grows_changes_shrinks_and_becomes_a_normal_file() {
    let at = Cluster::start().await;
    let client = &at.client;
    let file = client.upload_appender(b"hello", &ext("log")).await.unwrap();
    assert!(file.name.is_appender());
    client.append(&file, b" world").await.unwrap();
    client.append(&file, b"").await.unwrap();
    let more = bytes(400_000);
    client.append_reader(&file, &mut &more[..], 400_000).await.unwrap();
    client.truncate(&file, 11).await.unwrap();
    client.modify(&file, 11, b"!!").await.unwrap();
    client.modify(&file, 0, b"J").await.unwrap();
    client.modify(&file, 12, b"?and on").await.unwrap();
    client.truncate(&file, 21).await.unwrap();
    client.truncate(&file, 21).await.unwrap();
    let content = b"Jello world!?and on\0\0";
    let info = client.file_info(&file).await.unwrap();
    assert_eq!((info.size, info.crc32), (21, crc32fast::hash(content)));

    let past = client.modify(&file, 22, b"x").await.unwrap_err();
    assert_eq!(past.status(), Some(Status::INVALID));
    let normal = client.regenerate(&file).await.unwrap();
    assert_eq!(normal.name.info().unwrap().kind, FileKind::Normal { size: 21 });
    assert_eq!(normal.name.info().unwrap().crc32, crc32fast::hash(content));
    assert_eq!(normal.name.leaf()[27..], file.name.leaf()[27..]);
    assert_eq!(client.download(&normal, 0, 0, 100).await.unwrap(), content[..]);
    assert_eq!(client.file_info(&file).await.unwrap_err().status(), Some(Status::NOT_FOUND));
    assert_eq!(client.append(&normal, b"x").await.unwrap_err().status(), Some(Status::INVALID));
}

#[tokio::test]
async fn metadata_is_set_merged_and_removed() {
    let at = Cluster::start().await;
    let client = &at.client;
    let file = client.upload(b"x", &ext("txt")).await.unwrap();
    assert!(client.metadata(&file).await.unwrap().is_empty());
    let mut first = Metadata::default();
    first.insert(b"width", b"160").unwrap();
    first.insert(b"author", b"").unwrap();
    client.set_metadata(&file, &first, MetadataFlag::Overwrite).await.unwrap();
    assert_eq!(client.metadata(&file).await.unwrap(), first);
    let mut second = Metadata::default();
    second.insert(b"width", b"80").unwrap();
    client.set_metadata(&file, &second, MetadataFlag::Merge).await.unwrap();
    let merged = client.metadata(&file).await.unwrap();
    assert_eq!(merged.value(b"width"), Some(&b"80"[..]));
    assert_eq!(merged.items().count(), 2);
    client.set_metadata(&file, &Metadata::default(), MetadataFlag::Overwrite).await.unwrap();
    assert!(client.metadata(&file).await.unwrap().is_empty());
    client.set_metadata(&file, &first, MetadataFlag::Overwrite).await.unwrap();
    client.delete(&file).await.unwrap();
    assert!(at.files().is_empty());
    assert_eq!(client.metadata(&file).await.unwrap_err().status(), Some(Status::NOT_FOUND));
}

#[tokio::test]
async fn slaves_hang_on_their_masters_name() {
    let at = Cluster::start().await;
    let client = &at.client;
    let master = client.upload(b"master", &ext("jpg")).await.unwrap();
    let prefix: SlavePrefix = "_150x150".parse().unwrap();
    let slave = client.upload_slave(&master, &prefix, &ext("jpg"), b"slave").await.unwrap();
    assert_eq!(slave.to_string(), master.to_string().replace(".jpg", "_150x150.jpg"));
    assert_eq!(slave.name.info().unwrap().kind, FileKind::Slave);
    assert_eq!(client.file_info(&slave).await.unwrap().crc32, crc32fast::hash(b"slave"));
    let twice = client.upload_slave(&master, &prefix, &ext("jpg"), b"slave").await.unwrap_err();
    assert_eq!(twice.status(), Some(Status::EXISTS));
    client.delete(&master).await.unwrap();
    assert_eq!(client.download(&slave, 0, 0, 10).await.unwrap(), b"slave"[..]);
}

#[tokio::test]
async fn errors_say_what_failed_on_which_file_and_whether_to_repeat() {
    let at = Cluster::start().await;
    let file = at.client.upload(b"x", &ext("txt")).await.unwrap();
    at.client.delete(&file).await.unwrap();
    let error = at.client.delete(&file).await.unwrap_err();
    let expected = format!("cannot delete {file} at {}: status 2 (not found)", at.server.storage_addr);
    assert_eq!(error.to_string(), expected);
    assert!(!error.is_transient() && error.is_safe_to_repeat());
    assert!(Operation::Modify.is_idempotent() && !Operation::Append.is_idempotent());
    let elsewhere: FileId = file.to_string().replace("group1", "group2").parse().unwrap();
    assert_eq!(at.client.download(&elsewhere, 0, 0, 1).await.unwrap_err().status(), Some(Status::NOT_FOUND));
}

#[tokio::test]
async fn groups_and_storages_are_listed() {
    let at = Cluster::start().await;
    at.client.upload(b"x", &ext("txt")).await.unwrap();
    let groups = at.client.groups().await.unwrap();
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0].port, u64::from(at.server.storage_addr.port()));
    let storages = at.client.storages(&groups[0].name).await.unwrap();
    assert_eq!((storages[0].status, &storages[0].address), (7, &at.server.storage_addr.ip().to_string()));
    assert_eq!(storages[0].counters[..2], [1, 1]);
    assert_eq!(at.client.active_trackers().await, 1);
    at.client.active_test(at.server.storage_addr).await.unwrap();
}

#[tokio::test]
async fn many_tasks_share_a_client() {
    let at = Cluster::start_with(|mut options| {
        options.fsync = Fsync::Close;
        options
    })
    .await;
    let tasks: Vec<_> = (0..32_usize)
        .map(|index| {
            let client = at.client.clone();
            tokio::spawn(async move {
                for round in 0..8 {
                    let content = bytes(index * 1000 + round);
                    let file = client.upload(&content, &ext("bin")).await.unwrap();
                    assert_eq!(client.download(&file, 0, 0, NO_LIMIT).await.unwrap(), content);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(at.files().len(), 256);
}

#[tokio::test]
async fn ids_stay_good_over_a_restart() {
    let at = Cluster::start().await;
    let file = at.client.upload(b"stays", &ext("txt")).await.unwrap();
    let at = at.restart().await;
    assert_eq!(at.client.download(&file, 0, 0, 10).await.unwrap(), b"stays"[..]);
}

#[tokio::test]
async fn everything_works_with_every_change_synced() {
    let at = Cluster::start_with(|mut options| {
        options.fsync = "always".parse().unwrap();
        options
    })
    .await;
    let client = &at.client;
    let file = client.upload_appender(b"a", &ext("log")).await.unwrap();
    client.append(&file, b"b").await.unwrap();
    client.modify(&file, 1, b"cd").await.unwrap();
    let mut metadata = Metadata::default();
    metadata.insert(b"k", b"v").unwrap();
    client.set_metadata(&file, &metadata, MetadataFlag::Overwrite).await.unwrap();
    let file = client.regenerate(&file).await.unwrap();
    assert_eq!(client.download(&file, 0, 0, 10).await.unwrap(), b"acd"[..]);
    client.delete(&file).await.unwrap();
    assert!(at.files().is_empty());
}

#[tokio::test]
async fn appends_of_many_never_mix() {
    let at = Cluster::start().await;
    let file = at.client.upload_appender(b"", &ext("log")).await.unwrap();
    let tasks: Vec<_> = (0..8_u8)
        .map(|letter| {
            let (client, file) = (at.client.clone(), file.clone());
            tokio::spawn(async move {
                for _ in 0..10 {
                    client.append(&file, &vec![b'a' + letter; 100_000]).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let whole = at.client.download(&file, 0, 0, NO_LIMIT).await.unwrap();
    assert_eq!(whole.len(), 8_000_000);
    assert!(whole.chunks(100_000).all(|record| record.iter().all(|byte| *byte == record[0])));
}

#[tokio::test]
async fn addresses_of_the_other_family_are_told_in_wider_fields() {
    let at = Cluster::start_with(|mut options| {
        options.advertise = Some("::1".parse().unwrap());
        options
    })
    .await;
    let target = at.client.store_target().await.unwrap();
    assert_eq!(target.address, ("::1".parse::<std::net::IpAddr>().unwrap(), at.server.storage_addr.port()).into());
    let storages = at.client.storages(&target.group).await.unwrap();
    assert_eq!(storages[0].address, target.address.ip().to_string());
}

#[tokio::test]
async fn more_operations_than_connections_wait_for_their_turn() {
    let at = Cluster::start_with(|mut options| {
        options.max_connections = 2;
        options
    })
    .await;
    let mut options = packhorse_fastdfs::ClientOptions::new([at.server.tracker_addr.to_string()]);
    options.max_connections = 2;
    let client = packhorse_fastdfs::Client::new(options);
    let tasks: Vec<_> = (0..50)
        .map(|size| {
            let client = client.clone();
            tokio::spawn(async move { client.upload(&bytes(size), &ext("bin")).await.unwrap() })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(at.files().len(), 50);
}
