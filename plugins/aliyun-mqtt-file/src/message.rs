//! Reads the JSON of a message: an envelope of `id` and `code` around one object, `params` in requests and `data` in answers.

use std::borrow::Cow;

use packhorse_codec::json::{self, Str, Value};
use packhorse_codec::{Fault, hex};

/// Members beyond that are no message of this protocol.
const MEMBERS_MOST: usize = 64;
/// The vendor's ids are decimal numbers of at most ten digits; some devices use a UUID.
const ID_MOST: usize = 36;

/// One message, its envelope and body flattened. `null` counts as absent.
#[derive(Debug, Default)]
pub(crate) struct Message<'a> {
    id: Cow<'a, str>,
    pub(crate) code: Option<u64>,
    /// What the code means, for people.
    pub(crate) words: Cow<'a, str>,
    members: Vec<(Str<'a>, Value<'a>)>,
}

impl<'a> Message<'a> {
    pub(crate) fn read(text: &'a [u8]) -> Result<Self, Fault> {
        let mut message = Self::default();
        let mut body = None;
        let mut members = json::members(text)?;
        while let Some((key, value)) = members.member()? {
            match &*key.bytes() {
                b"id" => message.id = value.text().unwrap_or_default(),
                b"code" => message.code = value.u64(),
                b"message" | b"msg" => message.words = value.text().unwrap_or_default(),
                b"params" | b"data" => body = Some(value),
                _ => {}
            }
        }
        match body {
            Some(Value::Object(body)) => message.walk(body)?,
            Some(_) => {}
            // Some devices forget the envelope.
            None => message.walk(text)?,
        }
        Ok(message)
    }

    fn walk(&mut self, text: &'a [u8]) -> Result<(), Fault> {
        let mut members = json::members(text)?;
        while let Some((key, value)) = members.member()? {
            match value {
                Value::Null => {}
                Value::Object(inner) if key.is("fileInfo") || key.is("fileBlock") => {
                    self.walk_inner(inner, |_| true)?
                }
                // Anything may stand there, also under names that mean something else.
                Value::Object(inner) if key.is("extData") => self.walk_inner(inner, |key| key.is("fileName"))?,
                value => self.keep(key, value)?,
            }
        }
        Ok(())
    }

    fn walk_inner(&mut self, text: &'a [u8], wanted: impl Fn(&Str<'a>) -> bool) -> Result<(), Fault> {
        let mut members = json::members(text)?;
        while let Some((key, value)) = members.member()? {
            if wanted(&key) {
                self.keep(key, value)?;
            }
        }
        Ok(())
    }

    fn keep(&mut self, key: Str<'a>, value: Value<'a>) -> Result<(), Fault> {
        if self.members.len() == MEMBERS_MOST {
            return Err(Fault::malformed(format!("there are more than {MEMBERS_MOST} members")));
        }
        if value != Value::Null {
            self.members.push((key, value));
        }
        Ok(())
    }

    /// The id of the request, which its answer repeats; empty where there is none.
    pub(crate) fn id(&self) -> Result<&str, Fault> {
        plain("id", &self.id, ID_MOST)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    fn value(&self, key: &str) -> Option<Value<'a>> {
        self.members.iter().find(|(known, _)| known.is(key)).map(|(_, value)| *value)
    }

    pub(crate) fn text(&self, key: &str) -> Option<Cow<'a, str>> {
        self.value(key).and_then(|value| value.text()).filter(|text| !text.is_empty())
    }

    /// A text that is repeated or kept, so that it must be short and plain; empty where there is none.
    pub(crate) fn plain_text(&self, key: &str, most: usize) -> Result<String, Fault> {
        let text = self.text(key).unwrap_or_default();
        plain(key, &text, most).map(ToOwned::to_owned)
    }

    /// A number that is whole and not negative.
    pub(crate) fn number(&self, key: &str) -> Result<Option<u64>, Fault> {
        let number =
            |value: Value<'_>| value.u64().ok_or_else(|| Fault::malformed(format!("{key} is no whole number")));
        self.value(key).map(number).transpose()
    }

    pub(crate) fn required(&self, key: &str) -> Result<u64, Fault> {
        self.number(key)?.ok_or_else(|| Fault::malformed(format!("{key} is missing")))
    }

    /// The size of a file: -1, or none at all, where it is not known.
    pub(crate) fn size(&self, key: &str) -> Result<Option<u64>, Fault> {
        match self.text(key) {
            Some(text) if text.starts_with('-') => self.signed(key).map(|_| None),
            _ => self.number(key),
        }
    }

    /// A number that may be below 0; a percent sign behind it does not matter.
    pub(crate) fn signed(&self, key: &str) -> Result<i64, Fault> {
        let text = self.text(key).ok_or_else(|| Fault::malformed(format!("{key} is missing")))?;
        let digits = text.trim().trim_end_matches('%');
        digits.parse().map_err(|_| Fault::malformed(format!("{key} is no whole number")))
    }

    pub(crate) fn flag(&self, key: &str) -> bool {
        match self.value(key) {
            Some(Value::Bool(flag)) => flag,
            Some(value) => value.text().is_some_and(|text| text.eq_ignore_ascii_case("true") || text == "1"),
            None => false,
        }
    }

    /// Hexadecimal digits of any case.
    pub(crate) fn digest<const N: usize>(&self, key: &str) -> Result<Option<[u8; N]>, Fault> {
        let Some(text) = self.text(key) else { return Ok(None) };
        hex::decode_array(text.as_bytes()).map(Some).map_err(|error| Fault::malformed(format!("{key}: {error}")))
    }
}

fn plain<'t>(key: &str, text: &'t str, most: usize) -> Result<&'t str, Fault> {
    if text.len() > most {
        return Err(Fault::malformed(format!("{key} has {} bytes, more than {most}", text.len())));
    }
    if text.chars().any(|character| character.is_control() || matches!(character, '"' | '\\')) {
        return Err(Fault::malformed(format!("{key} holds control characters or quotation marks")));
    }
    Ok(text)
}
