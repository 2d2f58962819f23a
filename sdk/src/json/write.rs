//! Writes one object, member by member.

use crate::base64;

/// Builds an object as text without blanks.
///
/// ```
/// use packhorse_codec::json::ObjectWriter;
///
/// let mut object = ObjectWriter::with_capacity(64);
/// object.string("name", "fw.bin");
/// object.number("size", 4);
/// object.base64("data", b"abcd");
/// assert_eq!(object.finish(), br#"{"name":"fw.bin","size":4,"data":"YWJjZA=="}"#);
/// ```
#[derive(Debug, Clone)]
pub struct ObjectWriter {
    text: Vec<u8>,
}

impl ObjectWriter {
    /// An empty object for which so many bytes are set aside: exact is best, as the host takes the text without a copy then.
    pub fn with_capacity(capacity: usize) -> Self {
        Self::after(&[], capacity)
    }

    /// Goes on after members written before: what [`ObjectWriter::members`] gave.
    pub fn after(members: &[u8], capacity: usize) -> Self {
        let mut text = Vec::with_capacity(capacity);
        text.push(b'{');
        text.extend_from_slice(members);
        Self { text }
    }

    /// A string, escaped where it must be.
    pub fn string(&mut self, key: &str, value: &str) {
        self.key(key);
        self.text.push(b'"');
        escape(value, &mut self.text);
        self.text.push(b'"');
    }

    /// A number.
    pub fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        decimal(value, &mut self.text);
    }

    /// Bytes as a Base64 string.
    pub fn base64(&mut self, key: &str, value: &[u8]) {
        self.key(key);
        self.text.push(b'"');
        base64::encode_into(value, &mut self.text);
        self.text.push(b'"');
    }

    /// Text that is JSON already.
    pub fn raw(&mut self, key: &str, value: &str) {
        self.key(key);
        self.text.extend_from_slice(value.as_bytes());
    }

    /// The text so far, without the closing brace: for a checksum over it.
    pub fn written(&self) -> &[u8] {
        &self.text
    }

    /// The members so far, for [`ObjectWriter::after`].
    pub fn members(&self) -> &[u8] {
        self.text.get(1..).unwrap_or_default()
    }

    /// The object.
    pub fn finish(mut self) -> Vec<u8> {
        self.text.push(b'}');
        self.text
    }

    fn key(&mut self, key: &str) {
        if self.text.len() > 1 {
            self.text.push(b',');
        }
        self.text.push(b'"');
        self.text.extend_from_slice(key.as_bytes());
        self.text.extend_from_slice(b"\":");
    }
}

/// How many digits a number has.
pub const fn decimal_length(value: u64) -> usize {
    match value.checked_ilog10() {
        Some(log) => log as usize + 1,
        None => 1,
    }
}

fn decimal(mut value: u64, text: &mut Vec<u8>) {
    let start = text.len();
    text.resize(start + decimal_length(value), b'0');
    for digit in text.iter_mut().skip(start).rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

fn escape(value: &str, text: &mut Vec<u8>) {
    for byte in value.bytes() {
        match byte {
            b'"' | b'\\' => text.extend_from_slice(&[b'\\', byte]),
            0..0x20 => {
                text.extend_from_slice(b"\\u00");
                text.extend_from_slice(crate::hex::encode(&[byte]).as_bytes());
            }
            _ => text.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_length_that_is_told() {
        for value in [0, 1, 9, 10, 99, 100, 12_345, u64::MAX] {
            let mut text = Vec::new();
            decimal(value, &mut text);
            assert_eq!(text, value.to_string().as_bytes());
            assert_eq!(decimal_length(value), text.len());
        }
    }

    #[test]
    fn what_it_writes_can_be_read() {
        let mut object = ObjectWriter::with_capacity(0);
        object.string("a", "\"\\\n\u{1}é");
        object.raw("b", "[1]");
        let text = object.finish();
        assert_eq!(String::from_utf8_lossy(&text), "{\"a\":\"\\\"\\\\\\u000a\\u0001é\",\"b\":[1]}");
        let (_, value) = crate::json::members(&text).unwrap().member().unwrap().unwrap();
        assert_eq!(value.text().unwrap(), "\"\\\n\u{1}é");
    }
}
