//! Finds the end of a string fast: packets are one long string of Base64.

/// Place of the first quotation mark or backslash.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn special(text: &[u8]) -> Option<usize> {
    let (words, _) = text.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let hits = zeros(word ^ (ONES * 0x22)) | zeros(word ^ (ONES * 0x5c));
        if hits != 0 {
            return Some(index * 8 + hits.trailing_zeros() as usize / 8);
        }
    }
    tail(text, words.len() * 8)
}

#[cfg(not(target_arch = "wasm32"))]
const ONES: u64 = u64::MAX / 255;

/// The top bit of each byte that is zero; above the lowest such byte there may be false ones.
#[cfg(not(target_arch = "wasm32"))]
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & (ONES << 7)
}

/// Place of the first quotation mark or backslash.
#[cfg(target_arch = "wasm32")]
#[target_feature(enable = "simd128")]
pub(super) fn special(text: &[u8]) -> Option<usize> {
    use std::arch::wasm32::{u8x16_bitmask, u8x16_eq, u8x16_splat, u64x2, v128_or};

    let (blocks, _) = text.as_chunks::<16>();
    for (index, block) in blocks.iter().enumerate() {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *block;
        let (low, high) = ([a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, p]);
        let block = u64x2(u64::from_le_bytes(low), u64::from_le_bytes(high));
        let hits = v128_or(u8x16_eq(block, u8x16_splat(b'"')), u8x16_eq(block, u8x16_splat(b'\\')));
        let hits = u8x16_bitmask(hits);
        if hits != 0 {
            return Some(index * 16 + hits.trailing_zeros() as usize);
        }
    }
    tail(text, blocks.len() * 16)
}

fn tail(text: &[u8], from: usize) -> Option<usize> {
    let rest = text.get(from..)?;
    rest.iter().position(|byte| matches!(byte, b'"' | b'\\')).map(|at| from + at)
}

#[cfg(test)]
mod tests {
    use super::special;

    #[test]
    fn finds_the_first_at_every_place() {
        for length in 0..40 {
            for at in 0..length {
                for mark in [b'"', b'\\'] {
                    let mut text = vec![0x23u8; length];
                    text[at] = mark;
                    text[length - 1] = if at + 1 == length { mark } else { b'"' };
                    assert_eq!(special(&text), Some(at));
                }
            }
            assert_eq!(special(&vec![0xa2; length]), None);
        }
    }
}
