//! Which faults there are, and which connection suffers which: a function of seed and number.

use rand::{Rng as _, SeedableRng as _};
use std::ops::Range;

/// A direction through the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the client to the service.
    Up,
    /// From the service to the client.
    Down,
}

/// What a fault is called where it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Closed in order after some bytes.
    Cut,
    /// Reset after some bytes.
    Reset,
    /// Open, and nothing goes through any more.
    HalfOpen,
    /// Accepted and never answered.
    BlackHole,
    /// Reset as soon as it is there.
    Refuse,
    /// Few bytes a second, late.
    Slow,
    /// One byte a packet.
    Split,
    /// A bit turned over.
    Flip,
}

/// Every kind.
pub const KINDS: [Kind; 8] =
    [Kind::Cut, Kind::Reset, Kind::HalfOpen, Kind::BlackHole, Kind::Refuse, Kind::Slow, Kind::Split, Kind::Flip];

/// What befalls one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Closed in order when so many bytes went this way.
    Cut(Way, u64),
    /// Reset when so many bytes went this way.
    Reset(Way, u64),
    /// When so many bytes went this way, nothing goes through in either direction and nobody is told.
    HalfOpen(Way, u64),
    /// Accepted, read by nobody.
    BlackHole,
    /// Reset at once.
    Refuse,
    /// Bytes a second each way, and milliseconds that each read waits.
    Slow(u64, u64),
    /// Each byte is a write of its own.
    Split,
    /// The lowest bit of the byte after so many is turned over.
    Flip(Way, u64),
}

/// What befalls connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sky {
    /// Nothing.
    Clear,
    /// Each the same.
    All(Fault),
    /// Each one of these kinds, after a number of bytes in the range, in either direction.
    Seeded(Vec<Kind>, Range<u64>),
}

impl Sky {
    /// The fault of the connection with this number.
    pub fn fault(&self, seed: u64, number: u64) -> Option<Fault> {
        match self {
            Self::Clear => None,
            Self::All(fault) => Some(*fault),
            Self::Seeded(kinds, range) => {
                let mut random = rand::rngs::SmallRng::seed_from_u64(seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
                let kind = kinds[random.random_range(0..kinds.len())];
                let way = if random.random_bool(0.5) { Way::Up } else { Way::Down };
                Some(kind.at(way, random.random_range(range.clone())))
            }
        }
    }
}

impl Kind {
    fn at(self, way: Way, byte: u64) -> Fault {
        match self {
            Self::Cut => Fault::Cut(way, byte),
            Self::Reset => Fault::Reset(way, byte),
            Self::HalfOpen => Fault::HalfOpen(way, byte),
            Self::BlackHole => Fault::BlackHole,
            Self::Refuse => Fault::Refuse,
            Self::Slow => Fault::Slow(64 * 1024, 20),
            Self::Split => Fault::Split,
            Self::Flip => Fault::Flip(way, byte),
        }
    }
}

impl Fault {
    /// Its kind.
    pub const fn kind(self) -> Kind {
        match self {
            Self::Cut(..) => Kind::Cut,
            Self::Reset(..) => Kind::Reset,
            Self::HalfOpen(..) => Kind::HalfOpen,
            Self::BlackHole => Kind::BlackHole,
            Self::Refuse => Kind::Refuse,
            Self::Slow(..) => Kind::Slow,
            Self::Split => Kind::Split,
            Self::Flip(..) => Kind::Flip,
        }
    }

    /// After how many bytes of this way the connection suffers it; none where it does not depend on bytes, or on others.
    pub(super) fn after(self, way: Way) -> Option<u64> {
        match self {
            Self::Cut(at, byte) | Self::Reset(at, byte) | Self::HalfOpen(at, byte) | Self::Flip(at, byte) => {
                (at == way).then_some(byte)
            }
            Self::BlackHole | Self::Refuse | Self::Slow(..) | Self::Split => None,
        }
    }
}
