//! A checked reader of binary messages: every error says what was wanted, where, and what was there.

use std::fmt;

/// Walks over bytes from the front. Nothing in it panics, whatever the bytes are.
///
/// ```
/// # use packhorse_codec::{Reader, ReadError};
/// # fn main() -> Result<(), ReadError> {
/// let mut frame = Reader::new(&[2, 0, 3, b'a', b'b', b'c']);
/// assert_eq!(frame.u8("type")?, 2);
/// assert_eq!(frame.prefixed_u16_be("body")?, b"abc");
/// frame.end()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    whole: &'a [u8],
    at: usize,
}

/// Why a [`Reader`] gave up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadError {
    /// The message ends too early.
    Short {
        /// What was being read.
        what: &'static str,
        /// Where it begins.
        at: usize,
        /// How many bytes it has.
        wanted: usize,
        /// How many were left.
        left: usize,
    },
    /// Bytes are left where the message should end.
    Long {
        /// Where it should have ended.
        at: usize,
        /// How many bytes too many there are.
        extra: usize,
    },
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { what, at, wanted, left } => {
                write!(f, "{what} at byte {at}: wanted {wanted} bytes, {left} left")
            }
            Self::Long { at, extra } => write!(f, "{extra} bytes too many after byte {at}"),
        }
    }
}

impl std::error::Error for ReadError {}

macro_rules! integers {
    ($($name:ident: $type:ty, $from:ident, $order:literal;)*) => {$(
        #[doc = concat!("A `", stringify!($type), "`, ", $order, ".\n\n# Errors\nWhen fewer bytes are left.")]
        pub fn $name(&mut self, what: &'static str) -> Result<$type, ReadError> {
            self.array(what).map(<$type>::$from)
        }
    )*};
}

impl<'a> Reader<'a> {
    /// Reads from the first byte of `whole`.
    pub const fn new(whole: &'a [u8]) -> Self {
        Self { whole, at: 0 }
    }

    /// Offset of the next byte.
    pub const fn position(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.whole.len().saturating_sub(self.at)
    }

    integers! {
        u16_be: u16, from_be_bytes, "most significant byte first";
        u32_be: u32, from_be_bytes, "most significant byte first";
        u64_be: u64, from_be_bytes, "most significant byte first";
        u16_le: u16, from_le_bytes, "least significant byte first";
        u32_le: u32, from_le_bytes, "least significant byte first";
        u64_le: u64, from_le_bytes, "least significant byte first";
    }

    /// One byte.
    ///
    /// # Errors
    /// When none is left.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, ReadError> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    /// A fixed number of bytes, such as a digest.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], ReadError> {
        let Some((bytes, _)) = self.rest_slice().split_first_chunk::<N>() else { return Err(self.short(what, N)) };
        self.at += N;
        Ok(*bytes)
    }

    /// So many bytes.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn slice(&mut self, what: &'static str, length: usize) -> Result<&'a [u8], ReadError> {
        let Some((bytes, _)) = self.rest_slice().split_at_checked(length) else { return Err(self.short(what, length)) };
        self.at += length;
        Ok(bytes)
    }

    /// Bytes that have their number before them in one byte.
    ///
    /// # Errors
    /// When the number or the bytes are cut off.
    pub fn prefixed_u8(&mut self, what: &'static str) -> Result<&'a [u8], ReadError> {
        let length = self.u8(what)?;
        self.slice(what, usize::from(length))
    }

    /// Bytes that have their number before them in two bytes, most significant first.
    ///
    /// # Errors
    /// When the number or the bytes are cut off.
    pub fn prefixed_u16_be(&mut self, what: &'static str) -> Result<&'a [u8], ReadError> {
        let length = self.u16_be(what)?;
        self.slice(what, usize::from(length))
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        let rest = self.rest_slice();
        self.at = self.whole.len();
        rest
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// When something is.
    pub fn end(&self) -> Result<(), ReadError> {
        match self.left() {
            0 => Ok(()),
            extra => Err(ReadError::Long { at: self.at, extra }),
        }
    }

    fn rest_slice(&self) -> &'a [u8] {
        self.whole.get(self.at..).unwrap_or_default()
    }

    fn short(&self, what: &'static str, wanted: usize) -> ReadError {
        ReadError::Short { what, at: self.at, wanted, left: self.left() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_missing_and_where() {
        let mut reader = Reader::new(&[0, 5, 1, 2]);
        let error = reader.prefixed_u16_be("name").unwrap_err();
        assert_eq!(error.to_string(), "name at byte 2: wanted 5 bytes, 2 left");
        assert_eq!(
            Reader::new(&[]).u32_be("offset").unwrap_err().to_string(),
            "offset at byte 0: wanted 4 bytes, 0 left"
        );
    }

    #[test]
    fn says_what_is_too_many() {
        let mut reader = Reader::new(&[1, 2, 3]);
        reader.u8("type").unwrap();
        assert_eq!(reader.end().unwrap_err().to_string(), "2 bytes too many after byte 1");
        assert_eq!(reader.rest(), [2, 3]);
        assert_eq!(reader.end(), Ok(()));
    }

    #[test]
    fn both_byte_orders() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(Reader::new(&bytes).u16_be("").unwrap(), 0x0102);
        assert_eq!(Reader::new(&bytes).u16_le("").unwrap(), 0x0201);
        assert_eq!(Reader::new(&bytes).u32_be("").unwrap(), 0x0102_0304);
        assert_eq!(Reader::new(&bytes).u32_le("").unwrap(), 0x0403_0201);
        assert_eq!(Reader::new(&bytes).u64_be("").unwrap(), 0x0102_0304_0506_0708);
        assert_eq!(Reader::new(&bytes).u64_le("").unwrap(), 0x0807_0605_0403_0201);
    }
}
