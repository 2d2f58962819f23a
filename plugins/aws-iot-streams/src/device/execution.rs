//! Reads the execution of a job: its document, and the file that it is about.

use packhorse_codec::json::{Value, members};
use packhorse_codec::{Algorithm, Digest, Fault, File, Reader, Tag, Writer, hex};

use crate::describe::SIGNATURES;
use crate::job::Status;
use crate::state::{plain, restore_text, save_text};

/// What stands before an MD5 in the name of a stream.
const NAME_PREFIX: &str = "AFR_OTA-";
const NAME_MOST: usize = 128;

/// The job that this device is at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Work {
    pub(super) job: String,
    pub(super) stream: String,
    pub(super) file_id: u8,
    pub(super) size: u64,
    /// It was reported to be in progress.
    pub(super) started: bool,
    /// It was reported how it ended.
    pub(super) told: bool,
}

/// What is next, as a notice or as the answer to a question of ours.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) tag: Tag,
    pub(super) execution: Option<(Work, File)>,
}

impl Answer {
    pub(super) fn read(payload: &[u8]) -> Result<Self, Fault> {
        let (mut tag, mut execution) = (0, None);
        let mut all = members(payload)?;
        while let Some((key, value)) = all.member()? {
            match value {
                Value::Object(text) if key.is("execution") => execution = read_execution(text)?,
                _ if key.is("clientToken") => tag = value.u64().unwrap_or_default(),
                _ => {}
            }
        }
        Ok(Self { tag, execution })
    }
}

/// `None` for an empty one, and for one that is over.
fn read_execution(text: &[u8]) -> Result<Option<(Work, File)>, Fault> {
    let (mut job, mut status, mut document) = (String::new(), None, None);
    let mut all = members(text)?;
    while let Some((key, value)) = all.member()? {
        match &*key.bytes() {
            b"jobId" => plain("jobId", &value.text().unwrap_or_default(), NAME_MOST)?.clone_into(&mut job),
            b"status" => status = Status::named(&value.text().unwrap_or_default()),
            b"jobDocument" => document = Some(value),
            _ => {}
        }
    }
    if job.is_empty() || status.is_some_and(Status::is_final) {
        return Ok(None);
    }
    let Some(Value::Object(document)) = document else { return Err(Fault::NotMine) };
    let (stream, file) = read_document(document)?;
    let (file_id, file) = read_file(file, &stream)?;
    let size = file.size.unwrap_or_default();
    let started = status == Some(Status::InProgress);
    Ok(Some((Work { job, stream, file_id, size, started, told: false }, file)))
}

/// The stream, and the text of the first file. Another kind of job is not for this agent.
fn read_document(text: &[u8]) -> Result<(String, &[u8]), Fault> {
    let (mut stream, mut file) = (String::new(), None);
    let mut all = members(text)?;
    while let Some((key, value)) = all.member()? {
        let Value::Object(ota) = value else { continue };
        if !key.is("afr_ota") {
            continue;
        }
        let mut inner = members(ota)?;
        while let Some((key, value)) = inner.member()? {
            if key.is("streamname") {
                plain("streamname", &value.text().unwrap_or_default(), NAME_MOST)?.clone_into(&mut stream);
            } else if key.is("files")
                && let Some(Value::Object(first)) = value.items().next().transpose()?
            {
                file = Some(first);
            }
        }
    }
    let file = file.filter(|_| !stream.is_empty()).ok_or(Fault::NotMine)?;
    Ok((stream, file))
}

fn read_file(text: &[u8], stream: &str) -> Result<(u8, File), Fault> {
    let mut file = File { digests: digest_in(stream).into_iter().collect(), ..File::unknown() };
    let mut file_id = 0;
    let mut all = members(text)?;
    while let Some((key, value)) = all.member()? {
        let key = key.text();
        let text = || value.text().filter(|text| !text.is_empty()).map(|text| text.into_owned());
        match &*key {
            "filepath" => file.name = text().unwrap_or_default(),
            "filesize" => file.size = value.u64(),
            "fileid" => file_id = value.u64().and_then(|id| u8::try_from(id).ok()).unwrap_or_default(),
            "certfile" => file.meta.extend(text().map(|text| ("certificate".to_owned(), text))),
            kind if SIGNATURES.split('|').any(|known| known == kind) => {
                file.meta.extend(text().map(|text| ("signature".to_owned(), text)));
            }
            _ => {}
        }
    }
    file.size.ok_or_else(|| Fault::malformed("filesize is missing"))?;
    Ok((file_id, file))
}

/// Streams of this codec's platform are named after the MD5 of their file: the document itself has no digest.
fn digest_in(stream: &str) -> Option<Digest> {
    let digits = stream.strip_prefix(NAME_PREFIX)?;
    let md5 = hex::decode_array::<16>(digits.as_bytes()).ok()?;
    Some(Digest::new(Algorithm::Md5, md5))
}

impl Work {
    pub(super) fn save(&self, state: &mut Writer) {
        save_text(state, &self.job);
        save_text(state, &self.stream);
        state.u8(self.file_id);
        state.u64_be(self.size);
        state.u8(u8::from(self.started) | u8::from(self.told) << 1);
    }

    pub(super) fn restore(state: &mut Reader<'_>) -> Result<Self, Fault> {
        let (job, stream) = (restore_text(state, "job")?, restore_text(state, "stream")?);
        let (file_id, size, flags) = (state.u8("file")?, state.u64_be("size")?, state.u8("flags")?);
        Ok(Self { job, stream, file_id, size, started: flags & 1 != 0, told: flags & 2 != 0 })
    }
}
