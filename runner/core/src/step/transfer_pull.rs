//! `transfer.pull`: one file from a device to the platform.

use super::kinds::{Device, PacketSize, Rate, Size, TrafficBudget};
use super::{EffectClass, OutputField, Outputs, Primitive, Start, read};
use crate::effect::{Effect, Layout, Reply, TransferRequest, TransferTask};
use crate::failure::Failure;
use crate::transfer::Algorithm;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Parameters of `transfer.pull`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Pull {
    /// Device id.
    device: Device,
    /// What to ask for, in the device's words: `syslog`.
    #[schemars(length(min = 1, max = 256))]
    file_type: String,
    /// Name for the stored file; absent = the device's, else `file_type`.
    #[schemars(length(min = 1, max = 256))]
    name: Option<String>,
    /// Packets in flight, 1 to 1024; absent = the codec's default.
    #[schemars(range(min = 1, max = 1024))]
    window: Option<u16>,
    /// Bytes of file in a packet, or `auto` (the default): as many as `message_limit` allows.
    packet_size: Option<PacketSize>,
    /// Upper bound of a whole MQTT payload; 1KiB where it is not given.
    message_limit: Option<Size>,
    /// Wire bytes a second, both directions; absent = no bound.
    rate: Option<Rate>,
    /// Wire bytes in a run, a day or a month, both directions, with overhead and repetitions: `{ bytes: 10MiB, per: day }`. Spent, the
    /// step waits for the next day or month (UTC), or, per run, for a person: `packhorse resume` grants the same again.
    budget: Option<TrafficBudget>,
    /// How the file is stored: `whole` (the default), as one file; `per_packet`, one file a packet with a list of them, whose uri
    /// begins with `packets:` and can be used like any other.
    layout: Option<Layout>,
}

pub(super) static PRIMITIVE: Primitive = Primitive {
    name: "transfer.pull",
    about: "Fetches one file from one device into the file store and resumes where it was cut.",
    parameters: read::schema::<Pull>,
    outputs: &[
        OutputField { name: "file", kind: "file", about: "What was stored, with its uri in the file store." },
        OutputField { name: "md5", kind: "string", about: "MD5 of what was stored: ours." },
        OutputField { name: "sha256", kind: "string", about: "SHA-256 of what was stored: ours." },
        OutputField { name: "device_md5", kind: "string?", about: "MD5 that the device told." },
        OutputField {
            name: "confirmed",
            kind: "string",
            about: "How sure it is: device_digest, device_verdict or acks.",
        },
        OutputField {
            name: "traffic",
            kind: "map",
            about: "payload_bytes, wire_bytes, retransmitted_bytes, packets, resumes.",
        },
    ],
    errors: &[],
    class: EffectClass::OffsetAddressed,
    example: "\
- id: pull
  uses: transfer.pull
  with: { device: \"${{ inputs.device }}\", file_type: syslog, window: 8 }
  retry: { max_attempts: 30, backoff: { initial: 5s, max: 15m } }
",
    start,
    finish,
};

fn start(with: &Map<String, Value>) -> Result<Start, Failure> {
    let pull: Pull = read::parameters(&PRIMITIVE, with)?;
    let request = TransferRequest {
        task: TransferTask::Pull {
            file_type: pull.file_type,
            name: pull.name,
            layout: pull.layout.unwrap_or_default(),
        },
        device: pull.device.0,
        window: pull.window,
        packet_size: pull.packet_size.and_then(|size| size.0),
        message_limit: read::message_limit(&PRIMITIVE, pull.message_limit)?,
        rate: pull.rate.map(|rate| rate.0),
        budget: pull.budget.map(Into::into),
        meta: BTreeMap::new(),
    };
    Ok(Start::Effect(Box::new(Effect::Transfer(request))))
}

fn finish(_: &Map<String, Value>, reply: Reply) -> Result<Outputs, Failure> {
    let Reply::Transfer(report) = reply else { return Err(read::unexpected(&PRIMITIVE, &reply)) };
    Ok(read::outputs([
        ("md5", read::json(&report.file.md5)),
        ("sha256", read::json(&report.file.sha256)),
        ("file", read::json(&report.file)),
        ("device_md5", read::json(&read::digest(&report.device_digests, Algorithm::Md5))),
        ("confirmed", read::json(&report.confirmed)),
        ("traffic", read::json(&report.traffic)),
    ]))
}
