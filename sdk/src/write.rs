//! A writer of binary messages, with lengths that are filled in when the body is known.

/// Builds one message. Offsets, lengths and byte orders are spelt out by the method names.
///
/// ```
/// # use packhorse_codec::{Length, Writer};
/// let mut frame = Writer::with_capacity(6);
/// frame.u8(2);
/// let length = frame.begin(Length::U16Be);
/// frame.slice(b"abc");
/// frame.end(length).expect("three bytes fit into sixteen bits");
/// assert_eq!(frame.finish(), [2, 0, 3, b'a', b'b', b'c']);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

/// How a length stands on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// One byte.
    U8,
    /// Two bytes, most significant first.
    U16Be,
    /// Four bytes, most significant first.
    U32Be,
    /// Two bytes, least significant first.
    U16Le,
    /// Four bytes, least significant first.
    U32Le,
}

/// A length still to be filled in: give it back to [`Writer::end`].
#[derive(Debug)]
#[must_use]
pub struct OpenLength {
    at: usize,
    length: Length,
}

impl Writer {
    /// An empty message.
    pub const fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// An empty message for which so many bytes are set aside: exact is best, as the host takes the bytes without a copy then.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity) }
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// Two bytes, most significant first.
    pub fn u16_be(&mut self, value: u16) {
        self.slice(&value.to_be_bytes());
    }

    /// Four bytes, most significant first.
    pub fn u32_be(&mut self, value: u32) {
        self.slice(&value.to_be_bytes());
    }

    /// Eight bytes, most significant first.
    pub fn u64_be(&mut self, value: u64) {
        self.slice(&value.to_be_bytes());
    }

    /// Two bytes, least significant first.
    pub fn u16_le(&mut self, value: u16) {
        self.slice(&value.to_le_bytes());
    }

    /// Four bytes, least significant first.
    pub fn u32_le(&mut self, value: u32) {
        self.slice(&value.to_le_bytes());
    }

    /// Eight bytes, least significant first.
    pub fn u64_le(&mut self, value: u64) {
        self.slice(&value.to_le_bytes());
    }

    /// Bytes as they are.
    pub fn slice(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Leaves room for the length of what follows, up to [`Writer::end`].
    pub fn begin(&mut self, length: Length) -> OpenLength {
        let open = OpenLength { at: self.bytes.len(), length };
        self.bytes.resize(open.at + length.width(), 0);
        open
    }

    /// Fills the length in; `None` when the body does not fit into it.
    pub fn end(&mut self, open: OpenLength) -> Option<()> {
        let OpenLength { at, length } = open;
        let value = self.bytes.len().checked_sub(at + length.width())?;
        let room = self.bytes.get_mut(at..at + length.width())?;
        match length {
            Length::U8 => room.copy_from_slice(&u8::try_from(value).ok()?.to_be_bytes()),
            Length::U16Be => room.copy_from_slice(&u16::try_from(value).ok()?.to_be_bytes()),
            Length::U32Be => room.copy_from_slice(&u32::try_from(value).ok()?.to_be_bytes()),
            Length::U16Le => room.copy_from_slice(&u16::try_from(value).ok()?.to_le_bytes()),
            Length::U32Le => room.copy_from_slice(&u32::try_from(value).ok()?.to_le_bytes()),
        }
        Some(())
    }

    /// What has been written so far, for a checksum over it.
    pub fn written(&self) -> &[u8] {
        &self.bytes
    }

    /// The message.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

impl Length {
    const fn width(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::U16Be | Self::U16Le => 2,
            Self::U32Be | Self::U32Le => 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_in_every_kind_of_length() {
        for (length, expected) in [
            (Length::U8, vec![3]),
            (Length::U16Be, vec![0, 3]),
            (Length::U32Be, vec![0, 0, 0, 3]),
            (Length::U16Le, vec![3, 0]),
            (Length::U32Le, vec![3, 0, 0, 0]),
        ] {
            let mut writer = Writer::new();
            let open = writer.begin(length);
            writer.slice(b"abc");
            assert_eq!(writer.end(open), Some(()));
            assert_eq!(writer.finish(), [expected, b"abc".to_vec()].concat());
        }
    }

    #[test]
    fn refuses_a_body_that_its_length_cannot_say() {
        let mut writer = Writer::new();
        let open = writer.begin(Length::U8);
        writer.slice(&[0; 256]);
        assert_eq!(writer.end(open), None);
    }
}
