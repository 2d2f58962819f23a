//! Recorded bytes through our own readers and writers: what we would have sent is what was sent, what was answered is understood.

use packhorse_fastdfs::wire::{
    AddressSize, AppendHead, Command, DownloadRequest, FetchTarget, FileInfo, FileKind, GroupRecord, GroupRequest,
    HEADER_LEN, Header, MetadataRequest, ModifyHead, NewName, SizeWord, SlaveHead, Source, StorageRecord,
    StoragesRequest, StoreTarget, Tried, TruncateRequest, TrunkPlace, UploadHead, file_request, group_records, leader,
    leader_answer, message, parse_file_request, parse_stored, storage_records,
};

use crate::recorded::{Recorded, all};

fn named(name: &str) -> Recorded {
    all().into_iter().find(|item| item.name == name).unwrap()
}

/// What our writer makes of what our reader understood of a recorded request.
fn rewritten(header: Header, body: &[u8]) -> Option<Vec<u8>> {
    Some(match header.command {
        Command::UPLOAD | Command::UPLOAD_APPENDER => {
            let (head, content) = body.split_at(UploadHead::LEN);
            [UploadHead::decode(head).ok()?.encode(), content.to_vec()].concat()
        }
        Command::UPLOAD_SLAVE => {
            let (head, rest) = body.split_at(SlaveHead::LEN);
            let head = SlaveHead::decode(head).ok()?;
            let (name, content) = rest.split_at(head.name_length as usize);
            let name = parse_stored(name).ok()?;
            [SlaveHead::encode(&name, head.size, &head.prefix, &head.extension), content.to_vec()].concat()
        }
        Command::APPEND => {
            let (head, rest) = body.split_at(AppendHead::LEN);
            let head = AppendHead::decode(head).ok()?;
            let (name, content) = rest.split_at(head.name_length as usize);
            [AppendHead::encode(&parse_stored(name).ok()?, head.size), content.to_vec()].concat()
        }
        Command::MODIFY => {
            let (head, rest) = body.split_at(ModifyHead::LEN);
            let head = ModifyHead::decode(head).ok()?;
            let (name, content) = rest.split_at(head.name_length as usize);
            [ModifyHead::encode(&parse_stored(name).ok()?, head.offset, head.size), content.to_vec()].concat()
        }
        Command::TRUNCATE => TruncateRequest::decode(body).ok()?.encode(),
        Command::REGENERATE => parse_stored(body).ok()?.as_str().as_bytes().to_vec(),
        Command::DOWNLOAD => DownloadRequest::decode(body).ok()?.encode(),
        Command::SET_METADATA => MetadataRequest::decode(body).ok()?.encode(),
        Command::LIST_ONE_GROUP | Command::STORE_GROUP_ONE | Command::STORE_GROUP_ALL => {
            GroupRequest::decode(body).ok()?.encode()
        }
        Command::LIST_STORAGES => StoragesRequest::decode(body).ok()?.encode(),
        Command::DELETE
        | Command::FILE_INFO
        | Command::GET_METADATA
        | Command::FETCH_ONE
        | Command::FETCH_ALL
        | Command::UPDATE => {
            let file = parse_file_request(body).ok()?;
            file_request(&file.group, &file.name)
        }
        _ => return None,
    })
}

#[test]
fn requests_are_written_as_they_were_recorded() {
    // Not in the form in which a client writes them: junk behind a NUL, records that are no records, unsorted ones.
    let not_canonical =
        ["download_trailing_nul_in_name", "upload_ext_junk_after_nul", "truncated_body", "padded_id", "junk"];
    let mut same = 0;
    for item in all() {
        let Some(header) = item.request.first_chunk::<HEADER_LEN>().and_then(|bytes| Header::decode(bytes).ok()) else {
            continue;
        };
        let body = &item.request[HEADER_LEN..];
        let sorted = !item.name.contains("metadata") || item.name.starts_with("get_metadata");
        if !sorted || not_canonical.iter().any(|name| item.name.contains(name)) || item.name.starts_with("err_") {
            continue;
        }
        let Some(ours) = rewritten(header, body) else { continue };
        assert_eq!(message(header.command, header.status, &ours), item.request, "{}", item.name);
        same += 1;
    }
    assert!(same >= 50, "{same}");
}

#[test]
fn names_are_decoded_as_recorded() {
    let mut decoded = 0;
    for item in all() {
        let Some(name) = item.decoded()["filename"].as_str() else { continue };
        let info = name.parse::<packhorse_fastdfs::FileName>().unwrap().info().unwrap();
        if let Some(ip) = item.decoded()["fileid_ip"].as_str() {
            assert_eq!(info.source, Source::Address(ip.parse().unwrap()), "{}", item.name);
            assert_eq!(Some(u64::from(info.created_unix)), item.decoded()["fileid_timestamp"].as_u64());
            assert_eq!(Some(format!("{:08x}", info.crc32).as_str()), item.decoded()["fileid_crc32_hex"].as_str());
            decoded += 1;
        }
        let expected = match item.name.as_str() {
            name if name.contains("slave") && name != "slave_short_name" && !name.starts_with("master") => {
                info.kind == FileKind::Slave
            }
            name if name.contains("appender") && !name.starts_with("regenerate") => info.kind == FileKind::Appender,
            _ => true,
        };
        assert!(expected, "{}: {:?}", item.name, info.kind);
    }
    assert!(decoded >= 11, "{decoded}");
    let packed = named("two_storages_upload");
    let packed: packhorse_fastdfs::FileName = packed.decoded()["filename"].as_str().unwrap().parse().unwrap();
    assert_eq!(packed.info().unwrap().kind, FileKind::Trunk { size: 3, id: 1, offset: 768, allocated: 256 });
}

fn body(name: &str) -> Vec<u8> {
    named(name).response[HEADER_LEN..].to_vec()
}

#[test]
fn answers_of_both_address_sizes_are_understood() {
    for (name, address) in [
        ("query_store_with_group_one", "127.0.0.3:23000"),
        ("query_store_without_group_all", "127.0.0.3:23000"),
        ("query_store_with_group_all", "127.0.0.3:23000"),
        ("ipv6size_query_store_without_group_one", "127.0.0.5:23000"),
    ] {
        let targets = StoreTarget::decode(&body(name)).unwrap();
        assert_eq!(targets.len(), 1, "{name}");
        assert_eq!((targets[0].address, targets[0].path_index), (address.parse().unwrap(), 0), "{name}");
    }
    let both = ["127.0.0.5:23000", "127.0.0.6:23000"].map(|address| address.parse().unwrap());
    let two = StoreTarget::decode(&body("two_storages_query_store_without_group_all")).unwrap();
    assert_eq!(two.iter().map(|target| target.address).collect::<Vec<_>>(), both);
    assert_eq!(
        StoreTarget::encode(&two[0].group, &both, 0, AddressSize::Ipv6),
        body("two_storages_query_store_without_group_all")
    );
    for (name, addresses) in [
        ("query_fetch_one", &["127.0.0.3:23000"][..]),
        ("query_fetch_all", &["127.0.0.3:23000"]),
        ("ipv6size_query_fetch_one", &["127.0.0.5:23000"]),
        ("ipv6size_query_fetch_all", &["127.0.0.5:23000"]),
        ("ipv6size_query_update", &["127.0.0.5:23000"]),
        ("two_storages_query_fetch_one", &["127.0.0.5:23000"]),
        ("two_storages_query_fetch_all", &["127.0.0.5:23000", "127.0.0.6:23000"]),
    ] {
        let targets = FetchTarget::decode(&body(name)).unwrap();
        let found: Vec<_> = targets.iter().map(|target| target.address.to_string()).collect();
        assert_eq!((targets[0].group.as_str(), found), ("group1", addresses.iter().map(ToString::to_string).collect()));
    }
    let info = FileInfo::decode(&body("query_file_info")).unwrap();
    assert_eq!((info.size, info.crc32), (13, 0xc458_1f24));
    assert_eq!(info.encode(16), body("query_file_info"));
}

#[test]
fn listed_groups_are_understood() {
    let group = GroupRecord {
        total_mb: 258_019,
        free_mb: 77_178,
        reserved_mb: 2580,
        storages: 1,
        port: 23000,
        readable: 1,
        writable: 1,
        paths: 1,
        folders: 4,
        ..GroupRecord::new("group1".parse().unwrap())
    };
    assert_eq!(group.encode(), body("list_all_groups"));
    assert_eq!(group_records(&body("list_all_groups")).unwrap(), std::slice::from_ref(&group));
    let trunk = GroupRecord { free_mb: 74_410, current_trunk_file: Some(0), ..group };
    assert_eq!(trunk.encode(), body("ipv6size_list_one_group"));
    assert_eq!(group_records(&body("ipv6size_list_one_group")).unwrap(), [trunk]);
}

#[test]
fn listed_storages_are_understood() {
    let mut counters = [0; 42];
    counters[..16].copy_from_slice(&[4, 4, 1, 1, 0, 0, 0, 0, 2, 2, 1, 1, 2, 2, 0, 0]);
    counters[20..28].copy_from_slice(&[52, 52, 13, 13, 0, 0, 30, 30]);
    counters[32..42].copy_from_slice(&[10, 10, 5, 5, 5, 5, 1_795_162_431, 0, 0, 1_795_162_546]);
    let storage = StorageRecord {
        status: 7,
        id: "127.0.0.3".to_owned(),
        address: "127.0.0.3".to_owned(),
        version: "6.16.1".to_owned(),
        joined_unix: 1_795_162_396,
        started_unix: 1_795_162_396,
        total_mb: 258_019,
        free_mb: 77_178,
        reserved_mb: 2580,
        folders: 4,
        port: 23000,
        allocated_connections: 64,
        most_connections: 2,
        counters,
        ..StorageRecord::default()
    };
    assert_eq!(storage.encode(AddressSize::Ipv4), body("list_storages"));
    assert_eq!(storage_records(&body("list_storages")).unwrap(), [storage]);
    for name in [
        "list_storages_by_id",
        "list_storages_15_byte_padded_id",
        "ipv6size_list_storages",
        "two_storages_list_storages",
    ] {
        let storages = storage_records(&body(name)).unwrap();
        let size = if body(name).len().is_multiple_of(487) { AddressSize::Ipv4 } else { AddressSize::Ipv6 };
        assert_eq!(storages.iter().flat_map(|storage| storage.encode(size)).collect::<Vec<_>>(), body(name), "{name}");
    }
}

#[test]
fn two_listed_storages_differ_as_they_did() {
    let storages = storage_records(&body("two_storages_list_storages")).unwrap();
    let [first, second] = &storages[..] else { panic!("{storages:?}") };
    let who = |storage: &StorageRecord| {
        (storage.address.clone(), storage.source_id.clone(), storage.is_trunk_server, storage.connections)
    };
    assert_eq!(who(first), ("127.0.0.5".to_owned(), String::new(), true, 1));
    assert_eq!(who(second), ("127.0.0.6".to_owned(), "127.0.0.5".to_owned(), false, 1));
    let (first, second) = (first.statistics(), second.statistics());
    assert_eq!((first.upload, first.download), (Tried { total: 12, success: 12 }, Tried { total: 9, success: 9 }));
    assert_eq!(
        (first.file_open, first.download_bytes),
        (Tried { total: 29, success: 27 }, Tried { total: 111, success: 111 })
    );
    assert_eq!((second.sync_in_bytes, second.upload), (Tried { total: 349, success: 349 }, Tried::default()));
    assert_eq!((second.last_sync_update_unix, second.last_synced_unix), (1_795_163_271, 1_795_163_322));
    assert_eq!((first.last_source_update_unix, first.last_heartbeat_unix), (1_795_163_005, 1_795_163_301));
}

#[test]
fn questions_to_the_tracker_are_written_as_they_were_recorded() {
    let request = |name: &str| named(name).request[HEADER_LEN..].to_vec();
    let group = "group1".parse().unwrap();
    for name in ["query_store_with_group_one", "query_store_with_group_all", "ipv6size_list_one_group", "list_storages"]
    {
        assert_eq!(GroupRequest { group }.encode(), request(name), "{name}");
        assert_eq!(GroupRequest::decode(&request(name)), Ok(GroupRequest { group }));
    }
    let by_id = StoragesRequest { group, id: Some("127.0.0.3".parse().unwrap()) };
    assert_eq!(by_id.encode(), request("list_storages_by_id"));
    assert_eq!(StoragesRequest::decode(&request("list_storages_15_byte_padded_id")), Ok(by_id));
    assert!(StoragesRequest::decode(&request("err_list_storages_16_byte_id")).is_err());
    assert_eq!(leader(&body("get_leader")), Ok("127.0.0.2:22122".parse().unwrap()));
    assert_eq!(leader_answer("127.0.0.2:22122".parse().unwrap()), body("get_leader"));
}

#[test]
fn slaves_are_named_as_they_were_recorded() {
    let mut named = 0;
    for item in all() {
        let (Some(name), Some(Ok(head))) =
            (item.decoded()["filename"].as_str(), item.request.get(10..10 + SlaveHead::LEN).map(SlaveHead::decode))
        else {
            continue;
        };
        if item.request[8] != Command::UPLOAD_SLAVE.0 {
            continue;
        }
        let master = &item.request[10 + SlaveHead::LEN..][..head.name_length as usize];
        let slave = parse_stored(master).unwrap().slave(&head.prefix, &head.extension).unwrap();
        assert_eq!(slave.as_str(), name, "{}", item.name);
        named += 1;
    }
    assert_eq!(named, 8);
    let master = parse_stored(b"00/00/fwAAA2sAAcSAGJxEAAAADcRYHyQ246.txt").unwrap();
    let dotted = master.slave(&"_1.5x_large".parse().unwrap(), &"jpg".parse().unwrap()).unwrap();
    let slave = dotted.slave(&"_2".parse().unwrap(), &"png".parse().unwrap()).unwrap();
    assert_eq!(slave.as_str(), "M00/00/00/fwAAA2sAAcSAGJxEAAAADcRYHyQ246_1.5x_large_2.png");
    let (metadata, none) = ("-m".parse().unwrap(), packhorse_fastdfs::Extension::none());
    assert!(master.slave(&metadata, &none).is_err());
    assert!(master.slave(&metadata, &"jpg".parse().unwrap()).is_ok());
}

#[test]
fn a_packed_name_is_made_as_it_was_recorded() {
    let packed = named("two_storages_upload");
    let name: packhorse_fastdfs::FileName = packed.decoded()["filename"].as_str().unwrap().parse().unwrap();
    let info = name.info().unwrap();
    let new = NewName {
        source: info.source,
        created_unix: info.created_unix,
        size_word: SizeWord::trunk(3, 0x0004_D4C8),
        crc32: info.crc32,
    };
    let place = TrunkPlace { id: 1, offset: 768, allocated: 256 };
    assert_eq!(new.leaf_in_trunk(place, &"txt".parse().unwrap(), 421), name.leaf());
}
