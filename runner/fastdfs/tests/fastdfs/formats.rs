//! Round trips of every value.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use packhorse_fastdfs::{
    Extension, FileId, FileName, GroupName,
    wire::{
        AddressSize, AppendHead, DownloadRequest, FetchTarget, FileInfo, FileKind, GroupRequest, Header, Metadata,
        MetadataFlag, MetadataRequest, ModifyHead, NewName, SizeWord, SlaveHead, SlavePrefix, Source, Status,
        StorageId, StoragesRequest, StoreTarget, TruncateRequest, TrunkPlace, UploadHead, leader, leader_answer,
        parse_file_request, parse_stored, stored,
    },
};
use proptest::{collection::vec, prelude::*};

pub(crate) fn group() -> impl Strategy<Value = GroupName> {
    "[A-Za-z0-9]{1,16}".prop_map(|text| text.parse().unwrap())
}

fn extension() -> impl Strategy<Value = Extension> {
    "[A-Za-z0-9._-]{0,6}".prop_map(|text| text.parse().unwrap())
}

fn prefix() -> impl Strategy<Value = SlavePrefix> {
    prop_oneof!["[A-Za-z0-9._-]{1,16}", "[a-z_]{0,4}-m"].prop_map(|text| text.parse().unwrap())
}

fn source() -> impl Strategy<Value = Source> {
    let address = any::<u32>().prop_map(Ipv4Addr::from);
    let address = address.prop_filter("these read as ids", |address| address.octets()[3] != 0);
    prop_oneof![address.prop_map(Source::Address), (1..=0x00FF_FFFF_u32).prop_map(Source::Id)]
}

/// A group as large as groups can be: with narrow addresses alone, or with wide ones among them.
fn servers() -> impl Strategy<Value = Vec<SocketAddr>> {
    let narrow = || any::<[u8; 4]>().prop_map(IpAddr::from);
    let any_width = prop_oneof![narrow(), any::<[u8; 16]>().prop_map(IpAddr::from)];
    let group = |ip: BoxedStrategy<IpAddr>| vec((ip, 1..=u16::MAX).prop_map(SocketAddr::from), 1..=32);
    prop_oneof![group(narrow().boxed()), group(any_width.boxed())]
}

fn place() -> impl Strategy<Value = TrunkPlace> {
    any::<[u32; 3]>().prop_map(|[id, offset, allocated]| TrunkPlace { id, offset, allocated })
}

fn new_name() -> impl Strategy<Value = NewName> {
    let word = prop_oneof![
        (0..1_u64 << 40, any::<u32>()).prop_map(|(size, random)| SizeWord::normal(size, random)),
        (0..1_u64 << 32, any::<u32>()).prop_map(|(size, random)| SizeWord::normal(size, random)),
        any::<u32>().prop_map(SizeWord::appender),
    ];
    (source(), any::<u32>(), word, any::<u32>()).prop_map(|(source, created_unix, size_word, crc32)| NewName {
        source,
        created_unix,
        size_word,
        crc32,
    })
}

fn file() -> impl Strategy<Value = FileId> {
    (group(), new_name(), extension(), any::<(u8, u8, u8, u32)>()).prop_map(
        |(group, new, ext, (path, a, b, digits))| FileId {
            group,
            name: FileName::new(path, (a, b), &new.leaf(&ext, digits)).unwrap(),
        },
    )
}

proptest! {
    #[test]
    fn names_say_what_was_put_into_them(new in new_name(), ext in extension(), digits: u32, size in 0..1_u64 << 50) {
        let name = FileName::new(0, (1, 255), &new.leaf(&ext, digits)).unwrap();
        prop_assert_eq!(name.as_str().len(), 44);
        prop_assert!(name.as_str().starts_with("M00/01/FF/"));
        let info = name.info().unwrap();
        prop_assert_eq!((info.source, info.created_unix, info.crc32), (new.source, new.created_unix, new.crc32));
        let normal = NewName { size_word: SizeWord::normal(size, digits), ..new };
        let normal = FileName::new(0, (0, 0), &normal.leaf(&ext, digits)).unwrap();
        prop_assert_eq!(normal.info().unwrap().kind, FileKind::Normal { size });
        let regenerated = name.with_leaf(&new.leaf_with_tail_of(name.leaf())).unwrap();
        prop_assert_eq!(regenerated, name);
    }

    #[test]
    fn ids_round_trip_as_text_and_on_the_wire(file in file()) {
        prop_assert_eq!(&file.to_string().parse::<FileId>().unwrap(), &file);
        prop_assert_eq!(&parse_file_request(&stored(&file)).unwrap(), &file);
        prop_assert_eq!(&FileName::new(file.name.path_index(), file.name.folders(), file.name.leaf()).unwrap(), &file.name);
    }

    #[test]
    fn requests_round_trip(file in file(), ext in extension(), a in 0..=i64::MAX as u64, b in 0..=i64::MAX as u64, path: u8) {
        let FileId { group, name } = file;
        let upload = UploadHead { path_index: path, size: a, extension: ext };
        prop_assert_eq!(UploadHead::decode(&upload.encode()).unwrap(), upload);
        let download = DownloadRequest { offset: a, length: b, group, name: name.clone() };
        prop_assert_eq!(&DownloadRequest::decode(&download.encode()).unwrap(), &download);
        let truncate = TruncateRequest { size: a, name: name.clone() };
        prop_assert_eq!(&TruncateRequest::decode(&truncate.encode()).unwrap(), &truncate);
        let append = AppendHead::decode(&AppendHead::encode(&name, a)[..AppendHead::LEN]).unwrap();
        prop_assert_eq!((append.name_length, append.size), (name.as_str().len() as u64, a));
        let modify = ModifyHead::decode(&ModifyHead::encode(&name, a, b)[..ModifyHead::LEN]).unwrap();
        prop_assert_eq!((modify.offset, modify.size), (a, b));
    }

    #[test]
    fn packed_names_say_where_they_lie(new in new_name(), place in place(), size: u32, ext in extension(), digits: u32) {
        let new = NewName { size_word: SizeWord::trunk(size, digits), ..new };
        let name = FileName::new(0, (0, 0), &new.leaf_in_trunk(place, &ext, digits)).unwrap();
        prop_assert_eq!(name.as_str().len(), 60);
        let TrunkPlace { id, offset, allocated } = place;
        let info = name.info().unwrap();
        prop_assert_eq!(info.kind, FileKind::Trunk { size: u64::from(size), id, offset, allocated });
        prop_assert_eq!((info.source, info.created_unix, info.crc32), (new.source, new.created_unix, new.crc32));
    }

    #[test]
    fn slaves_stand_beside_their_master(file in file(), place in place(), prefix in prefix(), exts in (extension(), extension())) {
        let (master_ext, ext) = (exts.0, exts.1);
        let packed = NewName { source: Source::Id(1), created_unix: 0, size_word: SizeWord::trunk(1, 0), crc32: 0 };
        let packed = file.name.with_leaf(&packed.leaf_in_trunk(place, &master_ext, 0)).unwrap();
        for master in [file.name, packed] {
            let Ok(slave) = master.slave(&prefix, &ext) else {
                prop_assert!(ext.as_str().is_empty() && prefix.as_str().ends_with("-m") || ext.as_str().ends_with("-m"));
                continue;
            };
            let coded = if master.leaf().len() > 34 { 43 } else { 27 };
            prop_assert_eq!(&slave.as_str()[..10 + coded], &master.as_str()[..10 + coded]);
            let dot = if ext.as_str().is_empty() { "" } else { "." };
            let end = format!("{prefix}{dot}{ext}");
            prop_assert!(slave.leaf().ends_with(&end), "{} {}", slave, end);
            // No digit of the master's tail is lost, and nothing behind its dot is kept.
            let tail = &master.leaf()[coded..];
            let stem = tail.split('.').next().unwrap();
            prop_assert_eq!(&slave.leaf()[coded..slave.leaf().len() - end.len()], stem);
            if end.len() + stem.len() > 7 {
                prop_assert_eq!(slave.info().unwrap().kind, FileKind::Slave);
            }
        }
    }

    #[test]
    fn requests_with_a_master_round_trip(file in file(), prefix in prefix(), ext in extension(), size in 0..=i64::MAX as u64) {
        let bytes = SlaveHead::encode(&file.name, size, &prefix, &ext);
        let head = SlaveHead::decode(&bytes[..SlaveHead::LEN]).unwrap();
        let name_length = file.name.as_str().len() as u64;
        prop_assert_eq!(head, SlaveHead { name_length, size, prefix, extension: ext });
        prop_assert_eq!(parse_stored(&bytes[SlaveHead::LEN..]).unwrap(), file.name);
    }

    #[test]
    fn questions_to_trackers_round_trip(group in group(), id in "[!-~]{0,15}", leading in servers()) {
        let request = GroupRequest { group };
        prop_assert_eq!(request.encode().len(), 16);
        prop_assert_eq!(GroupRequest::decode(&request.encode()), Ok(request));
        let request = StoragesRequest { group, id: id.parse::<StorageId>().ok() };
        prop_assert_eq!(request.encode().len(), 16 + id.len());
        prop_assert_eq!(StoragesRequest::decode(&request.encode()), Ok(request));
        prop_assert_eq!(leader(&leader_answer(leading[0])), Ok(leading[0]));
        let bare = format!("{}:{}", leading[0].ip(), leading[0].port());
        prop_assert_eq!(leader(bare.as_bytes()), Ok(leading[0]));
    }

    #[test]
    fn answers_round_trip(group in group(), servers in servers(), path: u8) {
        let widest = servers.iter().map(|server| AddressSize::of(server.ip())).find(|size| *size == AddressSize::Ipv6);
        for size in [widest.unwrap_or(AddressSize::Ipv4), AddressSize::Ipv6] {
            let targets = StoreTarget::decode(&StoreTarget::encode(&group, &servers, path, size)).unwrap();
            let expected = |address: &SocketAddr| StoreTarget { group, address: *address, path_index: path };
            prop_assert_eq!(targets, servers.iter().map(expected).collect::<Vec<_>>());
            let targets = FetchTarget::decode(&FetchTarget::encode(&group, &servers, size)).unwrap();
            let expected = |address: &SocketAddr| FetchTarget { group, address: *address };
            prop_assert_eq!(targets, servers.iter().map(expected).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_port_for_all_servers_is_understood(group in group(), servers in servers()) {
        let widest = servers.iter().map(|server| AddressSize::of(server.ip())).find(|size| *size == AddressSize::Ipv6);
        let port = servers[0].port();
        for size in [widest.unwrap_or(AddressSize::Ipv4), AddressSize::Ipv6] {
            let mut body = FetchTarget::encode(&group, &servers[..1], size);
            for server in &servers[1..] {
                let mut field = server.ip().to_string().into_bytes();
                field.resize(size.width(), 0);
                body.extend(field);
            }
            let expected = |server: &SocketAddr| FetchTarget { group, address: SocketAddr::new(server.ip(), port) };
            prop_assert_eq!(FetchTarget::decode(&body).unwrap(), servers.iter().map(expected).collect::<Vec<_>>());
            crate::laws::fetch_answer(&body);
        }
    }

    #[test]
    fn infos_and_headers_round_trip(size in 0..=i64::MAX as u64, modified_unix: i64, crc32: u32, servers in servers(), command: u8) {
        let source = Some(servers[0].ip());
        let info = FileInfo { size, modified_unix, crc32, source };
        let widths = if servers[0].is_ipv4() { vec![16, 46] } else { vec![46] };
        for width in widths {
            prop_assert_eq!(info.encode(width).len(), 24 + width);
            prop_assert_eq!(FileInfo::decode(&info.encode(width)).unwrap(), info);
        }
        let header = Header { length: size, command: packhorse_fastdfs::wire::Command(command), status: Status(crc32 as u8) };
        prop_assert_eq!(Header::decode(&header.encode()).unwrap(), header);
    }

    #[test]
    fn metadata_round_trips(items in vec(("[a-z]{1,64}", "[ -~]{0,256}"), 0..20), file in file()) {
        let mut metadata = Metadata::default();
        for (key, value) in &items {
            metadata.insert(key.as_bytes(), value.as_bytes()).unwrap();
        }
        prop_assert_eq!(&Metadata::decode(&metadata.encode()), &metadata);
        let request = MetadataRequest { flag: MetadataFlag::Merge, file, metadata };
        prop_assert_eq!(&MetadataRequest::decode(&request.encode()).unwrap(), &request);
    }

    #[test]
    fn a_name_never_leaves_its_folder(text in "\\PC{0,140}", tail in "[./A-Z0-9_-]{0,40}") {
        for text in [text, format!("M00/00/00/{tail}"), format!("M00/{tail}")] {
            if let Ok(name) = text.parse::<FileName>() {
                prop_assert!(!name.leaf().contains('/') && name.leaf() != "." && name.leaf() != "..");
                prop_assert!(name.as_str().len() < 128);
            }
        }
    }
}

#[test]
fn large_files_keep_their_size_in_the_name() {
    for size in [0, 1, u64::from(u32::MAX), u64::from(u32::MAX) + 1, 1 << 40] {
        let address = Source::Address(Ipv4Addr::LOCALHOST);
        let new = NewName { source: address, created_unix: 1, size_word: SizeWord::normal(size, u32::MAX), crc32: 2 };
        let name = FileName::new(0, (0, 0), &new.leaf(&Extension::none(), 0)).unwrap();
        assert_eq!(name.info().unwrap().kind, FileKind::Normal { size });
        assert_eq!(&name.leaf()[27..], "0000000");
    }
}

#[test]
fn texts_that_do_not_fit_are_refused() {
    for bad in ["", "group1/", "group1", "/M00/00/00/x", "g-1/M00/00/00/x", "group1/M00/0a/00/x", "group1/M00/00/00/.."]
    {
        assert!(bad.parse::<FileId>().is_err(), "{bad}");
    }
    assert!("abcdefg".parse::<Extension>().is_err() && "a/b".parse::<Extension>().is_err());
    assert!("12345678901234567".parse::<GroupName>().is_err());
    assert_eq!(Extension::of_file_name("fw.tar.gz").as_str(), "gz");
    assert_eq!(Extension::of_file_name("fw.firmware").as_str(), "");
    assert!(parse_stored(b"00/00/legacy").unwrap().as_str().starts_with("M00/00/00/"));
}
