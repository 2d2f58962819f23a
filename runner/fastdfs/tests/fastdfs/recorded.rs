//! Traffic recorded from FastDFS 6.16.1, sent to our server: the same statuses, lengths and fates of the connection.
//!
//! Names differ on every run, so the names that our server gave stand in for the recorded ones.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use packhorse_fastdfs::{
    ServerOptions,
    wire::{HEADER_LEN, Header, group_records, storage_records},
};
use serde_json::Value;

use crate::cluster::{Cluster, ext};

/// Not played, because ours cannot be set up so: a second storage in the group, and statistics whose layout nobody wrote down.
const NOT_PLAYED: [&str; 6] = [
    "two_storages_upload",
    "two_storages_query_store_without_group_all",
    "two_storages_query_fetch_one",
    "two_storages_query_fetch_all",
    "two_storages_list_storages",
    "tracker_cluster_stat",
];
/// Answered better than recorded, with this body: the original echoes the request where nothing was to be done, gives back
/// metadata as it came where it should have cut or left out, and overlooks a second request in the same segment.
const OURS_IS_BETTER: [(&str, &[u8]); 5] = [
    ("append_zero_bytes", b""),
    ("modify_zero_bytes", b""),
    ("truncate_same_size", b""),
    ("get_metadata_after_item_without_separator", b"b\x022"),
    ("get_metadata_after_trailing_record_separator", b"a\x021\x01b\x022"),
];

pub(crate) struct Recorded {
    pub(crate) name: String,
    server: String,
    pub(crate) request: Vec<u8>,
    pub(crate) response: Vec<u8>,
    decoded: Value,
}

impl Recorded {
    /// What the one who recorded it read in it.
    pub(crate) fn decoded(&self) -> &Value {
        &self.decoded
    }
}

pub(crate) fn all() -> Vec<Recorded> {
    let items: Vec<Value> = serde_json::from_str(include_str!("../vectors.json")).unwrap();
    let text = |item: &Value, field: &str| item[field].as_str().unwrap().to_owned();
    let read = |item: Value| Recorded {
        name: text(&item, "name"),
        server: text(&item, "server"),
        request: unhex(&text(&item, "request_hex")),
        response: unhex(&text(&item, "response_hex")),
        decoded: item["decoded"].clone(),
    };
    items.into_iter().map(read).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn our_server_answers_as_the_original_did() {
    // On the addresses of the recorded servers, which are part of names and answers.
    let ordinary = Cluster::start_with(|options| on("127.0.0.3", options)).await;
    let wide = Cluster::start_with(|mut options| {
        options.wide_addresses = true;
        on("127.0.0.5", options)
    })
    .await;
    let mut replay = Replay::new(&ordinary, &wide);
    replay.unrecorded_uploads(&ordinary, &wide).await;
    let played = tokio::task::spawn_blocking(move || replay.play()).await.unwrap();
    println!("{played} recorded exchanges played");
    assert_eq!(played, all().len() - NOT_PLAYED.len());
    assert_eq!(ordinary.unfinished() + wide.unfinished(), 0);
}

fn on(storage: &str, mut options: ServerOptions) -> ServerOptions {
    "127.0.0.2:0".clone_into(&mut options.tracker);
    options.storage = format!("{storage}:0");
    options
}

struct Replay {
    ordinary: [SocketAddr; 2],
    /// Answers with addresses as wide as IPv6 needs them.
    wide: [SocketAddr; 2],
    /// Recorded name to ours; longer ones are looked for first.
    names: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Replay {
    fn new(ordinary: &Cluster, wide: &Cluster) -> Self {
        let addresses = |at: &Cluster| [at.server.tracker_addr, at.server.storage_addr];
        Self { ordinary: addresses(ordinary), wide: addresses(wide), names: BTreeMap::new() }
    }

    /// Some recorded exchanges use files whose own uploads were not recorded. One of them lay in a trunk file; ours never do.
    async fn unrecorded_uploads(&mut self, ordinary: &Cluster, wide: &Cluster) {
        const APPENDER: &str = "M00/02/01/fwAAA2sABa-ET1JIAAAAAMRYHyQ672.txt";
        const IN_TRUNK: &str = "M00/00/00/fwAABWsAA2yIO2RMAAAADcRYHyQAAAAAQAAAAAAAAEA546.txt";
        let appender = ordinary.client.upload_appender(b"hello fastdfs", &ext("txt")).await.unwrap();
        let normal = wide.client.upload(b"hello fastdfs", &ext("txt")).await.unwrap();
        self.names.insert(APPENDER.into(), appender.name.as_str().into());
        self.names.insert(IN_TRUNK.into(), normal.name.as_str().into());
    }

    fn play(mut self) -> usize {
        let items = all().into_iter().filter(|item| !NOT_PLAYED.contains(&item.name.as_str()));
        items.map(|item| self.play_one(&item)).count()
    }

    fn addresses(&self, item: &Recorded) -> [SocketAddr; 2] {
        if item.name.starts_with("ipv6size_") || item.name.starts_with("trunk_") { self.wide } else { self.ordinary }
    }

    fn play_one(&mut self, item: &Recorded) {
        let [tracker, storage] = self.addresses(item);
        let address = if item.server == "tracker" { tracker } else { storage };
        let request = self.ours(&item.request);
        let mut stream = TcpStream::connect(address).unwrap();
        // A server that stays silent where the original answered fails the test and does not hang it.
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(&request).unwrap();
        if item.response.is_empty() {
            return self.expect_silence(item, stream);
        }
        let (header, body) = answer(&mut stream);
        let expected = Header::decode(item.response.first_chunk().unwrap()).unwrap();
        assert_eq!((header.command, header.status), (expected.command, expected.status), "{}", item.name);
        match OURS_IS_BETTER.iter().find(|(name, _)| *name == item.name) {
            Some((_, better)) => assert_eq!(body, *better, "{}", item.name),
            None => self.compare(item, &body),
        }
        self.learn(item, &body);
        if item.name == "pipelined_two_active_tests" {
            assert_eq!(answer(&mut stream).0, header, "the second request is answered too");
        }
        self.expect_fate(item, stream);
    }

    /// The request with our name in place of the recorded one, and with lengths that fit it.
    fn ours(&self, request: &[u8]) -> Vec<u8> {
        let mut names: Vec<_> = self.names.iter().collect();
        names.sort_by_key(|(recorded, _)| std::cmp::Reverse(recorded.len()));
        for (recorded, ours) in names {
            let Some(at) = request.windows(recorded.len()).position(|window| window == recorded.as_slice()) else {
                continue;
            };
            let mut request = [&request[..at], ours, &request[at + recorded.len()..]].concat();
            if recorded.len() != ours.len() {
                let body = (request.len() - HEADER_LEN) as u64;
                request[..8].copy_from_slice(&body.to_be_bytes());
                let name_length = (recorded.len() as u64).to_be_bytes();
                if request[HEADER_LEN..].starts_with(&name_length) {
                    request[HEADER_LEN..HEADER_LEN + 8].copy_from_slice(&(ours.len() as u64).to_be_bytes());
                }
            }
            return request;
        }
        request.to_vec()
    }

    fn learn(&mut self, item: &Recorded, body: &[u8]) {
        if let Some(recorded) = item.decoded["filename"].as_str() {
            self.names.insert(recorded.as_bytes().to_vec(), body[16..].to_vec());
        }
    }

    /// What can be the same is: lengths, content, metadata, sizes, checksums, addresses.
    fn compare(&self, item: &Recorded, body: &[u8]) {
        // Two requests in one segment were answered one after the other.
        let length = Header::decode(item.response.first_chunk().unwrap()).unwrap().length as usize;
        let recorded = &item.response[HEADER_LEN..HEADER_LEN + length];
        let name = item.name.as_str();
        let [tracker, storage] = self.addresses(item);
        if name == "get_metadata_long" {
            // Cut to the limits of the protocol, which the original forgets where metadata is overwritten.
            return assert_eq!(body, &recorded[..64 + 1 + 256], "{name}");
        }
        if name == "get_leader" {
            return assert_eq!(body, tracker.to_string().as_bytes(), "{name}");
        }
        if item.decoded["filename"].is_string() {
            return self.compare_name(item, body);
        }
        assert_eq!(body.len(), recorded.len(), "{name}");
        match item.request[8] {
            _ if body.is_empty() => {}
            14 | 15 => assert_eq!(body, recorded, "{name}: content"),
            22 => {
                // The original takes the CRC of a slave with a short name from that name; so do we.
                assert_eq!((&body[..8], &body[16..]), (&recorded[..8], &recorded[16..]), "{name}: size, crc, source");
            }
            101..=107 => {
                // 23000 is 0x59d8; behind it there is at most the store path.
                let port = recorded.iter().rposition(|byte| *byte == 0xd8).unwrap() - 7;
                assert_eq!(body[..port], recorded[..port], "{name}: group, address");
                assert_eq!(body[port..port + 8], u64::from(storage.port()).to_be_bytes(), "{name}: port");
                assert_eq!(body[port + 8..], recorded[port + 8..], "{name}: store path");
            }
            90 | 91 => assert_eq!(stable_of_group(body), stable_of_group(recorded), "{name}"),
            92 => assert_eq!(stable_of_storage(body), stable_of_storage(recorded), "{name}"),
            _ => assert_eq!(body, recorded, "{name}"),
        }
    }

    fn compare_name(&self, item: &Recorded, body: &[u8]) {
        let name = str::from_utf8(&body[16..]).unwrap();
        let recorded = item.decoded["filename"].as_str().unwrap();
        let info = |name: &str| name.parse::<packhorse_fastdfs::FileName>().unwrap().info().unwrap();
        assert_eq!(body[..16], *b"group1\0\0\0\0\0\0\0\0\0\0");
        if item.name == "trunk_upload_slave" {
            return assert!(name.len() == recorded.len() - 16 && name.ends_with("_s.jpg"), "{name}");
        }
        assert_eq!(name.len(), recorded.len(), "{}", item.name);
        if item.name == "trunk_mode_upload_appender" {
            return assert_eq!(info(name).kind, info(recorded).kind);
        }
        // Behind the coded part, digits differ; a slave adds to a master that ends in three digits and `.txt`.
        let is_slave = item.name.contains("slave") && !item.name.starts_with("master");
        let tail = |name: &str| match is_slave {
            true => name[40..].to_owned(),
            false => name[37..].trim_start_matches(|c: char| c.is_ascii_digit()).to_owned(),
        };
        assert_eq!(tail(name), tail(recorded), "{}", item.name);
        assert_eq!((info(name).kind, info(name).source), (info(recorded).kind, info(recorded).source), "{}", item.name);
        if !is_slave {
            assert_eq!(info(name).crc32, info(recorded).crc32, "{}", item.name);
        }
    }

    /// Nothing comes, neither while the request is incomplete nor when the client gives up.
    fn expect_silence(&self, item: &Recorded, mut stream: TcpStream) {
        if item.decoded["connection_after"] == "open" {
            stream.shutdown(std::net::Shutdown::Write).unwrap();
        }
        let mut rest = Vec::new();
        // A reset is silence too.
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.is_empty(), "{}: {rest:?}", item.name);
    }

    fn expect_fate(&self, item: &Recorded, mut stream: TcpStream) {
        const PROBE: [u8; HEADER_LEN] = [0, 0, 0, 0, 0, 0, 0, 0, 111, 0];
        let probed = stream.write_all(&PROBE).and_then(|()| stream.read_exact(&mut [0; HEADER_LEN]));
        match item.decoded["connection_after"].as_str() {
            Some("open") => assert!(probed.is_ok(), "{} should stay open: {probed:?}", item.name),
            _ => assert!(probed.is_err(), "{} should be closed", item.name),
        }
    }
}

/// Name, counts, store paths; not the disk, the port and how many folders a level was set up to have.
fn stable_of_group(body: &[u8]) -> impl PartialEq + std::fmt::Debug {
    let groups = group_records(body).unwrap();
    groups
        .iter()
        .map(|group| (group.name, group.storages, group.readable, group.writable, group.paths))
        .collect::<Vec<_>>()
}

/// Status, id and address; not the disk, the port, times and what it did before.
fn stable_of_storage(body: &[u8]) -> impl PartialEq + std::fmt::Debug {
    let storages = storage_records(body).unwrap();
    storages.iter().map(|storage| (storage.status, storage.id.clone(), storage.address.clone())).collect::<Vec<_>>()
}

fn answer(stream: &mut TcpStream) -> (Header, Vec<u8>) {
    let mut header = [0; HEADER_LEN];
    stream.read_exact(&mut header).unwrap();
    let header = Header::decode(&header).unwrap();
    let mut body = vec![0; header.length as usize];
    stream.read_exact(&mut body).unwrap();
    (header, body)
}
