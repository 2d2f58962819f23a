//! Traffic recorded from FastDFS 6.16.1, sent to our server: the same statuses, lengths and fates of the connection.
//!
//! Names differ on every run, so the names that our server gave stand in for the recorded ones.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use packhorse_fastdfs::wire::{HEADER_LEN, Header};
use serde_json::Value;

use crate::cluster::Cluster;

/// Recorded from a server that is set up as ours never is, or asking what no client needs.
const OTHER_SETUP: [&str; 3] = ["ipv6size_", "two_storages_", "trunk_"];
const NOT_SERVED: [&str; 4] =
    ["get_leader", "tracker_cluster_stat", "err_delete_group_unknown", "err_delete_storage_unknown"];
/// The original echoes the request where nothing was to be done, and gives garbage back for garbage metadata; ours does
/// neither. It also overlooks a second request in the same segment.
const OURS_IS_BETTER: [&str; 7] = [
    "get_metadata_long",
    "append_zero_bytes",
    "modify_zero_bytes",
    "truncate_same_size",
    "get_metadata_after_item_without_separator",
    "get_metadata_after_trailing_record_separator",
    "pipelined_two_active_tests",
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
    let at = Cluster::start().await;
    let (tracker, storage) = (at.server.tracker_addr, at.server.storage_addr);
    let (played, skipped) = tokio::task::spawn_blocking(move || Replay::new(tracker, storage).play()).await.unwrap();
    assert!(played >= 100, "only {played} were played");
    assert!(skipped <= 30, "{skipped} were left out");
    assert_eq!(at.unfinished(), 0);
}

struct Replay {
    tracker: SocketAddr,
    storage: SocketAddr,
    /// Recorded name to ours; longer ones are looked for first.
    names: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Replay {
    fn new(tracker: SocketAddr, storage: SocketAddr) -> Self {
        Self { tracker, storage, names: BTreeMap::new() }
    }

    fn play(mut self) -> (usize, usize) {
        let (mut played, mut skipped) = (0, 0);
        for item in all() {
            let other = OTHER_SETUP.iter().any(|prefix| item.name.starts_with(prefix));
            if other || NOT_SERVED.contains(&item.name.as_str()) || self.names_are_lost(&item) {
                skipped += 1;
                continue;
            }
            self.play_one(&item);
            played += 1;
        }
        (played, skipped)
    }

    /// A few items use files whose upload was not recorded.
    fn names_are_lost(&self, item: &Recorded) -> bool {
        item.name == "modify_zero_bytes"
    }

    fn play_one(&mut self, item: &Recorded) {
        let address = if item.server == "tracker" { self.tracker } else { self.storage };
        let request = self.ours(&self.with_our_address(&item.request));
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
        if !OURS_IS_BETTER.contains(&item.name.as_str()) {
            assert_eq!(header.length, expected.length, "{}", item.name);
            self.compare(item, &body);
        }
        self.learn(item, &body);
        self.expect_fate(item, stream);
    }

    fn ours(&self, request: &[u8]) -> Vec<u8> {
        let mut request = request.to_vec();
        let mut names: Vec<_> = self.names.iter().collect();
        names.sort_by_key(|(recorded, _)| std::cmp::Reverse(recorded.len()));
        for (recorded, ours) in names {
            if let Some(at) = request.windows(recorded.len()).position(|window| window == recorded.as_slice()) {
                request[at..at + recorded.len()].copy_from_slice(ours);
            }
        }
        request
    }

    /// Storages were known by 127.0.0.3; ours is on 127.0.0.1.
    fn with_our_address(&self, request: &[u8]) -> Vec<u8> {
        let (recorded, ours) = (b"127.0.0.3", b"127.0.0.1");
        let mut request = request.to_vec();
        if let Some(at) = request.windows(recorded.len()).position(|window| window == recorded) {
            request[at..at + ours.len()].copy_from_slice(ours);
        }
        request
    }

    fn learn(&mut self, item: &Recorded, body: &[u8]) {
        if let Some(recorded) = item.decoded["filename"].as_str() {
            self.names.insert(recorded.as_bytes().to_vec(), body[16..].to_vec());
        }
    }

    /// What can be the same is: content, metadata, sizes and checksums.
    fn compare(&self, item: &Recorded, body: &[u8]) {
        let recorded = &item.response[HEADER_LEN..];
        let name = item.name.as_str();
        match name {
            _ if name.starts_with("download_") || name.starts_with("get_metadata") => {
                assert_eq!(body, recorded, "{name}")
            }
            _ if name.starts_with("query_file_info") => {
                assert_eq!(body[..8], recorded[..8], "{name}: size");
                // The original takes the CRC of a slave with a short name from that name; so do we.
                assert_eq!(body[16..24], recorded[16..24], "{name}: crc");
                assert_eq!(&body[24..], b"127.0.0.1\0\0\0\0\0\0\0", "{name}: source");
            }
            _ if name.starts_with("query_store") || name.starts_with("query_fetch") || name == "query_update" => {
                assert_eq!(body[..16], recorded[..16], "{name}: group");
                assert_eq!(&body[16..31], b"127.0.0.1\0\0\0\0\0\0", "{name}: address");
                assert_eq!(body[31..39], u64::from(self.storage.port()).to_be_bytes(), "{name}: port");
                assert_eq!(body[39..], recorded[39..], "{name}: store path");
            }
            _ if item.decoded["filename"].is_string() => self.compare_name(item, body),
            _ => {}
        }
    }

    fn compare_name(&self, item: &Recorded, body: &[u8]) {
        let name = str::from_utf8(&body[16..]).unwrap();
        let recorded = item.decoded["filename"].as_str().unwrap();
        assert_eq!(body[..16], *b"group1\0\0\0\0\0\0\0\0\0\0");
        assert_eq!(name.len(), recorded.len(), "{}", item.name);
        // Behind the coded part, digits differ; a slave adds to a master that ends in three digits and `.txt`.
        let is_slave = item.name.contains("slave") && !item.name.starts_with("master");
        let tail = |name: &str| match is_slave {
            true => name[40..].to_owned(),
            false => name[37..].trim_start_matches(|c: char| c.is_ascii_digit()).to_owned(),
        };
        assert_eq!(tail(name), tail(recorded), "{}", item.name);
        let kind = |name: &str| name.parse::<packhorse_fastdfs::FileName>().unwrap().info().unwrap();
        assert_eq!(kind(name).kind, kind(recorded).kind, "{}", item.name);
        if !is_slave {
            assert_eq!(kind(name).crc32, kind(recorded).crc32, "{}", item.name);
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

fn answer(stream: &mut TcpStream) -> (Header, Vec<u8>) {
    let mut header = [0; HEADER_LEN];
    stream.read_exact(&mut header).unwrap();
    let header = Header::decode(&header).unwrap();
    let mut body = vec![0; header.length as usize];
    stream.read_exact(&mut body).unwrap();
    (header, body)
}
