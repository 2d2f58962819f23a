//! Status bytes: Linux error numbers, whatever system the peer runs on.

use std::fmt;

/// A status byte of an answer. 0 is success.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Status(
    /// The byte on the wire.
    pub u8,
);

impl Status {
    /// Success.
    pub const OK: Self = Self(0);
    /// No such file, group or storage.
    pub const NOT_FOUND: Self = Self(2);
    /// The disk failed.
    pub const IO: Self = Self(5);
    /// Not allowed from here.
    pub const ACCESS: Self = Self(13);
    /// Somebody else is writing.
    pub const BUSY: Self = Self(16);
    /// The name exists.
    pub const EXISTS: Self = Self(17);
    /// The request is wrong; a storage closes the connection after it.
    pub const INVALID: Self = Self(22);
    /// Larger than the server takes.
    pub const TOO_BIG: Self = Self(27);
    /// The disk is full.
    pub const NO_SPACE: Self = Self(28);

    /// Whether it is success.
    #[must_use]
    pub fn is_ok(self) -> bool {
        self == Self::OK
    }

    /// Whether the same request may succeed later without anybody changing it.
    #[must_use]
    pub fn is_transient(self) -> bool {
        matches!(self.0, 4 | 5 | 11 | 12 | 16 | 23 | 24 | 110..=113)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let meaning = match self.0 {
            0 => "success",
            2 => "not found",
            5 => "disk error",
            12 => "out of memory",
            13 => "not allowed",
            16 => "busy",
            17 => "exists already",
            21 => "is a directory",
            22 => "invalid request",
            27 => "too large",
            28 => "no space left",
            114 => "already done",
            _ => return write!(f, "status {}", self.0),
        };
        write!(f, "status {} ({meaning})", self.0)
    }
}
