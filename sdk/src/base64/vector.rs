//! Base64 in 128-bit vectors: 12 bytes and 16 characters a step. Leaves the rest, and all that is odd, to `scalar`.
//!
//! The method is that of Muła and Lemire, "Faster Base64 Encoding and Decoding Using AVX2 Instructions" (2018).

use std::arch::wasm32::{
    i8x16_shuffle, u8x16, u8x16_add, u8x16_eq, u8x16_lt, u8x16_shr, u8x16_splat, u8x16_sub_sat, u8x16_swizzle,
    u16x8_shl, u16x8_shr, u16x8_splat, u32x4_shl, u32x4_shr, u32x4_splat, u64x2, u64x2_extract_lane, v128, v128_and,
    v128_any_true, v128_or,
};

/// Encodes whole steps; gives back what is left of both.
#[target_feature(enable = "simd128")]
pub(super) fn encode<'a, 'b>(mut bytes: &'a [u8], mut text: &'b mut [u8]) -> (&'a [u8], &'b mut [u8]) {
    // Sixteen bytes are read for twelve that are used.
    while let Some(block) = bytes.first_chunk::<16>() {
        let Some(room) = text.first_chunk_mut::<16>() else { break };
        store(characters(sixes(load(block))), room);
        bytes = &bytes[12..];
        text = &mut text[16..];
    }
    (bytes, text)
}

/// Decodes whole steps of the standard alphabet and stops before anything else. Gives back how many characters are done, and the
/// room that is left.
#[target_feature(enable = "simd128")]
pub(super) fn decode<'b>(text: &[u8], mut bytes: &'b mut [u8]) -> (usize, &'b mut [u8]) {
    let mut done = 0;
    // Sixteen bytes are written, of which the next step overwrites four.
    while let Some(block) = text.get(done..).and_then(|left| left.first_chunk::<16>()) {
        let Some(values) = values(load(block)) else { break };
        let Some(room) = bytes.first_chunk_mut::<16>() else { break };
        store(packed(values), room);
        bytes = &mut bytes[12..];
        done += 16;
    }
    (done, bytes)
}

/// Twelve bytes as sixteen numbers below 64.
#[target_feature(enable = "simd128")]
fn sixes(bytes: v128) -> v128 {
    // Each lane of 32 bits holds 24 bits of the message, most significant first.
    let lanes = i8x16_shuffle::<2, 1, 0, 3, 5, 4, 3, 6, 8, 7, 6, 9, 11, 10, 9, 12>(bytes, bytes);
    let first = v128_and(u32x4_shr(lanes, 18), u32x4_splat(0x3f));
    let second = v128_and(u32x4_shr(lanes, 4), u32x4_splat(0x3f00));
    let third = v128_and(u32x4_shl(lanes, 10), u32x4_splat(0x3f_0000));
    let fourth = v128_and(u32x4_shl(lanes, 24), u32x4_splat(0x3f00_0000));
    // The byte of the next group that fills a lane up is shifted out of `first` by its mask.
    v128_or(v128_or(first, second), v128_or(third, fourth))
}

/// Numbers below 64 as characters: each range of the alphabet has its own distance.
#[target_feature(enable = "simd128")]
fn characters(values: v128) -> v128 {
    let distances = u8x16(71, 252, 252, 252, 252, 252, 252, 252, 252, 252, 252, 237, 240, 65, 0, 0);
    // 0 for a-z, 1 to 10 for digits, 11 and 12 for the two signs; 13 for A-Z.
    let range = u8x16_sub_sat(values, u8x16_splat(51));
    let capital = v128_and(u8x16_lt(values, u8x16_splat(26)), u8x16_splat(13));
    u8x16_add(values, u8x16_swizzle(distances, v128_or(range, capital)))
}

/// Characters as numbers below 64, or nothing when one is outside the alphabet.
#[target_feature(enable = "simd128")]
fn values(text: v128) -> Option<v128> {
    let high = u8x16_shr(text, 4);
    let low = v128_and(text, u8x16_splat(15));
    // Bit n of the two tables: a high half and a low half that do not go together.
    let by_low = u8x16(0x15, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x13, 0x1a, 0x1b, 0x1b, 0x1b, 0x1a);
    let by_high = u8x16(0x10, 0x10, 1, 2, 4, 8, 4, 8, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10);
    if v128_any_true(v128_and(u8x16_swizzle(by_low, low), u8x16_swizzle(by_high, high))) {
        return None;
    }
    let distances = u8x16(0, 16, 19, 4, 191, 191, 185, 185, 0, 0, 0, 0, 0, 0, 0, 0);
    // A slash shares its high half with the plus sign: one less, the all-ones of the comparison added.
    let slash = u8x16_eq(text, u8x16_splat(b'/'));
    Some(u8x16_add(text, u8x16_swizzle(distances, u8x16_add(high, slash))))
}

/// Sixteen numbers below 64 as twelve bytes; the last four lanes are zero.
#[target_feature(enable = "simd128")]
fn packed(values: v128) -> v128 {
    let twelves = v128_or(v128_and(u16x8_shl(values, 6), u16x8_splat(0x0fc0)), u16x8_shr(values, 8));
    let lanes = v128_or(v128_and(u32x4_shl(twelves, 12), u32x4_splat(0x00ff_f000)), u32x4_shr(twelves, 16));
    u8x16_swizzle(lanes, u8x16(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, 255, 255, 255, 255))
}

#[target_feature(enable = "simd128")]
fn load(block: &[u8; 16]) -> v128 {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *block;
    u64x2(u64::from_le_bytes([a, b, c, d, e, f, g, h]), u64::from_le_bytes([i, j, k, l, m, n, o, p]))
}

#[target_feature(enable = "simd128")]
fn store(lanes: v128, room: &mut [u8; 16]) {
    let (low, high) = room.split_at_mut(8);
    low.copy_from_slice(&u64x2_extract_lane::<0>(lanes).to_le_bytes());
    high.copy_from_slice(&u64x2_extract_lane::<1>(lanes).to_le_bytes());
}
