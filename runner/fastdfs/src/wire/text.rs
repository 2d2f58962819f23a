//! Group names, extensions, slave prefixes and storage ids: short texts that are checked once and then fit their field.

use std::{fmt, str::FromStr};

use super::WireError;

/// Text of at most `N` bytes, all ASCII.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Short<const N: usize> {
    length: u8,
    bytes: [u8; N],
}

impl<const N: usize> Short<N> {
    fn new(text: &str, allowed: fn(u8) -> bool, what: &'static str) -> Result<Self, WireError> {
        if text.len() > N {
            return Err(WireError::length(what, text.len()));
        }
        if !text.bytes().all(allowed) {
            return Err(WireError::Text { what });
        }
        let mut bytes = [0; N];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Self { length: text.len() as u8, bytes })
    }

    fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..usize::from(self.length)]).expect("only ASCII was let in")
    }
}

fn name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

fn group_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn id_byte(byte: u8) -> bool {
    byte.is_ascii_graphic()
}

macro_rules! short_text {
    ($(#[$doc:meta])* $name:ident, $width:literal, $what:literal, $allowed:ident, empty: $empty:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name(Short<$width>);

        impl $name {
            /// Width of its field on the wire.
            pub const WIDTH: usize = $width;

            /// Checks length and characters.
            pub fn new(text: &str) -> Result<Self, WireError> {
                if text.is_empty() && !$empty {
                    return Err(WireError::length($what, 0));
                }
                Short::new(text, $allowed, $what).map(Self)
            }

            /// The text, without padding.
            #[must_use]
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl FromStr for $name {
            type Err = WireError;
            fn from_str(text: &str) -> Result<Self, WireError> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.as_str())
            }
        }
    };
}

short_text! {
    /// A group: 1 to 16 of `A-Z a-z 0-9`.
    GroupName, 16, "a group name", group_byte, empty: false
}
short_text! {
    /// An extension without its dot: 0 to 6 of `A-Z a-z 0-9 . _ -`.
    Extension, 6, "a file extension", name_byte, empty: true
}
short_text! {
    /// What a slave's name adds to its master's: 1 to 16 of `A-Z a-z 0-9 . _ -`.
    SlavePrefix, 16, "a slave prefix", name_byte, empty: false
}
short_text! {
    /// A storage in requests: 1 to 15 characters, its number or its address.
    StorageId, 15, "a storage id", id_byte, empty: false
}

impl Extension {
    /// The extension that FastDFS can carry for a local file name: what follows the last dot, when it fits, else none.
    #[must_use]
    pub fn of_file_name(name: &str) -> Self {
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        Self::new(extension).unwrap_or_else(|_| Self::none())
    }

    /// No extension.
    #[must_use]
    pub fn none() -> Self {
        Self(Short { length: 0, bytes: [0; 6] })
    }
}

pub(super) fn is_name_text(text: &str) -> bool {
    text.bytes().all(name_byte)
}
