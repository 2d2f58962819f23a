//! What the mirror says of a file, and when. Pure.

use packhorse_core::effect::TransferTask;
use packhorse_core::file::FileRef;
use packhorse_core::hex;
use packhorse_core::transfer::{Algorithm, Checkpoint};
use std::collections::BTreeMap;

/// What lies at a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Entry {
    /// Text.
    Text(String),
    /// A hash of offsets and paths; what is not named stays.
    Fields(BTreeMap<u64, String>),
}

/// A key with what lies there.
pub(in super::super) type Written = (String, Entry);

/// Under which a stored file is found.
pub(in super::super) fn upload_key(md5: &str) -> String {
    format!("file:md5:upload:{md5}")
}

/// The uri of a path that somebody wrote into the mirror.
pub(in super::super) fn uri_of(path: &str) -> String {
    format!("fastdfs:{path}")
}

/// A file lies in the file store: written when it was uploaded, and when the push of a stored file begins.
pub(in super::super) fn stored(file: &FileRef) -> Option<Written> {
    path(&file.uri).map(|path| (upload_key(&file.md5), Entry::Text(path)))
}

/// A transfer has got so far. Of a pull nothing is known by its MD5 until the device has told MD5 and size.
pub(in super::super) fn at_checkpoint(task: &TransferTask, checkpoint: &Checkpoint) -> Vec<Written> {
    let (md5, size) = match task {
        TransferTask::Push { file } => (file.md5.clone(), file.size),
        TransferTask::Pull { .. } => match (told(checkpoint), checkpoint.size) {
            (Some(md5), Some(size)) => (md5, size),
            _ => return Vec::new(),
        },
        TransferTask::Verify { .. } => return Vec::new(),
    };
    vec![split(&md5, checkpoint.done.covered(), size, checkpoint.packet_size)]
}

/// A transfer has ended well, with packets of this size.
pub(in super::super) fn at_end(file: &FileRef, packet_size: u32) -> Written {
    let total = packets(file.size, packet_size);
    (split_key(&file.md5), Entry::Text(format!("{total}/{total}")))
}

/// Where the bytes of a pulled file lie: one file, or one for each packet.
pub(in super::super) fn downloaded<'a>(
    md5: &str,
    packets: impl IntoIterator<Item = (u64, &'a str)>,
) -> Option<Written> {
    let fields: Option<BTreeMap<u64, String>> =
        packets.into_iter().map(|(offset, uri)| Some((offset, path(uri)?))).collect();
    let fields = fields.filter(|fields| !fields.is_empty())?;
    Some((format!("file:md5:download:{md5}"), Entry::Fields(fields)))
}

/// The packets of a file; an empty one is one packet.
pub(in super::super) fn packets(size: u64, packet_size: u32) -> u64 {
    size.div_ceil(u64::from(packet_size.max(1))).max(1)
}

fn split(md5: &str, done: u64, size: u64, packet_size: u32) -> Written {
    let total = packets(size, packet_size);
    // The last packet may be short; an empty one is done when the transfer is.
    let done = if done >= size && size > 0 { total } else { (done / u64::from(packet_size.max(1))).min(total - 1) };
    (split_key(md5), Entry::Text(format!("{done}/{total}")))
}

fn split_key(md5: &str) -> String {
    format!("file:md5:split:{md5}")
}

fn told(checkpoint: &Checkpoint) -> Option<String> {
    let md5 =
        checkpoint.digests.iter().find(|digest| digest.algorithm == Algorithm::Md5 && digest.value.len() == 16)?;
    Some(hex::encode(&md5.value))
}

/// The path that outside systems know: `group1/M00/…`.
fn path(uri: &str) -> Option<String> {
    uri.strip_prefix("fastdfs:").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use packhorse_core::effect::Layout;
    use packhorse_core::transfer::{CHECKPOINT_VERSION, Digest, Intervals, Span, Traffic};

    const MD5: &str = "d41d8cd98f00b204e9800998ecf8427e";

    fn file(uri: &str, size: u64) -> FileRef {
        let (md5, sha256, meta) = (MD5.to_owned(), "00".repeat(32), BTreeMap::new());
        FileRef { uri: uri.to_owned(), name: "fw.bin".to_owned(), size, md5, sha256, meta }
    }

    fn checkpoint(done: &[(u64, u64)], size: Option<u64>, md5: Option<&str>) -> Checkpoint {
        let mut held = Intervals::new();
        for (start, end) in done {
            held.insert(Span::new(*start, *end));
        }
        let digest = |text| Digest { algorithm: Algorithm::Md5, value: hex::decode(text).unwrap() };
        Checkpoint {
            version: CHECKPOINT_VERSION,
            done: held,
            sent: Intervals::new(),
            size,
            packet_size: 640,
            name: String::new(),
            digests: md5.into_iter().map(digest).collect(),
            upload_id: String::new(),
            resume_key: String::new(),
            traffic: Traffic::default(),
        }
    }

    fn text(written: &Written) -> (&str, &str) {
        match &written.1 {
            Entry::Text(text) => (&written.0, text),
            Entry::Fields(_) => panic!("a hash"),
        }
    }

    #[test]
    fn a_push_tells_its_packets_at_every_checkpoint() {
        let split = format!("file:md5:split:{MD5}");
        type Case = (&'static [(u64, u64)], u64, &'static str);
        let cases: [Case; 7] = [
            (&[], 28_800, "0/45"),
            (&[(0, 2_560)], 28_800, "4/45"),
            (&[(0, 2_559)], 28_800, "3/45"),
            (&[(0, 640), (6_400, 7_040)], 28_801, "2/46"),
            (&[(0, 28_800)], 28_801, "45/46"),
            (&[(0, 28_801)], 28_801, "46/46"),
            (&[], 0, "0/1"),
        ];
        for (done, size, says) in cases {
            let task = TransferTask::Push { file: file("fastdfs:group1/M00/00/00/x.bin", size) };
            let written = at_checkpoint(&task, &checkpoint(done, Some(size), None));
            assert_eq!(written.iter().map(text).collect::<Vec<_>>(), [(split.as_str(), says)]);
        }
        assert_eq!(text(&at_end(&file("x", 0), 640)), (split.as_str(), "1/1"));
        assert_eq!(text(&at_end(&file("x", 28_800), 640)), (split.as_str(), "45/45"));
    }

    #[test]
    fn a_pull_tells_nothing_before_the_device_told_md5_and_size() {
        let task = TransferTask::Pull { file_type: "syslog".to_owned(), name: None, layout: Layout::Whole };
        let done = [(0, 1_280)];
        assert!(at_checkpoint(&task, &checkpoint(&done, None, Some(MD5))).is_empty());
        assert!(at_checkpoint(&task, &checkpoint(&done, Some(6_400), None)).is_empty());
        let written = at_checkpoint(&task, &checkpoint(&done, Some(6_400), Some(MD5)));
        assert_eq!(text(&written[0]), (format!("file:md5:split:{MD5}").as_str(), "2/10"));
        let verify = TransferTask::Verify { file: file("x", 1) };
        assert!(at_checkpoint(&verify, &checkpoint(&done, Some(6_400), Some(MD5))).is_empty());
    }

    #[test]
    fn only_files_in_the_file_store_have_a_path() {
        let kept = stored(&file("fastdfs:group1/M00/00/00/x.bin", 5)).unwrap();
        assert_eq!(text(&kept), (format!("file:md5:upload:{MD5}").as_str(), "group1/M00/00/00/x.bin"));
        assert_eq!(uri_of(text(&kept).1), "fastdfs:group1/M00/00/00/x.bin");
        assert_eq!(stored(&file("file:/tmp/x", 5)), None);
        assert_eq!(stored(&file("packets:fastdfs:group1/M00/00/00/x.list", 5)), None);
    }

    #[test]
    fn pulled_files_are_a_hash_of_offsets() {
        let (key, entry) = downloaded(MD5, [(0, "fastdfs:group1/a"), (640, "fastdfs:group1/b")]).unwrap();
        assert_eq!(key, format!("file:md5:download:{MD5}"));
        let fields = BTreeMap::from([(0, "group1/a".to_owned()), (640, "group1/b".to_owned())]);
        assert_eq!(entry, Entry::Fields(fields));
        assert_eq!(downloaded(MD5, [(0, "memory:3")]), None);
        assert_eq!(downloaded(MD5, []), None);
    }
}
