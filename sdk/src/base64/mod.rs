//! Base64 at the speed that packets need: a table elsewhere, 128-bit vectors in WebAssembly, no unsafe code in either.
//!
//! `scalar.rs` does any length and reports errors; `vector.rs` does the bulk in a component.

mod scalar;
#[cfg(target_arch = "wasm32")]
mod vector;

use std::fmt;

/// Why text is not Base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base64Error {
    /// A character outside the alphabet, at this place.
    Character(usize),
    /// The text ends within a group, or its padding does not fit.
    Length(usize),
    /// The last character has bits that belong to no byte.
    StrayBits,
}

impl fmt::Display for Base64Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Character(at) => write!(f, "no Base64 character at place {at}"),
            Self::Length(length) => write!(f, "Base64 of {length} characters ends within a group"),
            Self::StrayBits => f.write_str("the last Base64 character has stray bits"),
        }
    }
}

impl std::error::Error for Base64Error {}

/// How many characters so many bytes make, padding included.
pub const fn encoded_length(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4
}

/// The standard alphabet, padded.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = Vec::with_capacity(encoded_length(bytes.len()));
    encode_into(bytes, &mut text);
    text.into_iter().map(char::from).collect()
}

/// Appends the text to a message.
pub fn encode_into(bytes: &[u8], text: &mut Vec<u8>) {
    let start = text.len();
    text.resize(start + encoded_length(bytes.len()), 0);
    let Some(room) = text.get_mut(start..) else { return };
    #[cfg(target_arch = "wasm32")]
    let (bytes, room) = vector::encode(bytes, room);
    scalar::encode(bytes, room);
}

/// Takes the standard and the URL alphabet, padded or not, without line breaks.
///
/// # Errors
/// A character outside the alphabet, a wrong length, stray bits at the end.
pub fn decode(text: &[u8]) -> Result<Vec<u8>, Base64Error> {
    let body = strip_padding(text)?;
    let tail = match body.len() % 4 {
        0 => 0,
        1 => return Err(Base64Error::Length(text.len())),
        left => left - 1,
    };
    let mut bytes = vec![0; body.len() / 4 * 3 + tail];
    #[cfg(target_arch = "wasm32")]
    let (done, room) = vector::decode(body, &mut bytes);
    #[cfg(not(target_arch = "wasm32"))]
    let (done, room) = (0, bytes.as_mut_slice());
    scalar::decode(body, done, room)?;
    Ok(bytes)
}

fn strip_padding(text: &[u8]) -> Result<&[u8], Base64Error> {
    let padding = text.iter().rev().take(3).take_while(|character| **character == b'=').count();
    if padding > 2 || (padding > 0 && !text.len().is_multiple_of(4)) {
        return Err(Base64Error::Length(text.len()));
    }
    Ok(text.get(..text.len() - padding).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], text: &str) {
        assert_eq!(encode(bytes), text);
        assert_eq!(decode(text.as_bytes()).unwrap(), bytes);
        assert_eq!(decode(text.trim_end_matches('=').as_bytes()).unwrap(), bytes);
    }

    #[test]
    fn the_vectors_of_rfc_4648() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            check(bytes.as_bytes(), text);
        }
    }

    #[test]
    fn every_length_and_byte_comes_back() {
        let all: Vec<u8> = (0..1000u32).map(|n| (n * 7 + n / 256) as u8).collect();
        for length in 0..all.len() {
            assert_eq!(decode(encode(&all[..length]).as_bytes()).unwrap(), all[..length]);
        }
    }

    #[test]
    fn takes_the_url_alphabet() {
        assert_eq!(decode(b"-_-_").unwrap(), decode(b"+/+/").unwrap());
    }

    #[test]
    fn names_what_is_wrong() {
        assert_eq!(decode(b"Zm9v!A=="), Err(Base64Error::Character(4)));
        assert_eq!(decode(b"Zm9vY"), Err(Base64Error::Length(5)));
        assert_eq!(decode(b"Zm9v===="), Err(Base64Error::Length(8)));
        assert_eq!(decode(b"Zm9vYg="), Err(Base64Error::Length(7)));
        assert_eq!(decode(b"Zm9vYh=="), Err(Base64Error::StrayBits));
        assert_eq!(decode(b"Zm=v"), Err(Base64Error::Character(2)));
    }
}
