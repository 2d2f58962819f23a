//! A file as runs know it: where its bytes are and what they are; never the bytes.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A `file` value, fixed when the run is created: bytes that are other ones later are the permanent failure `source_changed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRef {
    /// `file:/absolute/path` or `fastdfs:group1/M00/00/00/…`.
    pub uri: String,
    /// For people and devices: the last part of the path it came from.
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// Lowercase hex: the identity that devices know.
    pub md5: String,
    /// Lowercase hex: what we trust.
    pub sha256: String,
    /// What the workflow says about it: `type`, `title`, `version`, …
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub meta: BTreeMap<String, String>,
}
