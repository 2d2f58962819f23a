//! `transfer.push`: one file from the platform to a device.

use super::kinds::{Device, File, PacketSize, Rate, Require, Size, TrafficBudget};
use super::{EffectClass, OutputField, Outputs, Primitive, Start, read};
use crate::effect::{Effect, Reply, TransferRequest, TransferTask};
use crate::failure::{Class, Failure};
use crate::transfer::Algorithm;
use crate::workflow::codes;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Parameters of `transfer.push`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Push {
    /// Device id.
    device: Device,
    /// What to send.
    file: File,
    /// Packets in flight, 1 to 1024; absent = the codec's default. 1 for devices that only append.
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
    /// Told to the codec, as text: `version`, `title`, `type`. `url` is where a device that fetches files by itself finds this one.
    meta: Option<BTreeMap<String, String>>,
    /// What must hold before the first packet is sent, over `file` (with this step's `meta` in `file.meta`) and `device`:
    /// `file.meta.hw == device.hw`. Bare CEL, or a list of which all must hold; looked at once, when the step begins.
    #[schemars(extend("format" = "conditions"))]
    require: Option<Require>,
}

pub(super) static PRIMITIVE: Primitive = Primitive {
    name: "transfer.push",
    about: "Sends one file to one device and resumes where it was cut.",
    parameters: read::schema::<Push>,
    outputs: &[
        OutputField { name: "file", kind: "file", about: "What was sent." },
        OutputField { name: "md5", kind: "string", about: "MD5 of what was sent: ours." },
        OutputField { name: "sha256", kind: "string", about: "SHA-256 of what was sent: ours." },
        OutputField { name: "device_md5", kind: "string?", about: "MD5 that the device told of what it stored." },
        OutputField {
            name: "confirmed",
            kind: "string",
            about: "How sure it is: device_digest (the device told a digest, and it is ours), device_verdict (the device said that it is good), acks (every byte was acknowledged, nothing more is known).",
        },
        OutputField {
            name: "traffic",
            kind: "map",
            about: "payload_bytes, wire_bytes, retransmitted_bytes, packets, resumes.",
        },
    ],
    errors: &[
        (codes::PUSH_DIFFERS, "the device told another digest than that of the file (permanent)"),
        (codes::REQUIRED, "what `require` says does not hold: nothing was sent (permanent)"),
    ],
    class: EffectClass::OffsetAddressed,
    example: "\
- id: push
  uses: transfer.push
  with: { device: \"${{ inputs.device }}\", file: \"${{ inputs.image }}\", window: 16 }
  timeout: 2h
  retry: { max_attempts: 3, backoff: { initial: 2s, max: 5m } }
",
    start,
    finish,
};

fn start(with: &Map<String, Value>) -> Result<Start, Failure> {
    let push: Push = read::parameters(&PRIMITIVE, with)?;
    let unmet = push.require.map(Require::into_vec).unwrap_or_default();
    if !unmet.is_empty() {
        let message = format!("transfer.push: nothing was sent to {}: {}", push.device.0, unmet.join("; "));
        return Err(Failure::new(codes::REQUIRED, Class::Permanent, message)
            .hint("push another file, or mend the device's entry, and start a new run"));
    }
    let request = TransferRequest {
        task: TransferTask::Push { file: push.file.0 },
        device: push.device.0,
        window: push.window,
        packet_size: push.packet_size.and_then(|size| size.0),
        message_limit: read::message_limit(&PRIMITIVE, push.message_limit)?,
        rate: push.rate.map(|rate| rate.0),
        budget: push.budget.map(Into::into),
        meta: push.meta.unwrap_or_default(),
    };
    Ok(Start::Effect(Box::new(Effect::Transfer(request))))
}

fn finish(_: &Map<String, Value>, reply: Reply) -> Result<Outputs, Failure> {
    let Reply::Transfer(report) = reply else { return Err(read::unexpected(&PRIMITIVE, &reply)) };
    let device_md5 = read::digest(&report.device_digests, Algorithm::Md5);
    if let Some(md5) = device_md5.as_ref().filter(|md5| **md5 != report.file.md5) {
        let message = format!("transfer.push: the device reports the MD5 {md5}, and the file has {}", report.file.md5);
        return Err(Failure::new(codes::PUSH_DIFFERS, Class::Permanent, message)
            .hint("push it again; if it stays, the device stores something else"));
    }
    Ok(read::outputs([
        ("md5", read::json(&report.file.md5)),
        ("sha256", read::json(&report.file.sha256)),
        ("file", read::json(&report.file)),
        ("device_md5", read::json(&device_md5)),
        ("confirmed", read::json(&report.confirmed)),
        ("traffic", read::json(&report.traffic)),
    ]))
}
