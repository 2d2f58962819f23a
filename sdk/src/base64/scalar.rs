//! Base64 by tables, group by group.

use super::Base64Error;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Value of each character, 0x80 for what is none.
const VALUES: [u8; 256] = {
    let mut values = [0x80; 256];
    let mut value = 0;
    while value < 64 {
        values[ALPHABET[value] as usize] = value as u8;
        value += 1;
    }
    values[b'-' as usize] = 62;
    values[b'_' as usize] = 63;
    values
};

/// Two characters for every 12 bits: half the look-ups of one for every 6.
static PAIRS: [[u8; 2]; 4096] = {
    let mut pairs = [[0; 2]; 4096];
    let mut value = 0;
    while value < 4096 {
        pairs[value] = [ALPHABET[value >> 6], ALPHABET[value & 63]];
        value += 1;
    }
    pairs
};

/// Fills `text`, which has the length that `bytes` need.
pub(super) fn encode(bytes: &[u8], text: &mut [u8]) {
    let (groups, rest) = bytes.as_chunks::<3>();
    let (room, tail) = text.split_at_mut(groups.len() * 4);
    for (group, characters) in groups.iter().zip(room.as_chunks_mut::<4>().0) {
        let value = usize::from(group[0]) << 16 | usize::from(group[1]) << 8 | usize::from(group[2]);
        let ([a, b], [c, d]) = (PAIRS[value >> 12], PAIRS[value & 4095]);
        *characters = [a, b, c, d];
    }
    let character = |value: u8| ALPHABET[usize::from(value & 63)];
    match (rest, tail) {
        ([one], [a, b, c, d]) => [*a, *b, *c, *d] = [character(one >> 2), character(one << 4), b'=', b'='],
        ([one, two], [a, b, c, d]) => {
            [*a, *b, *c, *d] = [character(one >> 2), character(one << 4 | two >> 4), character(two << 2), b'='];
        }
        _ => {}
    }
}

/// Decodes what of `text` comes after `done` characters into `bytes`, which has the length that it needs.
pub(super) fn decode(text: &[u8], done: usize, bytes: &mut [u8]) -> Result<(), Base64Error> {
    let (groups, rest) = text.get(done..).unwrap_or_default().as_chunks::<4>();
    let (room, tail) = bytes.split_at_mut(groups.len() * 3);
    let mut bad = 0;
    for (group, out) in groups.iter().zip(room.as_chunks_mut::<3>().0) {
        let [a, b, c, d] = group.map(|character| VALUES[usize::from(character)]);
        bad |= a | b | c | d;
        *out = [a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d];
    }
    let value = |at: usize| rest.get(at).map_or(0, |character| VALUES[usize::from(*character)]);
    let [a, b, c] = [value(0), value(1), value(2)];
    bad |= a | b | c;
    if bad & 0x80 != 0 {
        let at = text.iter().position(|character| VALUES[usize::from(*character)] & 0x80 != 0);
        return Err(Base64Error::Character(at.unwrap_or_default()));
    }
    let stray = match tail {
        [one] => {
            *one = a << 2 | b >> 4;
            b & 15
        }
        [one, two] => {
            [*one, *two] = [a << 2 | b >> 4, b << 4 | c >> 2];
            c & 3
        }
        _ => 0,
    };
    if stray == 0 { Ok(()) } else { Err(Base64Error::StrayBits) }
}
