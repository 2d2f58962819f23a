//! What is offered: written by the platform as `metadata`, read by the device.

use packhorse_codec::json::{ObjectWriter, Value, members};
use packhorse_codec::{Algorithm, Digest, Fault, File, ReadError, Reader, Text, Transfer, Writer, hex};

/// A longer id of an offer is none.
const ID_MOST: usize = 64;

/// The digests of a file, as far as they are known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Digests {
    pub(crate) md5: Option<[u8; 16]>,
    pub(crate) sha256: Option<[u8; 32]>,
}

impl Digests {
    /// Of a file of the contract.
    pub(crate) fn of(file: &File) -> Self {
        Self {
            md5: file.digest(Algorithm::Md5).and_then(|value| value.try_into().ok()),
            sha256: file.digest(Algorithm::Sha256).and_then(|value| value.try_into().ok()),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.md5.is_none() && self.sha256.is_none()
    }

    /// Takes one of the two keys of a message; false for any other key.
    pub(crate) fn take(&mut self, key: &str, value: Value<'_>) -> Result<bool, Fault> {
        match key {
            "md5" => self.md5 = digits(key, value)?,
            "sha256" => self.sha256 = digits(key, value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    pub(crate) fn write(&self, object: &mut ObjectWriter) {
        if let Some(md5) = &self.md5 {
            object.string("md5", &hex::encode(md5));
        }
        if let Some(sha256) = &self.sha256 {
            object.string("sha256", &hex::encode(sha256));
        }
    }

    /// Whether one of them is another than ours; one that is not known here says nothing.
    pub(crate) fn contradict(&self, ours: &Self) -> bool {
        let md5 = self.md5.zip(ours.md5).is_some_and(|(told, ours)| told != ours);
        let sha256 = self.sha256.zip(ours.sha256).is_some_and(|(told, ours)| told != ours);
        md5 || sha256
    }

    /// Whether one of them is ours, and none another.
    pub(crate) fn match_any(&self, ours: &Self) -> bool {
        let known = self.md5.zip(ours.md5).is_some() || self.sha256.zip(ours.sha256).is_some();
        known && !self.contradict(ours)
    }

    /// As the contract has them.
    pub(crate) fn list(&self) -> Vec<Digest> {
        let md5 = self.md5.map(|value| Digest::new(Algorithm::Md5, value));
        let sha256 = self.sha256.map(|value| Digest::new(Algorithm::Sha256, value));
        [md5, sha256].into_iter().flatten().collect()
    }

    pub(crate) fn save(&self, state: &mut Writer) {
        for value in [self.md5.as_ref().map(|md5| &md5[..]), self.sha256.as_ref().map(|sha256| &sha256[..])] {
            state.u8(value.is_some().into());
            state.slice(value.unwrap_or_default());
        }
    }

    pub(crate) fn restore(state: &mut Reader<'_>) -> Result<Self, ReadError> {
        let mut digests = Self::default();
        if state.u8("md5")? == 1 {
            digests.md5 = Some(state.array("md5")?);
        }
        if state.u8("sha256")? == 1 {
            digests.sha256 = Some(state.array("sha256")?);
        }
        Ok(digests)
    }
}

/// Hexadecimal digits of any case; `null` and empty text are as good as no key.
fn digits<const N: usize>(key: &str, value: Value<'_>) -> Result<Option<[u8; N]>, Fault> {
    let text = value.text().unwrap_or_default();
    let text = text.trim();
    if value == Value::Null || (text.is_empty() && matches!(value, Value::String(_))) {
        return Ok(None);
    }
    hex::decode_array(text.as_bytes()).map(Some).map_err(|error| Fault::malformed(format!("{key}: {error}")))
}

/// One offer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Offered {
    /// Repeated by the device; empty where it was not told.
    pub(crate) id: String,
    pub(crate) name: String,
    /// Empty = not known.
    pub(crate) version: String,
    pub(crate) size: u64,
    pub(crate) digests: Digests,
    pub(crate) url: String,
}

impl Offered {
    /// Of the file that a transfer pushes; without its URL, which comes with each offer.
    pub(crate) fn of(transfer: &Transfer) -> Result<Self, Text> {
        let file = &transfer.file;
        let size = file.size.ok_or_else(|| Text::new("no-size", "the size of the file is not known"))?;
        let digests = Digests::of(file);
        if digests.is_empty() {
            return Err(Text::new("no-checksum", "neither MD5 nor SHA-256 of the file is known"));
        }
        Ok(Self {
            id: format!("{:08x}", transfer.epoch),
            name: file.name.clone(),
            version: file.meta("version").map(str::trim).unwrap_or_default().to_owned(),
            size,
            digests,
            url: String::new(),
        })
    }

    /// `metadata`, with all keys that are known.
    pub(crate) fn message(&self, url: &str) -> Vec<u8> {
        let mut object = ObjectWriter::with_capacity(256 + url.len());
        object.string("offer", &self.id);
        object.string("name", &self.name);
        if !self.version.is_empty() {
            object.string("version", &self.version);
        }
        object.number("size", self.size);
        self.digests.write(&mut object);
        object.string("url", url);
        exact(object)
    }

    /// Reads `metadata`; nothing where nothing is offered (any more).
    pub(crate) fn read(payload: &[u8]) -> Result<Option<Self>, Fault> {
        let (mut offered, mut size, mut any) = (Self::default(), None, false);
        let mut all = members(payload)?;
        while let Some((key, value)) = all.member()? {
            let key = key.text();
            any = true;
            if value == Value::Null || offered.digests.take(&key, value)? {
                continue;
            }
            let text = || value.text().unwrap_or_default().trim().to_owned();
            match &*key {
                "offer" => offered.id = id(&text())?,
                "name" => offered.name = text(),
                "version" => offered.version = text(),
                "url" => offered.url = text(),
                "size" => {
                    let number = value.u64().ok_or_else(|| Fault::malformed("size is not a number of bytes"))?;
                    size = Some(number);
                }
                _ => {}
            }
        }
        if !any {
            return Ok(None);
        }
        offered.size = size.ok_or_else(|| Fault::malformed("a file is offered without its size"))?;
        offered.whole().map(Some)
    }

    fn whole(self) -> Result<Self, Fault> {
        if self.url.is_empty() {
            return Err(Fault::malformed("a file is offered without its url"));
        }
        if self.digests.is_empty() {
            return Err(Fault::malformed("a file is offered without md5 and sha256"));
        }
        Ok(self)
    }

    /// As the contract's file.
    pub(crate) fn file(&self) -> File {
        let version = Some(("version".to_owned(), self.version.clone())).filter(|(_, version)| !version.is_empty());
        File {
            name: self.name.clone(),
            size: Some(self.size),
            digests: self.digests.list(),
            meta: version.into_iter().collect(),
        }
    }

    /// Whether this offers what `other` does, under the same id: then it changes nothing.
    pub(crate) fn repeats(&self, other: &Self) -> bool {
        self.id == other.id && self.size == other.size && self.digests == other.digests
    }
}

/// An id that a device can repeat.
pub(crate) fn id(text: &str) -> Result<String, Fault> {
    if text.len() > ID_MOST {
        return Err(Fault::malformed(format!("the offer's id has {} bytes, more than {ID_MOST}", text.len())));
    }
    Ok(text.to_owned())
}

/// The host takes a message without a copy where its capacity is its length.
pub(crate) fn exact(object: ObjectWriter) -> Vec<u8> {
    let mut message = object.finish();
    message.shrink_to_fit();
    message
}
