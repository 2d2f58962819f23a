//! The client against the real server, with the connection cut at every byte of a request and of its answer.

use packhorse_fastdfs::{
    Client, ClientError,
    client::Sent,
    wire::{HEADER_LEN, SlavePrefix, Status},
};

use crate::{
    cluster::{Cluster, bytes, ext},
    peers::{Cut, client_of_storage, cutting},
};

/// `group[16]` and a normal name.
const STORED: usize = HEADER_LEN + 16 + 44;
const NAME: usize = 44;
/// More than the system takes before anybody reads.
const LARGE: usize = 32 << 20;

impl Cluster {
    /// A client whose first connections to the storage are cut.
    async fn cut_at(&self, cuts: &[Cut]) -> Client {
        client_of_storage(cutting(self.server.storage_addr, cuts.to_vec()).await).await
    }
}

/// Every place where a request of so many bytes, or its answer, can be cut. At the last place of the request it is whole.
fn cuts(request: usize, answer: usize) -> impl Iterator<Item = Cut> {
    (0..=request as u64).map(Cut::Request).chain((0..answer).map(Cut::Answer))
}

fn went_out_whole(cut: Cut, request: usize) -> bool {
    !matches!(cut, Cut::Request(count) if count < request as u64)
}

#[tokio::test]
async fn an_append_is_applied_once_wherever_it_is_cut() {
    let at = Cluster::start().await;
    let file = at.client.upload_appender(b"begin", &ext("log")).await.unwrap();
    let mut expected = b"begin".to_vec();
    let mut count = 0;
    for cut in cuts(HEADER_LEN + 16 + NAME + 20, HEADER_LEN) {
        let content = bytes(20 + count)[count..].to_vec();
        let client = at.cut_at(&[cut]).await;
        let size = client.append_at(&file, expected.len() as u64, &content).await.unwrap();
        expected.extend_from_slice(&content);
        assert_eq!(size, expected.len() as u64, "{cut:?}");
        assert!(at.client.download(&file, 0, 0, 1 << 20).await.unwrap() == expected, "{cut:?}");
        count += 1;
    }
    assert_eq!(count, 101);
}

#[tokio::test]
async fn an_append_that_is_cut_again_and_again_is_applied_at_most_once() {
    let at = Cluster::start().await;
    let file = at.client.upload_appender(b"", &ext("log")).await.unwrap();
    // Its answer is lost, and what asks for the size is cut too: nobody can know, until somebody asks again.
    let client = at.cut_at(&[Cut::Answer(0), Cut::Request(3), Cut::Answer(5), Cut::Request(0)]).await;
    let error = client.append_at(&file, 0, b"once").await.unwrap_err();
    assert!(error.is_outcome_unknown() && !error.is_safe_to_repeat(), "{error}");
    assert_eq!(at.client.download(&file, 0, 0, 10).await.unwrap(), b"once"[..]);
    // Cut before it is whole, more often than it is tried: certainly not done.
    let client = at.cut_at(&[10, 200, 40, 200].map(Cut::Request)).await;
    let mut long = vec![b'x'; LARGE];
    let error = client.append_at(&file, 4, &long).await.unwrap_err();
    assert!(!error.is_outcome_unknown(), "{error}");
    assert_eq!(at.client.file_size(&file).await.unwrap(), 4);
    // From a reader it cannot be sent twice, but what arrived is noticed.
    long.truncate(1000);
    let request = (HEADER_LEN + 16 + NAME + 1000) as u64;
    let size_asked = (HEADER_LEN + 16 + NAME) as u64;
    for (cut, done) in [(size_asked + request, true), (size_asked + request - 1, false)] {
        let size = at.client.file_size(&file).await.unwrap();
        let appended = at.cut_at(&[Cut::Request(cut)]).await.append_reader(&file, &mut &long[..], 1000).await;
        assert_eq!(appended.is_ok(), done, "{appended:?}");
        assert_eq!(at.client.file_size(&file).await.unwrap(), if done { size + 1000 } else { size });
    }
}

#[tokio::test]
async fn somebody_elses_append_is_never_taken_for_ours() {
    let at = Cluster::start().await;
    let file = at.client.upload_appender(b"0123", &ext("log")).await.unwrap();
    at.client.append(&file, b"theirs").await.unwrap();
    for (ours, expected) in [(&b"oursss"[..], 10), (b"our", 7), (b"longer than theirs", 22)] {
        // The caller thinks that it has 4 bytes. Ours was cut off; theirs stand there, as long as ours, longer, or shorter.
        let client = at.cut_at(&[Cut::Request(20)]).await;
        let error = client.append_at(&file, 4, ours).await.unwrap_err();
        assert!(matches!(error, ClientError::Changed { expected: e, found: 10, .. } if e == expected), "{error}");
        assert_eq!(at.client.download(&file, 0, 0, 100).await.unwrap(), b"0123theirs"[..]);
    }
}

#[tokio::test]
async fn an_upload_is_never_done_twice_and_never_wrongly_called_done() {
    let at = Cluster::start().await;
    let content = bytes(20);
    let request = HEADER_LEN + 15 + 20;
    let mut files = 0;
    for cut in cuts(request, STORED) {
        // So small a request is with the system at once: where it is cut later, the client cannot know.
        let error = at.cut_at(&[cut]).await.upload(&content, &ext("bin")).await.unwrap_err();
        assert!(matches!(&error, ClientError::Broken { sent: Sent::Whole, .. }), "{cut:?}: {error}");
        assert!(error.is_outcome_unknown() && !error.is_safe_to_repeat(), "{cut:?}: {error}");
        files += usize::from(went_out_whole(cut, request));
        assert_eq!(at.files().len(), files, "{cut:?}");
    }
    assert_eq!(files, 1 + STORED);
}

#[tokio::test]
async fn a_reader_is_sent_once_and_a_file_from_its_beginning_again() {
    let at = Cluster::start().await;
    let content = bytes(LARGE);
    let path = at.folder.path().join("source");
    std::fs::write(&path, &content).unwrap();
    let client = at.cut_at(&[Cut::Request(0), Cut::Request(700_000)]).await;
    let file = client.upload_file(&path, &ext("bin")).await.unwrap();
    assert!(at.client.download(&file, 0, 0, LARGE).await.unwrap() == content);
    let client = at.cut_at(&[Cut::Request(700_000)]).await;
    let error = client.upload_reader(&mut &content[..], LARGE as u64, &ext("bin")).await.unwrap_err();
    assert!(matches!(error, ClientError::Broken { sent: Sent::Partly, .. }), "{error}");
    assert!(error.is_safe_to_repeat() && !error.is_outcome_unknown());
    assert_eq!(at.files().len(), 1);
}

#[tokio::test]
async fn a_slave_is_made_once_wherever_it_is_cut() {
    let at = Cluster::start().await;
    let master = at.client.upload(b"master", &ext("jpg")).await.unwrap();
    let content = bytes(20);
    let slave_name = master.to_string().replace(".jpg", "_small_00.jpg").len() - "group1/".len();
    for (count, cut) in cuts(HEADER_LEN + 38 + NAME + 20, HEADER_LEN + 16 + slave_name).enumerate() {
        let prefix: SlavePrefix = format!("_small_{count:02x}").parse().unwrap();
        let slave = at.cut_at(&[cut]).await.upload_slave(&master, &prefix, &ext("jpg"), &content).await;
        let slave = slave.unwrap_or_else(|error| panic!("{cut:?}: {error}"));
        assert_eq!(slave.to_string(), master.to_string().replace(".jpg", &format!("{prefix}.jpg")));
        assert_eq!(at.client.download(&slave, 0, 0, 100).await.unwrap(), content, "{cut:?}");
        assert_eq!(at.files().len(), count + 2);
    }
}

#[tokio::test]
async fn a_slave_with_other_content_is_not_taken_for_ours() {
    let at = Cluster::start().await;
    let master = at.client.upload(b"master", &ext("jpg")).await.unwrap();
    for (prefix, extension) in [("_small", "jpg"), ("_s", "")] {
        let prefix: SlavePrefix = prefix.parse().unwrap();
        let theirs = at.client.upload_slave(&master, &prefix, &ext(extension), b"theirs").await.unwrap();
        // The refusal is lost: only what is there can tell.
        let client = at.cut_at(&[Cut::Answer(0)]).await;
        let error = client.upload_slave(&master, &prefix, &ext(extension), b"oursss").await.unwrap_err();
        assert!(matches!(&error, ClientError::Taken { name, .. } if *name == theirs.to_string()), "{error}");
        let client = at.cut_at(&[Cut::Answer(0)]).await;
        assert_eq!(client.upload_slave(&master, &prefix, &ext(extension), b"theirs").await.unwrap(), theirs);
    }
}

#[tokio::test]
async fn a_regenerated_name_is_right_or_said_to_be_lost() {
    let at = Cluster::start().await;
    let request = HEADER_LEN + NAME;
    for cut in cuts(request, STORED) {
        let file = at.client.upload_appender(b"content", &ext("log")).await.unwrap();
        match at.cut_at(&[cut]).await.regenerate(&file).await {
            Ok(normal) => {
                assert!(!went_out_whole(cut, request), "{cut:?}");
                assert_eq!(at.client.download(&normal, 0, 0, 100).await.unwrap(), b"content"[..]);
            }
            Err(error) => {
                assert!(matches!(error, ClientError::NameLost { .. }), "{cut:?}: {error}");
                assert!(went_out_whole(cut, request) && !error.is_safe_to_repeat());
            }
        }
    }
}

#[tokio::test]
async fn what_may_be_done_twice_succeeds_wherever_it_is_cut() {
    let at = Cluster::start().await;
    let file = at.client.upload_appender(b"content", &ext("log")).await.unwrap();
    for cut in cuts(HEADER_LEN + 24 + NAME + 3, HEADER_LEN) {
        let client = at.cut_at(&[cut]).await;
        client.modify(&file, 7, b"abc").await.unwrap();
        assert_eq!(at.client.download(&file, 0, 0, 100).await.unwrap(), b"contentabc"[..], "{cut:?}");
        at.cut_at(&[cut]).await.truncate(&file, 7).await.unwrap();
        assert_eq!(at.client.file_size(&file).await.unwrap(), 7, "{cut:?}");
        assert_eq!(at.cut_at(&[cut]).await.download(&file, 1, 3, 3).await.unwrap(), b"ont"[..], "{cut:?}");
        assert_eq!(at.cut_at(&[cut]).await.file_info(&file).await.unwrap().size, 7, "{cut:?}");
    }
}

#[tokio::test]
async fn a_deletion_succeeds_wherever_it_is_cut_and_fails_where_there_is_nothing() {
    let at = Cluster::start().await;
    for cut in cuts(HEADER_LEN + 16 + NAME, HEADER_LEN) {
        let file = at.client.upload(b"x", &ext("txt")).await.unwrap();
        at.cut_at(&[cut]).await.delete(&file).await.unwrap_or_else(|error| panic!("{cut:?}: {error}"));
        assert!(at.files().is_empty(), "{cut:?}");
        assert_eq!(at.client.delete(&file).await.unwrap_err().status(), Some(Status::NOT_FOUND));
    }
}
