//! Hexadecimal text: digests and tokens of textual protocols.

use std::fmt;

/// Why text is not hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HexError {
    /// The number of digits is odd, or not what it must be.
    Length(usize),
    /// A character that is no digit, at this place.
    Digit(usize),
}

impl fmt::Display for HexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(length) => write!(f, "{length} hexadecimal digits are not the right number"),
            Self::Digit(at) => write!(f, "no hexadecimal digit at place {at}"),
        }
    }
}

impl std::error::Error for HexError {}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Lower-case digits.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// Any case.
///
/// # Errors
/// An odd number of digits, or a character that is none.
pub fn decode(text: &[u8]) -> Result<Vec<u8>, HexError> {
    if !text.len().is_multiple_of(2) {
        return Err(HexError::Length(text.len()));
    }
    let mut bytes = vec![0; text.len() / 2];
    fill(text, &mut bytes)?;
    Ok(bytes)
}

/// Exactly `N` bytes, without an allocation; any case.
///
/// # Errors
/// Another number of digits, or a character that is none.
pub fn decode_array<const N: usize>(text: &[u8]) -> Result<[u8; N], HexError> {
    if text.len() != N * 2 {
        return Err(HexError::Length(text.len()));
    }
    let mut bytes = [0; N];
    fill(text, &mut bytes)?;
    Ok(bytes)
}

fn fill(text: &[u8], bytes: &mut [u8]) -> Result<(), HexError> {
    let mut bad = 0;
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let (high, low) = (VALUES[usize::from(pair[0])], VALUES[usize::from(pair[1])]);
        bad |= high | low;
        *byte = (high << 4) | (low & 15);
    }
    if bad & 0x80 == 0 {
        return Ok(());
    }
    let at = text.iter().position(|digit| !digit.is_ascii_hexdigit());
    Err(HexError::Digit(at.unwrap_or_default()))
}

/// Value of each character, 0x80 for what is no digit.
const VALUES: [u8; 256] = {
    let mut values = [0x80; 256];
    let mut value = 0u8;
    while value < 16 {
        values[DIGITS[value as usize] as usize] = value;
        values[DIGITS[value as usize].to_ascii_uppercase() as usize] = value;
        value += 1;
    }
    values
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_cases_and_writes_lower() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(encode(&all).as_bytes()).unwrap(), all);
        assert_eq!(decode(encode(&all).to_uppercase().as_bytes()).unwrap(), all);
        assert_eq!(encode(&[0xde, 0xad]), "dead");
        assert_eq!(decode_array::<2>(b"DeaD").unwrap(), [0xde, 0xad]);
    }

    #[test]
    fn names_the_bad_place() {
        assert_eq!(decode(b"abc"), Err(HexError::Length(3)));
        assert_eq!(decode(b"ab0g"), Err(HexError::Digit(3)));
        assert_eq!(decode(b"\xff0"), Err(HexError::Digit(0)));
        assert_eq!(decode_array::<16>(b"ab"), Err(HexError::Length(2)));
    }
}
