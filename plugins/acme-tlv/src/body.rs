//! Parts that several frames have: digests, texts, the description of a file.

use packhorse_codec::{Algorithm, Digest, Fault, File, Outcome, ReadError, Reader, Text, Verdict, Writer};

/// A size that is not known.
const UNKNOWN: u64 = u64::MAX;

/// Text of at most 255 bytes, its length before it; longer text is cut between characters.
pub(crate) fn write_text(text: &str, frame: &mut Writer) {
    let text = &text[..text.floor_char_boundary(255)];
    frame.u8(text.len() as u8);
    frame.slice(text.as_bytes());
}

pub(crate) fn read_text(what: &'static str, body: &mut Reader<'_>) -> Result<String, ReadError> {
    Ok(String::from_utf8_lossy(body.prefixed_u8(what)?).into_owned())
}

/// The digest that this protocol prefers: SHA-256, else MD5, else none.
pub(crate) fn best(digests: &[Digest]) -> Option<&Digest> {
    let find =
        |algorithm, length| digests.iter().find(|digest| digest.algorithm == algorithm && digest.value.len() == length);
    find(Algorithm::Sha256, 32).or_else(|| find(Algorithm::Md5, 16))
}

pub(crate) fn write_digest(digest: Option<&Digest>, frame: &mut Writer) {
    match digest {
        None => frame.u8(0),
        Some(digest) => {
            frame.u8(if digest.algorithm == Algorithm::Md5 { 1 } else { 2 });
            frame.slice(&digest.value);
        }
    }
}

pub(crate) fn read_digest(body: &mut Reader<'_>) -> Result<Option<Digest>, Fault> {
    match body.u8("digest algorithm")? {
        0 => Ok(None),
        1 => Ok(Some(Digest::new(Algorithm::Md5, body.array::<16>("MD5")?))),
        2 => Ok(Some(Digest::new(Algorithm::Sha256, body.array::<32>("SHA-256")?))),
        other => Err(Fault::malformed(format!("digest algorithm {other} is not known"))),
    }
}

pub(crate) fn write_size(size: Option<u64>, frame: &mut Writer) {
    frame.u64_be(size.unwrap_or(UNKNOWN));
}

pub(crate) fn read_size(what: &'static str, body: &mut Reader<'_>) -> Result<Option<u64>, ReadError> {
    Ok(Some(body.u64_be(what)?).filter(|size| *size != UNKNOWN))
}

/// Size, digest, name, then what is known besides as tag, length and value.
pub(crate) fn write_file(file: &File, frame: &mut Writer) {
    write_size(file.size, frame);
    write_digest(best(&file.digests), frame);
    write_text(&file.name, frame);
    for (tag, key) in (1u8..).zip(META) {
        if let Some(value) = file.meta(key) {
            frame.u8(tag);
            write_text(value, frame);
        }
    }
}

pub(crate) fn read_file(body: &mut Reader<'_>) -> Result<File, Fault> {
    let size = read_size("size", body)?;
    let digests = read_digest(body)?.into_iter().collect();
    let name = read_text("name", body)?;
    let mut meta = Vec::new();
    while body.left() > 0 {
        let tag = body.u8("field tag")?;
        let value = read_text("field", body)?;
        // A tag of a later revision is stepped over.
        if let Some(key) = META.get(usize::from(tag).wrapping_sub(1)) {
            meta.push(((*key).to_owned(), value));
        }
    }
    Ok(File { name, size, digests, meta })
}

/// By tag, from 1.
const META: [&str; 4] = ["module", "title", "type", "version"];

const VERDICTS: [Verdict; 7] = [
    Verdict::Good,
    Verdict::BadDigest,
    Verdict::BadSize,
    Verdict::Refused,
    Verdict::Cancelled,
    Verdict::DeviceFull,
    Verdict::Failed,
];

pub(crate) fn write_words(text: &Text, frame: &mut Writer) {
    write_text(&text.code, frame);
    write_text(&text.message, frame);
}

pub(crate) fn read_words(body: &mut Reader<'_>) -> Result<Text, ReadError> {
    Ok(Text { code: read_text("code", body)?, message: read_text("message", body)? })
}

pub(crate) fn write_outcome(outcome: &Outcome, frame: &mut Writer) {
    let at = VERDICTS.iter().position(|verdict| *verdict == outcome.verdict).unwrap_or(VERDICTS.len() - 1);
    frame.u8(at as u8);
    write_words(&outcome.text, frame);
}

pub(crate) fn read_outcome(body: &mut Reader<'_>) -> Result<Outcome, Fault> {
    let verdict = usize::from(body.u8("verdict")?);
    let verdict = *VERDICTS.get(verdict).ok_or_else(|| Fault::malformed(format!("verdict {verdict} is not known")))?;
    Ok(Outcome { verdict, text: read_words(body)? })
}

/// A short name for one version of a file, so that pieces of two versions are not mixed: the first bytes of its digest.
pub(crate) fn version(digests: &[Digest]) -> u32 {
    let first = best(digests).and_then(|digest| digest.value.first_chunk::<4>());
    first.map_or(0, |bytes| u32::from_be_bytes(*bytes))
}
