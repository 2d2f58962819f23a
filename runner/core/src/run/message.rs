//! The message that started a run, kept for its codec.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// A message as it came, for a codec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstMessage {
    /// Its topic.
    pub topic: String,
    /// Its bytes in Base64.
    pub payload: String,
}

impl FirstMessage {
    /// A message of these bytes.
    pub fn new(topic: &str, payload: &[u8]) -> Self {
        Self { topic: topic.to_owned(), payload: STANDARD.encode(payload) }
    }

    /// Its bytes; nothing where they were damaged.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        STANDARD.decode(&self.payload).ok()
    }
}
