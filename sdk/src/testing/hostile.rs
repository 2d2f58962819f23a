//! Bytes that no peer would send, from a seed: a failure comes back with the same seed.

use super::{DeviceEnd, PlatformEnd, incoming, transfer};
use crate::session::{Device, Platform};
use crate::types::{Algorithm, Digest, Driver, File, Transfer};

/// A small generator of random numbers (SplitMix64): fast, and the same everywhere.
#[derive(Debug, Clone)]
pub struct Hostile(u64);

impl Hostile {
    /// Begins at a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below `limit`, 0 for 0.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % (limit.max(1) as u64)) as usize
    }

    /// So many random bytes.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}

/// A message with bits flipped, cut short, made longer, or with a stretch of it overwritten.
pub fn mangled(message: &[u8], random: &mut Hostile) -> Vec<u8> {
    let mut bytes = message.to_vec();
    match random.below(5) {
        0 => bytes.truncate(random.below(bytes.len())),
        1 => {
            let length = random.below(9);
            bytes.extend(random.bytes(length));
        }
        2 => {
            let (from, length) = (random.below(bytes.len()), random.below(9));
            let noise = random.bytes(length);
            bytes.iter_mut().skip(from).zip(noise).for_each(|(byte, noise)| *byte = noise);
        }
        _ => {
            for _ in 0..=random.below(3) {
                let at = random.below(bytes.len());
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
    }
    bytes
}

/// Feeds so many random messages to both sides, in pushes and pulls, on every route and on ones that do not exist.
///
/// # Panics
/// When the codec does.
pub fn hostile<P: Platform, D: Device>(count: usize) {
    let mut random = Hostile::new(1);
    let routes = P::describe().routes.len();
    let drivers: Vec<Driver> = P::describe().modes.iter().map(|mode| mode.driver).collect();
    for driver in &drivers {
        let platform = PlatformEnd::<P>::open(opening(*driver)).expect("a transfer of which everything is known opens");
        let device = DeviceEnd::<D>::open(opening(*driver)).expect("a device opens");
        for _ in 0..count / drivers.len() {
            let route = random.below(routes + 1) as u16;
            let length = random.below(64);
            let mut payload = random.bytes(length);
            if random.below(4) == 0 {
                payload.insert(0, b'{');
            }
            platform.decode(vec![incoming(route, payload.clone())]);
            device.decode(vec![incoming(route, payload)]);
        }
    }
}

fn opening(driver: Driver) -> Transfer {
    let digests = vec![Digest::new(Algorithm::Md5, [7; 16]), Digest::new(Algorithm::Sha256, [7; 32])];
    let meta = vec![("type".into(), "log".into())];
    transfer(driver, File { name: "fw.bin".into(), size: Some(10_000), digests, meta })
}
