//! What must hold for any bytes, one law for each reader: no panic, nothing kept that is much larger than what came in, and a
//! value that was read is read again from what is written of it. Fuzz targets and the crate's tests call the same functions.

use std::{net::Ipv6Addr, time::Duration};

use packhorse_fastdfs::{
    ClientOptions, Extension, FileId, FileName, GroupName,
    client::ConfError,
    wire::{
        AddressSize, AppendHead, DownloadRequest, FetchTarget, FileInfo, FileKind, GroupRecord, GroupRequest,
        HEADER_LEN, Header, Metadata, MetadataRequest, ModifyHead, NameInfo, NewName, SizeWord, SlaveHead, SlavePrefix,
        Statistics, StorageRecord, StoragesRequest, StoreTarget, TruncateRequest, TrunkPlace, UploadHead, file_request,
        group_records, leader, leader_answer, parse_file_request, parse_stored, storage_records,
    },
};

/// A law and the name of its fuzz target.
pub type Law = (&'static str, fn(&[u8]));

/// All of them.
pub const LAWS: [Law; 20] = [
    ("header", header),
    ("file_id", file_id),
    ("stored_name", stored_name),
    ("file_request", file_request_body),
    ("upload_head", upload_head),
    ("slave_request", slave_request),
    ("append_request", append_request),
    ("modify_request", modify_request),
    ("truncate_request", truncate_request),
    ("download_request", download_request),
    ("metadata_request", metadata_request),
    ("metadata", metadata),
    ("tracker_request", tracker_request),
    ("store_answer", store_answer),
    ("fetch_answer", fetch_answer),
    ("file_info", file_info),
    ("leader_answer", leader_text),
    ("group_list", group_list),
    ("storage_list", storage_list),
    ("client_conf", client_conf),
];

/// The ten bytes: written again they are the same, unless the length was negative.
pub fn header(bytes: &[u8]) {
    let Some(bytes) = bytes.first_chunk::<HEADER_LEN>() else { return };
    match Header::decode(bytes) {
        Ok(header) => assert_eq!(&header.encode(), bytes),
        Err(_) => assert!(bytes[0] >= 0x80, "{bytes:?}"),
    }
}

/// `group1/M00/..` as text: shown again it is the same.
pub fn file_id(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let Ok(file) = text.parse::<FileId>() else { return };
    assert_eq!(file.to_string(), text);
    assert_eq!(parse_file_request(&file_request(&file.group, &file.name)).as_ref(), Ok(&file));
    name(&file.name);
}

/// A name that runs to the end of a body.
pub fn stored_name(bytes: &[u8]) {
    let Ok(stored) = parse_stored(bytes) else { return };
    assert_eq!(parse_stored(stored.as_str().as_bytes()).as_ref(), Ok(&stored));
    name(&stored);
}

/// A name: it stays in its folder, what it says can be said again, and its slave is another name beside it.
fn name(name: &FileName) {
    assert!(!name.leaf().contains('/') && name.leaf() != "." && name.leaf() != ".." && name.as_str().len() < 128);
    let again = FileName::new(name.path_index(), name.folders(), name.leaf());
    assert_eq!(again.as_ref(), Ok(name));
    if let Ok(info) = name.info() {
        said_again(name, info);
    }
    let (prefix, extension) = ("-s".parse::<SlavePrefix>().unwrap(), "jpg".parse::<Extension>().unwrap());
    if let Ok(slave) = name.slave(&prefix, &extension) {
        assert_eq!((slave.path_index(), slave.folders()), (name.path_index(), name.folders()));
        assert!(slave.leaf().ends_with("-s.jpg") && slave != *name, "{slave}");
    }
}

fn said_again(name: &FileName, info: NameInfo) {
    let (size_word, place) = match info.kind {
        FileKind::Normal { size } => (SizeWord::normal(size, 0), None),
        FileKind::Appender => (SizeWord::appender(0), None),
        FileKind::Trunk { size, id, offset, allocated } => {
            // Larger ones do not exist, but a name can say so.
            let Ok(size) = u32::try_from(size) else { return };
            (SizeWord::trunk(size, 0), Some(TrunkPlace { id, offset, allocated }))
        }
        FileKind::Slave => return,
    };
    let new = NewName { source: info.source, created_unix: info.created_unix, size_word, crc32: info.crc32 };
    let extension = Extension::none();
    let leaf = place.map_or_else(|| new.leaf(&extension, 0), |place| new.leaf_in_trunk(place, &extension, 0));
    assert_eq!(name.with_leaf(&leaf).unwrap().info(), Ok(info));
}

/// `group[16] name`.
pub fn file_request_body(bytes: &[u8]) {
    let Ok(file) = parse_file_request(bytes) else { return };
    assert_eq!(parse_file_request(&file_request(&file.group, &file.name)).as_ref(), Ok(&file));
    name(&file.name);
}

/// Before the content of an upload.
pub fn upload_head(bytes: &[u8]) {
    let Ok(head) = UploadHead::decode(bytes) else { return };
    assert_eq!(bytes.len(), UploadHead::LEN);
    assert_eq!(UploadHead::decode(&head.encode()), Ok(head));
}

/// The name in a body behind `head` bytes, as long as was announced.
fn name_behind(bytes: &[u8], head: usize, length: u64) -> Option<FileName> {
    let length = usize::try_from(length).ok()?;
    parse_stored(bytes.get(head..)?.get(..length)?).ok()
}

/// A slave upload: head, master's name, content.
pub fn slave_request(bytes: &[u8]) {
    let Some(Ok(head)) = bytes.get(..SlaveHead::LEN).map(SlaveHead::decode) else { return };
    let Some(master) = name_behind(bytes, SlaveHead::LEN, head.name_length) else { return };
    let again = SlaveHead::encode(&master, head.size, &head.prefix, &head.extension);
    let same = SlaveHead { name_length: master.as_str().len() as u64, ..head };
    assert_eq!(SlaveHead::decode(&again[..SlaveHead::LEN]), Ok(same));
    assert_eq!(&again[SlaveHead::LEN..], master.as_str().as_bytes());
    if let Ok(slave) = master.slave(&head.prefix, &head.extension) {
        assert!(slave.leaf().contains(head.prefix.as_str()) && !slave.leaf().ends_with("-m"), "{slave}");
    }
}

/// An append: head, name, content.
pub fn append_request(bytes: &[u8]) {
    let Some(Ok(head)) = bytes.get(..AppendHead::LEN).map(AppendHead::decode) else { return };
    let Some(name) = name_behind(bytes, AppendHead::LEN, head.name_length) else { return };
    let again = AppendHead::encode(&name, head.size);
    let same = AppendHead { name_length: name.as_str().len() as u64, ..head };
    assert_eq!(AppendHead::decode(&again[..AppendHead::LEN]), Ok(same));
}

/// A modify: head, name, content.
pub fn modify_request(bytes: &[u8]) {
    let Some(Ok(head)) = bytes.get(..ModifyHead::LEN).map(ModifyHead::decode) else { return };
    let Some(name) = name_behind(bytes, ModifyHead::LEN, head.name_length) else { return };
    let again = ModifyHead::encode(&name, head.offset, head.size);
    let same = ModifyHead { name_length: name.as_str().len() as u64, ..head };
    assert_eq!(ModifyHead::decode(&again[..ModifyHead::LEN]), Ok(same));
}

/// A truncate.
pub fn truncate_request(bytes: &[u8]) {
    let Ok(request) = TruncateRequest::decode(bytes) else { return };
    assert_eq!(TruncateRequest::decode(&request.encode()), Ok(request));
}

/// A download.
pub fn download_request(bytes: &[u8]) {
    let Ok(request) = DownloadRequest::decode(bytes) else { return };
    assert_eq!(DownloadRequest::decode(&request.encode()), Ok(request));
}

/// Setting metadata.
pub fn metadata_request(bytes: &[u8]) {
    let Ok(request) = MetadataRequest::decode(bytes) else { return };
    assert_eq!(MetadataRequest::decode(&request.encode()), Ok(request));
}

/// Metadata itself: no longer than what it was read from, sorted, and the same when read again.
pub fn metadata(bytes: &[u8]) {
    let metadata = Metadata::decode(bytes);
    let written = metadata.encode();
    assert!(written.len() <= bytes.len());
    assert!(metadata.items().zip(metadata.items().skip(1)).all(|((one, _), (other, _))| one < other));
    assert_eq!(Metadata::decode(&written), metadata);
    let mut inserted = Metadata::default();
    for (key, value) in metadata.items() {
        inserted.insert(key, value).unwrap();
    }
    assert_eq!(inserted, metadata);
}

/// Asking for a group, and for storages of one.
pub fn tracker_request(bytes: &[u8]) {
    if let Ok(request) = GroupRequest::decode(bytes) {
        assert_eq!(GroupRequest::decode(&request.encode()), Ok(request));
        assert_eq!(StoragesRequest::decode(bytes), Ok(StoragesRequest { group: request.group, id: None }));
    }
    let Ok(request) = StoragesRequest::decode(bytes) else { return };
    assert_eq!(StoragesRequest::decode(&request.encode()), Ok(request));
}

/// Elements that a list holds, by the bytes that it was read from.
fn not_much_larger<T>(list: &Vec<T>, bytes: &[u8]) {
    assert!(list.capacity() * size_of::<T>() <= 4 * bytes.len() + 64, "{} from {}", list.capacity(), bytes.len());
}

fn size_for<'a>(servers: impl IntoIterator<Item = &'a std::net::SocketAddr>) -> AddressSize {
    if servers.into_iter().all(std::net::SocketAddr::is_ipv4) { AddressSize::Ipv4 } else { AddressSize::Ipv6 }
}

/// Where to store.
pub fn store_answer(bytes: &[u8]) {
    let Ok(targets) = StoreTarget::decode(bytes) else { return };
    not_much_larger(&targets, bytes);
    let servers: Vec<_> = targets.iter().map(|target| target.address).collect();
    let (group, path) = (targets[0].group, targets[0].path_index);
    for size in [size_for(&servers), AddressSize::Ipv6] {
        assert_eq!(StoreTarget::decode(&StoreTarget::encode(&group, &servers, path, size)).as_ref(), Ok(&targets));
    }
}

/// Where to fetch.
pub fn fetch_answer(bytes: &[u8]) {
    let Ok(targets) = FetchTarget::decode(bytes) else { return };
    not_much_larger(&targets, bytes);
    let servers: Vec<_> = targets.iter().map(|target| target.address).collect();
    for size in [size_for(&servers), AddressSize::Ipv6] {
        assert_eq!(FetchTarget::decode(&FetchTarget::encode(&targets[0].group, &servers, size)).as_ref(), Ok(&targets));
    }
}

/// Size, time and CRC.
pub fn file_info(bytes: &[u8]) {
    let Ok(info) = FileInfo::decode(bytes) else { return };
    assert_eq!(FileInfo::decode(&info.encode(46)), Ok(info));
}

/// The tracker that leads.
pub fn leader_text(bytes: &[u8]) {
    let Ok(address) = leader(bytes) else { return };
    assert_eq!(leader(&leader_answer(address)), Ok(address));
}

/// Groups, of every length of records.
pub fn group_list(bytes: &[u8]) {
    let Ok(groups) = group_records(bytes) else { return };
    not_much_larger(&groups, bytes);
    let now: Vec<_> = groups.into_iter().map(|group| GroupRecord { http_port: None, ..group }).collect();
    let written: Vec<u8> = now.iter().flat_map(GroupRecord::encode).collect();
    assert_eq!(group_records(&written), Ok(now));
    let name: GroupName = "g".parse().unwrap();
    assert_eq!(GroupRecord::new(name).encode().len(), GroupRecord::LEN);
}

/// Storages, of every length of records.
pub fn storage_list(bytes: &[u8]) {
    let Ok(storages) = storage_records(bytes) else { return };
    not_much_larger(&storages, bytes);
    let newer = |storage| StorageRecord { http_port: None, domain: String::new(), ..storage };
    let now: Vec<_> = storages.into_iter().map(newer).collect();
    let narrow = now.iter().all(|storage| storage.address.len() <= 16);
    let size = if narrow { AddressSize::Ipv4 } else { AddressSize::Ipv6 };
    let written: Vec<u8> = now.iter().flat_map(|storage| storage.encode(size)).collect();
    for storage in &now {
        assert_eq!(storage.statistics().counters(), storage.counters);
        assert_eq!(Statistics::of(&storage.counters), storage.statistics());
    }
    assert_eq!(storage_records(&written), Ok(now));
}

/// A `client.conf`: its trackers can be dialled and its limits added to a clock, and the first line that is wrong is the one
/// that is named.
pub fn client_conf(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    match ClientOptions::parse_conf(text) {
        Ok(options) => usable(&options, bytes),
        Err(ConfError::Line { line, problem }) => first_wrong_line(text, line, &problem),
        Err(ConfError::NoTracker) => {}
        Err(error) => panic!("{error}: there is no file"),
    }
}

fn usable(options: &ClientOptions, bytes: &[u8]) {
    let texts: usize = options.trackers.iter().map(String::capacity).sum();
    let kept = options.trackers.capacity() * size_of::<String>() + texts;
    // Two bytes, as in `a,a,a`, are a tracker: a `String`, with as much room again in the list, and `a:22122`.
    assert!(kept <= 32 * bytes.len(), "{kept} from {}", bytes.len());
    assert!(!options.trackers.is_empty());
    for tracker in &options.trackers {
        let (host, port) = tracker.rsplit_once(':').unwrap();
        assert!(port.parse::<u16>().is_ok_and(|number| number > 0 && number.to_string() == port), "{tracker}");
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(address) => assert!(address.parse::<Ipv6Addr>().is_ok(), "{tracker}"),
            None => assert!(!host.is_empty() && host.bytes().all(plain), "{tracker}"),
        }
    }
    let (connect, io, idle) = (options.connect_timeout, options.io_timeout, options.idle_limit);
    for limit in [connect, io, idle] {
        assert!((1..=365 * 24 * 3600).contains(&limit.as_secs()) && limit.subsec_nanos() == 0, "{limit:?}");
    }
    let again = ClientOptions::parse_conf(&written_conf(options)).unwrap();
    assert_eq!(again.trackers, options.trackers);
    assert_eq!((again.connect_timeout, again.io_timeout, again.idle_limit), (connect, io, idle));
    assert_eq!(again.max_idle, options.max_idle);
}

fn written_conf(options: &ClientOptions) -> String {
    let trackers = options.trackers.iter().map(|tracker| ("tracker_server", tracker.clone()));
    let seconds = |limit: Duration| limit.as_secs().to_string();
    let others = [
        ("connect_timeout", seconds(options.connect_timeout)),
        ("network_timeout", seconds(options.io_timeout)),
        ("connection_pool_max_idle_time", seconds(options.idle_limit)),
        ("use_connection_pool", (options.max_idle > 0).to_string()),
    ];
    trackers.chain(others).map(|(key, value)| format!("{key} = {value}\n")).collect()
}

/// What stands before the line has nothing wrong in it, and what stands behind it changes nothing.
fn first_wrong_line(text: &str, line: usize, problem: &str) {
    assert!((1..=text.lines().count()).contains(&line), "{line}");
    let until = |lines| text.split_inclusive('\n').take(lines).collect::<String>();
    let before = ClientOptions::parse_conf(&until(line - 1));
    assert!(matches!(before, Ok(_) | Err(ConfError::NoTracker)), "{before:?}");
    let with_it = ClientOptions::parse_conf(&until(line)).unwrap_err();
    assert_eq!(with_it.to_string(), format!("line {line}: {problem}"));
    // It quotes the line, at most twice, and six characters stand for one that cannot be printed.
    assert!(problem.len() <= 12 * text.len() + 64, "{} from {}", problem.len(), text.len());
}
