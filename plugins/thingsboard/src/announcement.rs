//! The shared attributes that offer a file: written by the platform, read by the device.

use std::borrow::Cow;

use packhorse_codec::json::{Members, ObjectWriter, Str, Value, members};
use packhorse_codec::{Digest, Fault, File, Text, Transfer};

use crate::checksum;
use crate::describe::Kind;

/// What is offered. Empty text stands for a key that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Announcement {
    pub(crate) title: String,
    pub(crate) version: String,
    pub(crate) tag: String,
    /// Not told where `url` is.
    pub(crate) size: Option<u64>,
    pub(crate) checksum: Option<Digest>,
    pub(crate) url: String,
}

/// What an attributes message says of updates of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    Offered(Announcement),
    /// The attributes were deleted: there is nothing to install any more.
    Withdrawn,
    /// It speaks of something else, or of nothing.
    Nothing,
}

/// Digits of the checksum that stand for a version where the workflow gives none: another file is another version.
const VERSION_DIGITS: usize = 12;

impl Announcement {
    /// Of the file that a transfer pushes.
    pub(crate) fn of(transfer: &Transfer) -> Result<Self, Text> {
        let file = &transfer.file;
        let size = file.size.ok_or_else(|| Text::new("no-size", "the size of the file is not known"))?;
        let digest = checksum::choose(file, transfer.var("checksum").unwrap_or("auto"))?;
        let digits = checksum::write(&digest).map(|(_, digits)| digits).unwrap_or_default();
        let given = |key| file.meta(key).map(str::trim).filter(|value| !value.is_empty());
        let name = Some(file.name.trim()).filter(|name| !name.is_empty());
        Ok(Self {
            title: given("title").or(name).unwrap_or_else(|| Kind::of(transfer).name()).to_owned(),
            version: given("version").or_else(|| digits.get(..VERSION_DIGITS)).unwrap_or(&digits).to_owned(),
            tag: given("tag").unwrap_or_default().to_owned(),
            size: Some(size),
            checksum: Some(digest),
            url: String::new(),
        })
    }

    /// All keys in one message: clients forget what an attributes message does not name. A file that lies elsewhere has no size.
    pub(crate) fn message(&self, kind: Kind, url: &str) -> Vec<u8> {
        let mut object = ObjectWriter::with_capacity(320);
        object.string(&kind.key("title"), &self.title);
        object.string(&kind.key("version"), &self.version);
        if !self.tag.is_empty() {
            object.string(&kind.key("tag"), &self.tag);
        }
        match self.size.filter(|_| url.is_empty()) {
            Some(size) => object.number(&kind.key("size"), size),
            None => object.string(&kind.key("url"), url),
        }
        if let Some((name, digits)) = self.checksum.as_ref().and_then(checksum::write) {
            object.string(&kind.key("checksum_algorithm"), name);
            object.string(&kind.key("checksum"), &digits);
        }
        exact(object.finish())
    }

    /// The same as the answer to a request.
    pub(crate) fn answer(&self, kind: Kind, url: &str) -> Vec<u8> {
        let shared = self.message(kind, url);
        let mut object = ObjectWriter::with_capacity(shared.len() + 12);
        object.raw("shared", &String::from_utf8_lossy(&shared));
        exact(object.finish())
    }

    /// As the contract's file.
    pub(crate) fn file(&self) -> File {
        let meta = [("title", &self.title), ("version", &self.version), ("tag", &self.tag)];
        let meta = meta.into_iter().filter(|(_, value)| !value.is_empty());
        File {
            name: self.title.clone(),
            size: self.size,
            digests: self.checksum.iter().cloned().collect(),
            meta: meta.map(|(key, value)| (key.to_owned(), value.clone())).collect(),
        }
    }
}

/// Reads attributes that were pushed, or the answer to a request for them.
pub(crate) fn read(kind: Kind, payload: &[u8]) -> Result<Heard, Fault> {
    let mut keys = Keys::default();
    let mut withdrawn = false;
    let mut all = members(payload)?;
    while let Some((key, value)) = all.member()? {
        match value {
            Value::Object(shared) if key.is("shared") => keys.read(kind, members(shared)?)?,
            Value::Array(_) if key.is("deleted") => withdrawn |= deleted(kind, &value),
            _ => keys.take(kind, key, value)?,
        }
    }
    match (keys.title.is_empty() && keys.version.is_empty(), withdrawn) {
        (false, _) => keys.announcement().map(Heard::Offered),
        (true, true) => Ok(Heard::Withdrawn),
        (true, false) => Ok(Heard::Nothing),
    }
}

fn deleted(kind: Kind, keys: &Value<'_>) -> bool {
    let meant = [kind.key("title"), kind.key("version")];
    keys.items().flatten().filter_map(|key| key.text()).any(|key| meant.contains(&key.into_owned()))
}

#[derive(Default)]
struct Keys<'a> {
    title: Cow<'a, str>,
    version: Cow<'a, str>,
    tag: Cow<'a, str>,
    url: Cow<'a, str>,
    algorithm: Cow<'a, str>,
    checksum: Cow<'a, str>,
    size: Option<u64>,
}

impl<'a> Keys<'a> {
    fn read(&mut self, kind: Kind, mut shared: Members<'a>) -> Result<(), Fault> {
        while let Some((key, value)) = shared.member()? {
            self.take(kind, key, value)?;
        }
        Ok(())
    }

    /// Numbers may stand in quotation marks, and versions without them; `null` is as good as no key.
    fn take(&mut self, kind: Kind, key: Str<'a>, value: Value<'a>) -> Result<(), Fault> {
        let key = key.text();
        let Some(name) = key.strip_prefix(kind.prefix()).filter(|_| value != Value::Null) else { return Ok(()) };
        let field = match name {
            "title" => &mut self.title,
            "version" => &mut self.version,
            "tag" => &mut self.tag,
            "url" => &mut self.url,
            "checksum_algorithm" => &mut self.algorithm,
            "checksum" => &mut self.checksum,
            "size" => {
                self.size =
                    Some(value.u64().ok_or_else(|| Fault::malformed(format!("{key} is not a number of bytes")))?);
                return Ok(());
            }
            _ => return Ok(()),
        };
        *field = value.text().ok_or_else(|| Fault::malformed(format!("{key} is not text")))?;
        Ok(())
    }

    fn announcement(self) -> Result<Announcement, Fault> {
        if self.size.is_none() && self.url.is_empty() {
            return Err(Fault::malformed("a file is offered without its size"));
        }
        if self.checksum.is_empty() && self.url.is_empty() {
            return Err(Fault::malformed("a file is offered without its checksum"));
        }
        let told = !self.checksum.is_empty();
        Ok(Announcement {
            checksum: told.then(|| checksum::read(&self.algorithm, &self.checksum)).transpose()?,
            title: self.title.into_owned(),
            version: self.version.into_owned(),
            tag: self.tag.into_owned(),
            size: self.size,
            url: self.url.into_owned(),
        })
    }
}

/// The host takes a message without a copy where its capacity is its length.
pub(crate) fn exact(mut message: Vec<u8>) -> Vec<u8> {
    message.shrink_to_fit();
    message
}
