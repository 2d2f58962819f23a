//! Round trips of every value, and random bytes to every reader.

use std::net::{Ipv4Addr, SocketAddr};

use packhorse_fastdfs::{
    Extension, FileId, FileName, GroupName,
    wire::{
        AddressSize, AppendHead, DownloadRequest, FetchTarget, FileInfo, FileKind, Header, Metadata, MetadataFlag,
        MetadataRequest, ModifyHead, NewName, SizeWord, SlaveHead, Source, Status, StoreTarget, TruncateRequest,
        UploadHead, group_records, parse_file_request, parse_stored, storage_records, stored,
    },
};
use proptest::{collection::vec, prelude::*};

fn group() -> impl Strategy<Value = GroupName> {
    "[A-Za-z0-9]{1,16}".prop_map(|text| text.parse().unwrap())
}

fn extension() -> impl Strategy<Value = Extension> {
    "[A-Za-z0-9._-]{0,6}".prop_map(|text| text.parse().unwrap())
}

fn source() -> impl Strategy<Value = Source> {
    let address = any::<u32>().prop_map(Ipv4Addr::from);
    let address = address.prop_filter("these read as ids", |address| address.octets()[3] != 0);
    prop_oneof![address.prop_map(Source::Address), (1..=0x00FF_FFFF_u32).prop_map(Source::Id)]
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
    fn answers_round_trip(group in group(), ips in vec(any::<[u8; 4]>(), 1..20), port in 1..=u16::MAX, path: u8, crc32: u32) {
        let servers: Vec<_> = ips.into_iter().map(|ip| SocketAddr::from((ip, port))).collect();
        for size in [AddressSize::Ipv4, AddressSize::Ipv6] {
            let targets = StoreTarget::decode(&StoreTarget::encode(&group, &servers, path, size)).unwrap();
            let expected = |address: &SocketAddr| StoreTarget { group, address: *address, path_index: path };
            prop_assert_eq!(targets, servers.iter().map(expected).collect::<Vec<_>>());
            let targets = FetchTarget::decode(&FetchTarget::encode(&group, &servers, size)).unwrap();
            let expected = |address: &SocketAddr| FetchTarget { group, address: *address };
            prop_assert_eq!(targets, servers.iter().map(expected).collect::<Vec<_>>());
        }
        let info = FileInfo { size: 7, modified_unix: -1, crc32, source: Some(servers[0].ip()) };
        prop_assert_eq!(FileInfo::decode(&info.encode(16)).unwrap(), info);
        prop_assert_eq!(FileInfo::decode(&info.encode(46)).unwrap(), info);
        let header = Header::answer(Status(crc32 as u8), u64::from(crc32));
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
    fn random_bytes_never_panic_a_reader(bytes in vec(any::<u8>(), 0..600)) {
        read_everything(&bytes);
    }

    #[test]
    fn damaged_messages_never_panic_a_reader(file in file(), at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
        let whole = DownloadRequest { offset: 1, length: 2, group: file.group, name: file.name }.encode();
        let mut bytes = whole;
        let at = at.index(bytes.len());
        bytes[at] = byte;
        bytes.truncate(cut.index(bytes.len() + 1));
        read_everything(&bytes);
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

fn read_everything(bytes: &[u8]) {
    let _ = bytes.first_chunk().map(Header::decode);
    let _ = (UploadHead::decode(bytes), SlaveHead::decode(bytes), AppendHead::decode(bytes), ModifyHead::decode(bytes));
    let _ = (TruncateRequest::decode(bytes), DownloadRequest::decode(bytes), MetadataRequest::decode(bytes));
    let _ = (FileInfo::decode(bytes), StoreTarget::decode(bytes), FetchTarget::decode(bytes));
    let _ = (group_records(bytes), storage_records(bytes), Metadata::decode(bytes).encode());
    let _ = parse_file_request(bytes).map(|file| file.name.info());
    let _ = parse_stored(bytes).map(|name| (name.info(), name.path_index(), name.folders()));
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
