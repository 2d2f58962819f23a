//! MurmurHash3 by Austin Appleby (public domain), seed 0: x86 with 32 bits and x64 with 128 bits, piece by piece.

/// Whole blocks of `N` bytes, and what is left of the last.
#[derive(Debug, Clone)]
struct Blocks<const N: usize> {
    rest: [u8; N],
    held: usize,
    length: u64,
}

impl<const N: usize> Default for Blocks<N> {
    fn default() -> Self {
        Self { rest: [0; N], held: 0, length: 0 }
    }
}

impl<const N: usize> Blocks<N> {
    fn update(&mut self, mut bytes: &[u8], mut mix: impl FnMut(&[u8; N])) {
        self.length = self.length.wrapping_add(bytes.len() as u64);
        if self.held > 0 {
            let count = bytes.len().min(N - self.held);
            let (first, others) = bytes.split_at(count);
            self.rest[self.held..self.held + count].copy_from_slice(first);
            (self.held, bytes) = (self.held + count, others);
            if self.held < N {
                return;
            }
            mix(&self.rest);
            self.held = 0;
        }
        let (blocks, rest) = bytes.as_chunks::<N>();
        blocks.iter().for_each(mix);
        self.rest[..rest.len()].copy_from_slice(rest);
        self.held = rest.len();
    }

    /// The last block, zeros behind what is there.
    fn tail(mut self) -> [u8; N] {
        self.rest[self.held..].fill(0);
        self.rest
    }
}

/// `MurmurHash3_x86_32`.
#[derive(Debug, Clone, Default)]
pub(super) struct X86 {
    blocks: Blocks<4>,
    hash: u32,
}

impl X86 {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        let hash = &mut self.hash;
        self.blocks.update(bytes, |block| {
            *hash ^= Self::scramble(u32::from_le_bytes(*block));
            *hash = hash.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
        });
    }

    fn scramble(block: u32) -> u32 {
        block.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593)
    }

    pub(super) fn finish(self) -> u32 {
        // The algorithm counts in 32 bits.
        let length = self.blocks.length as u32;
        let mut hash = self.hash ^ Self::scramble(u32::from_le_bytes(self.blocks.tail())) ^ length;
        hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
        hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
        hash ^ (hash >> 16)
    }
}

/// `MurmurHash3_x64_128`.
#[derive(Debug, Clone, Default)]
pub(super) struct X64 {
    blocks: Blocks<16>,
    low: u64,
    high: u64,
}

impl X64 {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        let (low, high) = (&mut self.low, &mut self.high);
        self.blocks.update(bytes, |block| {
            let (first, second) = halves(block);
            *low = (*low ^ scramble_low(first)).rotate_left(27).wrapping_add(*high);
            *low = low.wrapping_mul(5).wrapping_add(0x52dc_e729);
            *high = (*high ^ scramble_high(second)).rotate_left(31).wrapping_add(*low);
            *high = high.wrapping_mul(5).wrapping_add(0x3849_5ab5);
        });
    }

    /// The second half of the result above the first.
    pub(super) fn finish(self) -> u128 {
        let length = self.blocks.length;
        let (first, second) = halves(&self.blocks.tail());
        let low = self.low ^ scramble_low(first) ^ length;
        let high = self.high ^ scramble_high(second) ^ length;
        let low = low.wrapping_add(high);
        let high = high.wrapping_add(low);
        let (low, high) = (mixed(low), mixed(high));
        let low = low.wrapping_add(high);
        let high = high.wrapping_add(low);
        u128::from(high) << 64 | u128::from(low)
    }
}

fn halves(block: &[u8; 16]) -> (u64, u64) {
    let both = u128::from_le_bytes(*block);
    (both as u64, (both >> 64) as u64)
}

const C1: u64 = 0x87c3_7b91_1142_53d5;
const C2: u64 = 0x4cf5_ad43_2745_937f;

fn scramble_low(block: u64) -> u64 {
    block.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2)
}

fn scramble_high(block: u64) -> u64 {
    block.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1)
}

fn mixed(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}
