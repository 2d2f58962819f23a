//! File ids: `group1/M00/00/02/fwAA….log` as a value whose parts cannot point outside a store path.

use std::{fmt, str::FromStr};

use super::{GroupName, WireError, text::is_name_text};

/// Longest file name (`M00/…`, the group not counted).
pub const MAX_FILE_NAME: usize = 127;
/// `M00/00/00/`
const PLACE: usize = 10;

/// A group and a file name in it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct FileId {
    /// The group that holds the file.
    pub group: GroupName,
    /// The name within the group.
    pub name: FileName,
}

impl FromStr for FileId {
    type Err = WireError;
    fn from_str(text: &str) -> Result<Self, WireError> {
        let (group, name) = text.split_once('/').ok_or(WireError::Text { what: "a file id" })?;
        Ok(Self { group: group.parse()?, name: name.parse()? })
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.group, self.name)
    }
}

/// A name as the wire carries it: `M`, store path, two folders, and a leaf of `A-Z a-z 0-9 . _ -`.
///
/// The leaf is neither `.` nor `..` and holds no `/`, so the name stays below its store path.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct FileName(Box<str>);

impl FileName {
    /// Puts a name together; fails when the leaf has other characters or is too long.
    pub fn new(path_index: u8, folders: (u8, u8), leaf: &str) -> Result<Self, WireError> {
        format!("M{path_index:02X}/{:02X}/{:02X}/{leaf}", folders.0, folders.1).parse()
    }

    /// The whole name, `M00/…`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Which store path holds the file.
    #[must_use]
    pub fn path_index(&self) -> u8 {
        self.hex_at(1)
    }

    /// The two folder levels.
    #[must_use]
    pub fn folders(&self) -> (u8, u8) {
        (self.hex_at(4), self.hex_at(7))
    }

    /// What follows the folders.
    #[must_use]
    pub fn leaf(&self) -> &str {
        &self.0[PLACE..]
    }

    /// The same place with another leaf.
    pub fn with_leaf(&self, leaf: &str) -> Result<Self, WireError> {
        format!("{}{leaf}", &self.0[..PLACE]).parse()
    }

    fn hex_at(&self, at: usize) -> u8 {
        u8::from_str_radix(&self.0[at..at + 2], 16).expect("the digits were checked when the name was made")
    }
}

impl FromStr for FileName {
    type Err = WireError;
    fn from_str(text: &str) -> Result<Self, WireError> {
        const WHAT: &str = "a file name";
        if text.len() <= PLACE || text.len() > MAX_FILE_NAME {
            return Err(WireError::length(WHAT, text.len()));
        }
        let place = &text.as_bytes()[..PLACE];
        let pattern = place.iter().zip(b"MXX/XX/XX/").all(|(byte, wanted)| match wanted {
            b'X' => matches!(byte, b'0'..=b'9' | b'A'..=b'F'),
            literal => byte == literal,
        });
        // The place is ASCII when the pattern holds, so cutting the text there cannot split a character.
        if !pattern || !is_name_text(&text[PLACE..]) || text[PLACE..].bytes().all(|byte| byte == b'.') {
            return Err(WireError::Text { what: WHAT });
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &self.0)
    }
}
