//! `transfer.verify`: asks a device for the digest of what it holds.

use super::kinds::{Device, File};
use super::{EffectClass, OutputField, Outputs, Primitive, Start, read};
use crate::effect::{Effect, Reply, TransferReport, TransferRequest, TransferTask};
use crate::failure::{Class, Failure};
use crate::transfer::Algorithm;
use crate::workflow::codes;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
/// Parameters of `transfer.verify`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Verify {
    /// Device id.
    device: Device,
    /// What it should hold.
    file: File,
    /// What a difference means: `fail` (the default) fails the step, `report` only tells it in `same`.
    on_difference: Option<OnDifference>,
}

/// What a difference means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum OnDifference {
    Fail,
    Report,
}

pub(super) static PRIMITIVE: Primitive = Primitive {
    name: "transfer.verify",
    about: "Asks one device for the digest of a file, as it is stored there now, and compares it with ours.",
    parameters: read::schema::<Verify>,
    outputs: &[
        OutputField { name: "same", kind: "boolean", about: "Whether the device holds exactly this file." },
        OutputField { name: "device_md5", kind: "string?", about: "MD5 that the device told." },
        OutputField { name: "device_size", kind: "integer?", about: "Size that the device told, in bytes." },
        OutputField {
            name: "confirmed",
            kind: "string",
            about: "device_digest where the device told a digest; else what it told instead.",
        },
        OutputField {
            name: "traffic",
            kind: "map",
            about: "payload_bytes, wire_bytes, retransmitted_bytes, packets, resumes.",
        },
    ],
    errors: &[
        (codes::VERIFY_DIFFERS, "the device holds another file or none, and on_difference is fail (permanent)"),
        (codes::NOT_COMPARABLE, "the device told only digests that we do not know of the file (permanent)"),
    ],
    class: EffectClass::Pure,
    example: "\
- id: check
  uses: transfer.verify
  with: { device: \"${{ inputs.device }}\", file: \"${{ inputs.image }}\", on_difference: report }
",
    start,
    finish,
};

fn start(with: &Map<String, Value>) -> Result<Start, Failure> {
    let verify: Verify = read::parameters(&PRIMITIVE, with)?;
    let request = TransferRequest {
        task: TransferTask::Verify { file: verify.file.0 },
        device: verify.device.0,
        window: None,
        packet_size: None,
        message_limit: None,
        rate: None,
        budget: None,
        meta: BTreeMap::new(),
    };
    Ok(Start::Effect(Box::new(Effect::Transfer(request))))
}

fn finish(with: &Map<String, Value>, reply: Reply) -> Result<Outputs, Failure> {
    let Reply::Transfer(report) = reply else { return Err(read::unexpected(&PRIMITIVE, &reply)) };
    let verify: Verify = read::parameters(&PRIMITIVE, with)?;
    let device_md5 = read::digest(&report.device_digests, Algorithm::Md5);
    let same = same(&report, &verify)?;
    if !same && verify.on_difference != Some(OnDifference::Report) {
        let holds = match (&device_md5, report.device_digests.is_empty()) {
            (Some(md5), _) => format!("a file with the MD5 {md5}"),
            (None, true) => "no such file".to_owned(),
            (None, false) => "another file".to_owned(),
        };
        let message = format!(
            "transfer.verify: {} holds {holds}, not `{}` with the MD5 {}",
            verify.device.0, verify.file.0.name, verify.file.0.md5
        );
        return Err(Failure::new(codes::VERIFY_DIFFERS, Class::Permanent, message)
            .hint("push it again, or use on_difference: report and decide in the workflow"));
    }
    Ok(read::outputs([
        ("same", Value::Bool(same)),
        ("device_md5", read::json(&device_md5)),
        ("device_size", read::json(&report.device_size)),
        ("confirmed", read::json(&report.confirmed)),
        ("traffic", read::json(&report.traffic)),
    ]))
}

/// Compares what the device told with what we know: every digest that both know, and the size where it is told.
fn same(report: &TransferReport, verify: &Verify) -> Result<bool, Failure> {
    let ours = &verify.file.0;
    if report.device_digests.is_empty() {
        return Ok(false);
    }
    let known = [(Algorithm::Md5, &ours.md5), (Algorithm::Sha256, &ours.sha256)].into_iter().filter_map(
        |(algorithm, digest)| read::digest(&report.device_digests, algorithm).map(|theirs| theirs == *digest),
    );
    let others = report.own_digests.iter().filter(|own| !matches!(own.algorithm, Algorithm::Md5 | Algorithm::Sha256));
    let others = others.filter_map(|own| {
        let theirs = report.device_digests.iter().find(|theirs| theirs.algorithm == own.algorithm)?;
        Some(theirs.value == own.value)
    });
    let told: Vec<bool> = known.chain(others).collect();
    if told.is_empty() {
        let message = format!(
            "transfer.verify: {} tells only digests that its codec does not declare: ours are not known",
            verify.device.0
        );
        return Err(Failure::new(codes::NOT_COMPARABLE, Class::Permanent, message));
    }
    Ok(told.iter().all(|same| *same) && report.device_size.is_none_or(|size| size == ours.size))
}
