//! Recorded bytes through our own readers and writers: what we would have sent is what was sent, what was answered is understood.

use packhorse_fastdfs::wire::{
    AppendHead, Command, DownloadRequest, FetchTarget, FileInfo, FileKind, HEADER_LEN, Header, MetadataRequest,
    ModifyHead, SlaveHead, Source, StoreTarget, TruncateRequest, UploadHead, file_request, group_records, message,
    parse_file_request, parse_stored, storage_records,
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
        Command::DELETE | Command::FILE_INFO | Command::GET_METADATA | Command::FETCH_ONE | Command::UPDATE => {
            let file = parse_file_request(body).ok()?;
            file_request(&file.group, &file.name)
        }
        _ => return None,
    })
}

#[test]
fn requests_are_written_as_they_were_recorded() {
    // Not in the form in which a client writes them: junk behind a NUL, records that are no records, unsorted ones.
    let not_canonical = ["download_trailing_nul_in_name", "upload_ext_junk_after_nul", "truncated_body"];
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

#[test]
fn answers_of_both_address_sizes_are_understood() {
    let body = |name: &str| named(name).response[HEADER_LEN..].to_vec();
    for (name, address) in [
        ("query_store_with_group_one", "127.0.0.3:23000"),
        ("query_store_without_group_all", "127.0.0.3:23000"),
        ("ipv6size_query_store_without_group_one", "127.0.0.5:23000"),
    ] {
        let targets = StoreTarget::decode(&body(name)).unwrap();
        assert_eq!(targets.len(), 1, "{name}");
        assert_eq!((targets[0].address, targets[0].path_index), (address.parse().unwrap(), 0), "{name}");
    }
    let two = StoreTarget::decode(&body("two_storages_query_store_without_group_all")).unwrap();
    assert_eq!(two.len(), 2);
    let two = FetchTarget::decode(&body("two_storages_query_fetch_all")).unwrap();
    assert_eq!(two.iter().map(|target| target.address.port()).collect::<Vec<_>>(), [23000, 23000]);
    assert_eq!(FetchTarget::decode(&body("ipv6size_query_update")).unwrap().len(), 1);
    let groups = group_records(&body("list_all_groups")).unwrap();
    assert_eq!((groups[0].name.as_str(), groups[0].port, groups[0].storages), ("group1", 23000, 1));
    for (name, count) in [("list_storages", 1), ("ipv6size_list_storages", 1), ("two_storages_list_storages", 2)] {
        let storages = storage_records(&body(name)).unwrap();
        assert_eq!((storages.len(), storages[0].version.as_str(), storages[0].port), (count, "6.16.1", 23000));
    }
    let info = FileInfo::decode(&body("query_file_info")).unwrap();
    assert_eq!((info.size, info.crc32), (13, 0xc458_1f24));
    assert_eq!(info.encode(16), body("query_file_info"));
}
