//! What can be wrong with bytes that claim to be FastDFS.

/// A message or text that does not follow the protocol. Never caused by our own values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The header announces a negative length.
    #[error("the header announces a negative body length")]
    NegativeLength,
    /// A body has a length that its message cannot have.
    #[error("{what} cannot be {length} bytes long")]
    Length {
        /// The message or field.
        what: &'static str,
        /// What was found.
        length: u64,
    },
    /// Text holds characters that its field does not allow.
    #[error("{what} holds characters that are not allowed")]
    Text {
        /// The field.
        what: &'static str,
    },
    /// A number lies outside what its field can mean.
    #[error("{what} is out of range")]
    Number {
        /// The field.
        what: &'static str,
    },
    /// An answer carries another command than 100.
    #[error("an answer carries command {0} and not 100")]
    NotAnAnswer(u8),
}

impl WireError {
    pub(crate) fn length(what: &'static str, length: usize) -> Self {
        Self::Length { what, length: length as u64 }
    }
}
