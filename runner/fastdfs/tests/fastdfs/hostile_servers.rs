//! The client against servers that answer wrongly, for ever, not at all, or break off: errors, and never a wrong success.

use std::time::Duration;

use packhorse_fastdfs::{
    Client, ClientError, ClientOptions, FileId,
    wire::{
        AddressSize, Command, FetchTarget, FileInfo, GroupRecord, HEADER_LEN, Metadata, MetadataFlag, Status,
        StorageRecord, StoreTarget, stored,
    },
};

use crate::{
    cluster::ext,
    peers::{Ending, FILE, Peer, appender, file, ok, options_of},
};

const CONTENT: &[u8] = b"hello fastdfs";

#[derive(Clone, Copy, PartialEq, Debug)]
enum Kind {
    Upload,
    UploadAppender,
    UploadReader,
    Slave,
    Append,
    Modify,
    Truncate,
    Regenerate,
    Delete,
    SetMetadata,
    Metadata,
    FileInfo,
    Download,
    DownloadAppender,
    DownloadEach,
    StoreTarget,
    FetchTargets,
    Groups,
    Storages,
    Leader,
    ActiveTest,
}

const KINDS: [Kind; 21] = [
    Kind::Upload,
    Kind::UploadAppender,
    Kind::UploadReader,
    Kind::Slave,
    Kind::Append,
    Kind::Modify,
    Kind::Truncate,
    Kind::Regenerate,
    Kind::Delete,
    Kind::SetMetadata,
    Kind::Metadata,
    Kind::FileInfo,
    Kind::Download,
    Kind::DownloadAppender,
    Kind::DownloadEach,
    Kind::StoreTarget,
    Kind::FetchTargets,
    Kind::Groups,
    Kind::Storages,
    Kind::Leader,
    Kind::ActiveTest,
];

impl Kind {
    fn is_for_a_tracker(self) -> bool {
        matches!(self, Self::StoreTarget | Self::FetchTargets | Self::Groups | Self::Storages | Self::Leader)
    }

    /// Whether an answer that is longer or shorter by a byte can be told to be wrong. Where it cannot, the body means nothing, or
    /// anything that it may hold is right.
    fn has_one_length(self) -> bool {
        let body_means_nothing = [Self::Append, Self::Modify, Self::Truncate, Self::Delete, Self::SetMetadata];
        !body_means_nothing.contains(&self) && !matches!(self, Self::Metadata | Self::Leader | Self::DownloadAppender)
    }

    fn good_answer(self) -> Vec<u8> {
        let group = "group1".parse().unwrap();
        let addresses = ["127.0.0.1:1".parse().unwrap()];
        ok(&match self {
            Self::Upload | Self::UploadReader | Self::Regenerate => stored(&file()),
            Self::UploadAppender => stored(&appender()),
            Self::Slave => stored(&slave()),
            Self::Metadata => b"width\x02160\x01height\x0280".to_vec(),
            Self::FileInfo => FileInfo { size: 13, modified_unix: 1, crc32: 2, source: None }.encode(16),
            Self::Download | Self::DownloadAppender | Self::DownloadEach => CONTENT.to_vec(),
            Self::StoreTarget => StoreTarget::encode(&group, &addresses, 0, AddressSize::Ipv4),
            Self::FetchTargets => FetchTarget::encode(&group, &addresses, AddressSize::Ipv4),
            Self::Groups => group_record().encode(),
            Self::Storages => storage_record().encode(AddressSize::Ipv4),
            Self::Leader => b"127.0.0.1:22122".to_vec(),
            Self::Append | Self::Modify | Self::Truncate | Self::Delete | Self::SetMetadata | Self::ActiveTest => {
                Vec::new()
            }
        })
    }

    async fn done_by(self, client: &Client, peer: &Peer) -> Result<(), ClientError> {
        let (file, appender) = (file(), appender());
        match self {
            Self::Upload => client.upload(CONTENT, &ext("txt")).await.map(drop),
            Self::UploadAppender => client.upload_appender(CONTENT, &ext("log")).await.map(drop),
            Self::UploadReader => client.upload_reader(&mut &*CONTENT, 13, &ext("txt")).await.map(drop),
            Self::Slave => client.upload_slave(&file, &"_small".parse().unwrap(), &ext("txt"), CONTENT).await.map(drop),
            Self::Append => client.append_at(&appender, 0, CONTENT).await.map(drop),
            Self::Modify => client.modify(&appender, 0, CONTENT).await,
            Self::Truncate => client.truncate(&appender, 5).await,
            Self::Regenerate => client.regenerate(&appender).await.map(drop),
            Self::Delete => client.delete(&file).await,
            Self::SetMetadata => client.set_metadata(&file, &Metadata::default(), MetadataFlag::Overwrite).await,
            Self::Metadata => client.metadata(&file).await.map(drop),
            Self::FileInfo => client.file_info(&file).await.map(drop),
            Self::Download => client.download(&file, 0, 0, 1 << 20).await.map(drop),
            Self::DownloadAppender => client.download(&appender, 0, 13, 1 << 20).await.map(drop),
            Self::DownloadEach => client.download_each(&file, 0, 0, |_| Ok(())).await.map(drop),
            Self::StoreTarget => client.store_target().await.map(drop),
            Self::FetchTargets => client.fetch_targets(&file).await.map(drop),
            Self::Groups => client.groups().await.map(drop),
            Self::Storages => client.storages(&file.group).await.map(drop),
            Self::Leader => client.leader().await.map(drop),
            Self::ActiveTest => client.active_test(peer.address).await,
        }
    }

    /// A client that asks this peer, and repeats nothing.
    async fn client_of(self, peer: &Peer) -> Client {
        let mut options = match self.is_for_a_tracker() {
            true => ClientOptions::new([peer.address.to_string()]),
            false => options_of(peer.address).await,
        };
        options.tries = 1;
        options.pause = Duration::from_millis(1);
        (options.io_timeout, options.reading_timeout) = (Duration::from_secs(20), Duration::ZERO);
        Client::new(options)
    }
}

fn slave() -> FileId {
    FILE.replace(".txt", "_small.txt").parse().unwrap()
}

fn group_record() -> GroupRecord {
    GroupRecord { storages: 1, port: 23000, paths: 1, ..GroupRecord::new("group1".parse().unwrap()) }
}

fn storage_record() -> StorageRecord {
    let address = "127.0.0.1".to_owned();
    StorageRecord { status: 7, id: address.clone(), address, port: 23000, ..StorageRecord::default() }
}

/// The good answer with another length in its header.
fn with_length(answer: &[u8], length: i64) -> Vec<u8> {
    [&length.to_be_bytes(), &answer[8..]].concat()
}

#[tokio::test]
async fn good_answers_are_good() {
    for kind in KINDS {
        let peer = Peer::scripted(vec![kind.good_answer(); 2]).await;
        let client = kind.client_of(&peer).await;
        for _ in 0..2 {
            kind.done_by(&client, &peer).await.unwrap_or_else(|error| panic!("{kind:?}: {error}"));
        }
        assert_eq!((peer.requests().len(), peer.accepted()), (2, 1), "{kind:?}: the connection is kept");
    }
}

/// What is done with a bad answer is an error, and the connection that brought it is not used again.
async fn refuse(kind: Kind, answer: &[u8], ending: Ending, what: &str) -> ClientError {
    let peer = Peer::ending(vec![answer.to_vec()], ending).await;
    let client = kind.client_of(&peer).await;
    let error = kind.done_by(&client, &peer).await.err().unwrap_or_else(|| panic!("{kind:?}: {what}"));
    assert!(!error.is_safe_to_repeat() || !error.is_outcome_unknown() || idempotent(kind), "{kind:?} {what}: {error}");
    error
}

fn idempotent(kind: Kind) -> bool {
    matches!(kind, Kind::Modify | Kind::Truncate | Kind::Delete | Kind::SetMetadata)
}

#[tokio::test]
async fn answers_that_break_off_at_any_byte_are_errors() {
    let mut cuts = 0;
    for kind in KINDS {
        let answer = kind.good_answer();
        for cut in 0..answer.len() {
            for ending in [Ending::Close, Ending::Reset] {
                let error = refuse(kind, &answer[..cut], ending, &format!("cut at {cut}")).await;
                assert!(matches!(error, ClientError::Broken { .. }), "{kind:?} cut at {cut}: {error}");
                cuts += 1;
            }
        }
    }
    assert!(cuts > 2000, "{cuts}");
}

#[tokio::test]
async fn wrong_headers_are_errors() {
    for kind in KINDS {
        let good = kind.good_answer();
        let length = (good.len() - HEADER_LEN) as i64;
        let mut other_command = good.clone();
        other_command[8] = 99;
        let asked = [&good[..8], &[Command::UPLOAD.0, 0], &good[HEADER_LEN..]].concat();
        let refused = [&good[..9], &[28], &good[HEADER_LEN..]].concat();
        for (answer, what) in [
            (other_command, "command 99"),
            (asked, "the request's command"),
            (with_length(&good, -1), "a negative length"),
            (with_length(&good, i64::MIN), "the smallest length"),
            (with_length(&good, 1 << 62), "a length of 2^62"),
            (with_length(&good, i64::MAX), "the largest length"),
            (with_length(&good, length + 1), "one byte more than comes"),
            (refused, "a status with a body"),
        ] {
            refuse(kind, &answer, Ending::Close, what).await;
        }
    }
}

#[tokio::test]
async fn bodies_of_wrong_lengths_are_errors() {
    for kind in KINDS.into_iter().filter(|kind| kind.has_one_length()) {
        let good = kind.good_answer();
        let length = (good.len() - HEADER_LEN) as i64;
        let longer = with_length(&[&good[..], b"0"].concat(), length + 1);
        let error = refuse(kind, &longer, Ending::Close, "one byte more").await;
        assert!(!error.is_transient(), "{kind:?}: {error}");
        if length > 0 {
            let shorter = with_length(&good[..good.len() - 1], length - 1);
            let error = refuse(kind, &shorter, Ending::Close, "one byte less").await;
            assert!(!error.is_transient(), "{kind:?}: {error}");
            // There may be no groups, and no storages in one.
            if !matches!(kind, Kind::Groups | Kind::Storages) {
                refuse(kind, &ok(&[]), Ending::Close, "nothing").await;
            }
        }
    }
    // Of an appender nobody knows how much there is, but no more may come than was asked for.
    let longer = ok(b"hello fastdfs!");
    refuse(Kind::DownloadAppender, &longer, Ending::Close, "one byte more").await;
}

#[tokio::test]
async fn bodies_without_end_are_refused_at_once() {
    for kind in KINDS {
        let good = kind.good_answer();
        for length in [i64::MAX, 1 << 62, 1 << 32, 2 << 20] {
            // Were it read, the length above would never come in the time that a test has.
            let error = refuse(kind, &with_length(&good, length), Ending::Endless, "a body without end").await;
            assert!(!error.is_transient(), "{kind:?}: {error}");
        }
    }
}

#[tokio::test]
async fn silence_is_given_up_at_any_byte() {
    for kind in KINDS {
        let good = kind.good_answer();
        for said in [0, 1, 9, good.len() - 1] {
            let peer = Peer::ending(vec![good[..said].to_vec()], Ending::Silence).await;
            let mut options = match kind.is_for_a_tracker() {
                true => ClientOptions::new([peer.address.to_string()]),
                false => options_of(peer.address).await,
            };
            (options.tries, options.pause) = (1, Duration::from_millis(1));
            (options.io_timeout, options.reading_timeout) = (Duration::from_millis(40), Duration::from_millis(10));
            let error = kind.done_by(&Client::new(options), &peer).await.unwrap_err();
            assert!(matches!(error, ClientError::TimedOut { .. }), "{kind:?} after {said}: {error}");
        }
    }
}

#[tokio::test]
async fn a_connection_with_something_left_in_it_is_not_used_again() {
    for kind in KINDS {
        let good = kind.good_answer();
        let more_than_said = [&good[..], b"junk"].concat();
        let peer = Peer::ending(vec![more_than_said, good.clone()], Ending::Silence).await;
        let client = kind.client_of(&peer).await;
        // What was said is right; what follows would be taken for the next answer.
        kind.done_by(&client, &peer).await.unwrap_or_else(|error| panic!("{kind:?}: {error}"));
        kind.done_by(&client, &peer).await.unwrap_or_else(|error| panic!("{kind:?}: {error}"));
        assert_eq!((peer.requests().len(), peer.accepted()), (2, 2), "{kind:?}");
    }
}

#[tokio::test]
async fn after_a_refusal_only_a_connection_that_is_good_is_used_again() {
    for kind in KINDS {
        let refused = crate::peers::refused(Status::NO_SPACE);
        let peer = Peer::scripted(vec![refused, kind.good_answer()]).await;
        let client = kind.client_of(&peer).await;
        let error = kind.done_by(&client, &peer).await.unwrap_err();
        assert_eq!(error.status(), Some(Status::NO_SPACE), "{kind:?}: {error}");
        kind.done_by(&client, &peer).await.unwrap_or_else(|error| panic!("{kind:?}: {error}"));
        // The server may not have read what came with these requests.
        let had_content =
            [Kind::Upload, Kind::UploadAppender, Kind::UploadReader, Kind::Slave, Kind::Append, Kind::Modify]
                .contains(&kind);
        assert_eq!(peer.accepted(), if had_content { 2 } else { 1 }, "{kind:?}");
    }
}
