//! The whole border between deciding and doing: what a step asks the outside to do, and what came of it.

use crate::failure::Failure;
use crate::file::FileRef;
use crate::transfer::{Budget, Digest, Qos};
pub use crate::transfer::{Confirmed, Traffic};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// What a step asks the outside to do. Each is answered by exactly one [`Reply`] or a [`Failure`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Effect {
    /// Moves or checks a file between platform and device.
    Transfer(TransferRequest),
    /// Publishes one MQTT message.
    Publish(PublishRequest),
    /// Publishes one MQTT message and waits for an answer.
    Request(MqttRequest),
    /// One operation on the key-value store.
    Kv(KvRequest),
    /// Stores a file in the file store.
    Upload {
        /// What to store.
        file: FileRef,
        /// Extension without a dot, at most 6 bytes; empty = the name's.
        ext: String,
    },
    /// Writes a stored file to a local path.
    Download {
        /// What to fetch.
        file: FileRef,
        /// Where to; written under a temporary name, then renamed.
        to: String,
    },
    /// Asks the file store about a file.
    BlobInfo {
        /// Its uri.
        uri: String,
    },
    /// Deletes a file from the file store.
    BlobDelete {
        /// Its uri.
        uri: String,
    },
    /// Computes size, MD5 and SHA-256 of a file from its bytes as they are now.
    Digest {
        /// Whose.
        file: FileRef,
    },
    /// Tells people something.
    Log {
        /// How loud.
        level: LogLevel,
        /// A sentence.
        message: String,
        /// Fields beside it.
        fields: BTreeMap<String, Value>,
    },
}

/// What came of an [`Effect`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reply {
    /// Done, with nothing to tell.
    Done,
    /// A transfer ended well, or a verify got its answer.
    Transfer(TransferReport),
    /// The answer to an MQTT request.
    Message(MessageReply),
    /// The value of a key-value operation, `null` where there is none.
    Value {
        /// Text, number, map of text, or null.
        value: Value,
    },
    /// A stored file.
    Stored {
        /// With its uri in the file store.
        file: FileRef,
    },
    /// What the file store knows of a file.
    Info {
        /// In bytes.
        size: u64,
        /// CRC-32 of the content as the store knows it.
        crc32: Option<u32>,
        /// Unix seconds.
        created: Option<u64>,
    },
    /// Digests computed from the bytes.
    Digests {
        /// In bytes.
        size: u64,
        /// Lowercase hex.
        md5: String,
        /// Lowercase hex.
        sha256: String,
    },
}

/// What an effect came to.
pub type Outcome = Result<Reply, Failure>;

/// A transfer or a verify, with everything that the workflow said about it. Codec, vars and limits of the broker join it in `link`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TransferRequest {
    /// What to do.
    pub task: TransferTask,
    /// Device id.
    pub device: String,
    /// Packets in flight; absent = the codec's default.
    #[serde(default)]
    pub window: Option<u16>,
    /// Bytes of file in a packet; absent = as many as `message_limit` allows.
    #[serde(default)]
    pub packet_size: Option<u32>,
    /// Upper bound of a whole MQTT payload in bytes; absent = 1 KiB.
    #[serde(default)]
    pub message_limit: Option<u32>,
    /// Wire bytes a second, both directions.
    #[serde(default)]
    pub rate: Option<u64>,
    /// Wire bytes in a run, a day or a month, both directions.
    #[serde(default)]
    pub budget: Option<Budget>,
    /// Told to the codec.
    #[serde(default)]
    pub meta: BTreeMap<String, String>,
}

/// The three transfers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub enum TransferTask {
    /// Platform to device.
    Push {
        /// What to send.
        file: FileRef,
    },
    /// Device to platform.
    Pull {
        /// What to ask for, in the device's words.
        file_type: String,
        /// Name for the stored file; absent = the device's, else `file_type`.
        name: Option<String>,
        /// How it is stored.
        #[serde(default)]
        layout: Layout,
    },
    /// Asks the device for the digest of what it holds.
    Verify {
        /// What it should hold.
        file: FileRef,
    },
}

/// How a pulled file lies in the file store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Layout {
    /// As one file.
    #[default]
    Whole,
    /// One file a packet, and a list of them.
    PerPacket,
}

/// What a transfer or verify ended with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TransferReport {
    /// Push: what was sent. Pull: what was stored. Verify: what was asked about.
    pub file: FileRef,
    /// How sure it is. For a verify: whether a digest came at all.
    pub confirmed: Confirmed,
    /// Size on the device, where it told one.
    pub device_size: Option<u64>,
    /// Digests that the device told.
    pub device_digests: Vec<Digest>,
    /// Verify: our digests of the file, of every kind that devices of this codec know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub own_digests: Vec<Digest>,
    /// What it cost.
    pub traffic: Traffic,
}

/// One MQTT message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishRequest {
    /// Where to; no wildcards.
    pub topic: String,
    /// Its bytes.
    pub payload: Vec<u8>,
    /// Quality of service.
    pub qos: Qos,
    /// MQTT retain flag.
    pub retain: bool,
}

/// One MQTT message that is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MqttRequest {
    /// The question.
    pub publish: PublishRequest,
    /// Where the answer comes; subscribed before the question goes out.
    pub reply_topic: String,
    /// How long to wait for it.
    pub wait: Duration,
}

/// An answer over MQTT.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageReply {
    /// Its topic.
    pub topic: String,
    /// Its bytes.
    pub payload: Vec<u8>,
}

/// One operation on the key-value store: the Redis commands of the same names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the Redis commands of the same names document them")]
pub enum KvRequest {
    Get { key: String },
    Set { key: String, value: String, expire: Option<Duration> },
    Del { key: String },
    Incr { key: String, by: i64 },
    Hset { key: String, field: String, value: String },
    Hget { key: String, field: String },
    Hgetall { key: String },
    Hdel { key: String, field: String },
    Expire { key: String, after: Duration },
    Xadd { key: String, fields: Vec<(String, String)>, maxlen: Option<u64> },
}

/// How loud a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words say it")]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}
