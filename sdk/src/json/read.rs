//! Walks over the members of an object and the items of an array, without a tree and without copies.

use std::borrow::Cow;

use super::JsonError;
use super::scan::special;

/// What stands behind a key. Arrays and objects keep their text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as written.
    Number(&'a [u8]),
    /// A string.
    String(Str<'a>),
    /// An array with its brackets: see [`Value::items`].
    Array(&'a [u8]),
    /// An object with its braces: see [`members`].
    Object(&'a [u8]),
}

/// A string between its quotation marks, escapes not yet resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Str<'a> {
    raw: &'a [u8],
    escaped: bool,
}

/// The members of an object, in order.
#[derive(Debug, Clone)]
pub struct Members<'a> {
    cursor: Cursor<'a>,
    depth: usize,
}

/// The items of an array, in order.
#[derive(Debug, Clone)]
pub struct Items<'a> {
    cursor: Cursor<'a>,
}

/// Begins with an object.
///
/// # Errors
/// When the text begins with something else.
///
/// ```
/// use packhorse_codec::json;
///
/// # fn main() -> Result<(), json::JsonError> {
/// let mut members = json::members(br#"{"size": "640", "new": [1, 2,], }"#)?;
/// while let Some((key, value)) = members.member()? {
///     if key.is("size") {
///         assert_eq!(value.u64(), Some(640));
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub fn members(text: &[u8]) -> Result<Members<'_>, JsonError> {
    let mut cursor = Cursor { text, at: 0 };
    if text.starts_with(b"\xef\xbb\xbf") {
        cursor.at = 3;
    }
    cursor.blanks();
    cursor.expect(b'{', "object")?;
    Ok(Members { cursor, depth: 1 })
}

impl<'a> Members<'a> {
    /// Where the member just read ends: at the comma or brace behind it.
    pub const fn position(&self) -> usize {
        self.cursor.at
    }

    /// The next key and what stands behind it; `None` after the last.
    ///
    /// # Errors
    /// When the text is cut off, or something else follows the object.
    pub fn member(&mut self) -> Result<Option<(Str<'a>, Value<'a>)>, JsonError> {
        if self.depth == 0 {
            return Ok(None);
        }
        self.cursor.separators();
        if self.cursor.take(b'}') {
            self.depth = 0;
            return self.cursor.end().map(|()| None);
        }
        let key = self.cursor.string()?;
        self.cursor.blanks();
        self.cursor.expect(b':', "colon")?;
        self.cursor.blanks();
        let value = self.cursor.value()?;
        self.cursor.boundary(b'}')?;
        Ok(Some((key, value)))
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<Value<'a>, JsonError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.cursor.separators();
        if self.cursor.left().is_empty() || self.cursor.take(b']') {
            return None;
        }
        let value = self.cursor.value();
        if value.is_err() {
            self.cursor.at = self.cursor.text.len();
        }
        Some(value)
    }
}

impl<'a> Value<'a> {
    /// A number that is whole and not negative, also one in quotation marks or with zeros behind its point.
    pub fn u64(&self) -> Option<u64> {
        let digits = match self {
            Self::Number(digits) => digits,
            Self::String(text) if !text.escaped => text.raw.trim_ascii(),
            _ => return None,
        };
        let whole = match digits.iter().position(|byte| *byte == b'.') {
            Some(point) if digits[point + 1..].iter().all(|byte| *byte == b'0') => &digits[..point],
            Some(_) => return None,
            None => digits,
        };
        decimal(whole)
    }

    /// A string; also a number, as some devices forget the quotation marks.
    pub fn text(&self) -> Option<Cow<'a, str>> {
        match self {
            Self::String(text) => Some(text.text()),
            Self::Number(digits) => Some(String::from_utf8_lossy(digits)),
            _ => None,
        }
    }

    /// The items of an array; none of anything else.
    pub fn items(&self) -> Items<'a> {
        let text = match self {
            Self::Array(text) => text.get(1..).unwrap_or_default(),
            _ => &[],
        };
        Items { cursor: Cursor { text, at: 0 } }
    }
}

impl<'a> Str<'a> {
    /// Whether this is the string.
    pub fn is(&self, text: &str) -> bool {
        if self.escaped { *self.bytes() == *text.as_bytes() } else { self.raw == text.as_bytes() }
    }

    /// The bytes, escapes resolved; copied only when there are any.
    pub fn bytes(&self) -> Cow<'a, [u8]> {
        if self.escaped { Cow::Owned(unescape(self.raw)) } else { Cow::Borrowed(self.raw) }
    }

    /// The text; what is not UTF-8 becomes U+FFFD.
    pub fn text(&self) -> Cow<'a, str> {
        match self.bytes() {
            Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

#[derive(Debug, Clone)]
struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    const DEPTH: usize = 64;

    fn left(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    /// Blanks and any number of commas: a trailing one is common.
    fn separators(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n' | b',')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), JsonError> {
        if self.take(byte) { Ok(()) } else { Err(JsonError::Expected { what, at: self.at }) }
    }

    /// After a value: a comma, or the end of what holds it.
    fn boundary(&mut self, end: u8) -> Result<(), JsonError> {
        self.blanks();
        match self.peek() {
            Some(b',') => Ok(()),
            Some(byte) if byte == end => Ok(()),
            _ => Err(JsonError::Expected { what: "comma or end of object", at: self.at }),
        }
    }

    fn end(&mut self) -> Result<(), JsonError> {
        let rest = self.left();
        match rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0)) {
            None => Ok(()),
            Some(more) => Err(JsonError::Expected { what: "end", at: self.at + more }),
        }
    }

    fn string(&mut self) -> Result<Str<'a>, JsonError> {
        let begin = self.at;
        self.expect(b'"', "string")?;
        let start = self.at;
        let mut escaped = false;
        loop {
            let Some(found) = special(self.left()) else {
                return Err(JsonError::Expected { what: "end of the string", at: begin });
            };
            self.at += found;
            if self.take(b'"') {
                let raw = self.text.get(start..self.at - 1).unwrap_or_default();
                return Ok(Str { raw, escaped });
            }
            escaped = true;
            self.at += 2;
        }
    }

    fn value(&mut self) -> Result<Value<'a>, JsonError> {
        let start = self.at;
        match self.peek() {
            Some(b'"') => self.string().map(Value::String),
            Some(b'{') => self.nested().map(Value::Object),
            Some(b'[') => self.nested().map(Value::Array),
            Some(b'-' | b'+' | b'.' | b'0'..=b'9') => {
                while matches!(self.peek(), Some(b'-' | b'+' | b'.' | b'0'..=b'9' | b'e' | b'E')) {
                    self.at += 1;
                }
                Ok(Value::Number(self.text.get(start..self.at).unwrap_or_default()))
            }
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Result<Value<'a>, JsonError> {
        for (word, value) in
            [(&b"null"[..], Value::Null), (&b"true"[..], Value::Bool(true)), (&b"false"[..], Value::Bool(false))]
        {
            if self.left().starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(JsonError::Expected { what: "value", at: self.at })
    }

    /// Steps over an array or object by its brackets, whatever is in it.
    fn nested(&mut self) -> Result<&'a [u8], JsonError> {
        let start = self.at;
        let mut depth = 0;
        loop {
            match self.peek() {
                None => return Err(JsonError::Expected { what: "closing bracket", at: self.at }),
                Some(b'"') => {
                    self.string()?;
                    continue;
                }
                Some(b'{' | b'[') => depth += 1,
                Some(b'}' | b']') => depth -= 1,
                Some(_) => {}
            }
            self.at += 1;
            if depth > Self::DEPTH {
                return Err(JsonError::Deep { at: self.at });
            }
            if depth == 0 {
                return Ok(self.text.get(start..self.at).unwrap_or_default());
            }
        }
    }
}

/// Resolves escapes; an unknown one stands for its own character, half a surrogate pair for U+FFFD.
fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'\\' {
            bytes.push(*byte);
            continue;
        }
        let Some((kind, after)) = rest.split_first() else { break };
        rest = after;
        match kind {
            b'n' => bytes.push(b'\n'),
            b't' => bytes.push(b'\t'),
            b'r' => bytes.push(b'\r'),
            b'b' => bytes.push(8),
            b'f' => bytes.push(12),
            b'u' => {
                let character = unicode(&mut rest);
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            other => bytes.push(*other),
        }
    }
    bytes
}

/// What follows `\u`, and the second half of a pair where one follows.
fn unicode(rest: &mut &[u8]) -> char {
    let Some(first) = unit(rest) else { return char::REPLACEMENT_CHARACTER };
    let mut units = [first, 0];
    let mut count = 1;
    if (0xd800..0xdc00).contains(&first)
        && let Some(mut after) = rest.strip_prefix(b"\\u")
        && let Some(second) = unit(&mut after)
        && (0xdc00..0xe000).contains(&second)
    {
        units[1] = second;
        count = 2;
        *rest = after;
    }
    char::decode_utf16(units.into_iter().take(count)).next().and_then(Result::ok).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn unit(rest: &mut &[u8]) -> Option<u16> {
    let (digits, after) = rest.split_first_chunk::<4>()?;
    let bytes = crate::hex::decode_array::<2>(digits).ok()?;
    *rest = after;
    Some(u16::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Result<Vec<(String, Value<'_>)>, JsonError> {
        let mut members = members(text.as_bytes())?;
        let mut found = Vec::new();
        while let Some((key, value)) = members.member()? {
            found.push((key.text().into_owned(), value));
        }
        Ok(found)
    }

    #[test]
    fn walks_over_every_kind() {
        let found = all(r#" {"a":1,"b":"x","c":[1,{"d":"]"}],"e":{"f":[]},"g":null,"h":true} "#).unwrap();
        assert_eq!(found.len(), 6);
        assert_eq!(found[0], ("a".into(), Value::Number(b"1")));
        assert_eq!(found[2].1, Value::Array(br#"[1,{"d":"]"}]"#));
        assert_eq!(found[2].1.items().count(), 2);
        assert_eq!(found[5].1, Value::Bool(true));
    }

    #[test]
    fn forgives_what_firmware_gets_wrong() {
        for text in
            ["{\"a\":1,}", "\u{feff}{\"a\":1}", "{\"a\":\"1\"}\0", "{\"a\":1.0,,\"b\":[1,],}\r\n", "{\"a\" : \"1\" }"]
        {
            assert_eq!(all(text).unwrap()[0].1.u64(), Some(1), "{text}");
        }
    }

    #[test]
    fn numbers_that_are_no_offsets_are_none() {
        for text in ["-1", "1.5", "1e3", "18446744073709551616", "\"\"", "\"1 2\"", "null", "+"] {
            assert_eq!(all(&format!("{{\"a\":{text}}}")).unwrap()[0].1.u64(), None, "{text}");
        }
    }

    #[test]
    fn resolves_escapes() {
        let found = all(r#"{"a":"\/\n\u00e9\ud83d\ude00\ud83dx\q\u12"}"#).unwrap();
        assert_eq!(found[0].1.text().unwrap(), "/\né😀\u{fffd}xq\u{fffd}12");
        assert!(members(br#"{"\u0061":1}"#).unwrap().member().unwrap().unwrap().0.is("a"));
    }

    #[test]
    fn says_where_it_breaks() {
        for (text, words) in [
            ("", "not JSON: no object at byte 0"),
            ("[]", "not JSON: no object at byte 0"),
            ("{\"a\":1", "not JSON: no comma or end of object at byte 6"),
            ("{\"a", "not JSON: no end of the string at byte 1"),
            ("{\"a\" 1}", "not JSON: no colon at byte 5"),
            ("{\"a\":x}", "not JSON: no value at byte 5"),
            ("{\"a\":[1", "not JSON: no closing bracket at byte 7"),
            ("{} x", "not JSON: no end at byte 3"),
            ("{\"a\\", "not JSON: no end of the string at byte 1"),
        ] {
            assert_eq!(all(text).unwrap_err().to_string(), words, "{text}");
        }
        assert!(matches!(all(&format!("{{\"a\":{}", "[".repeat(100))), Err(JsonError::Deep { .. })));
    }
}
