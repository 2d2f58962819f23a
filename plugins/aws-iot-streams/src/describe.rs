//! What the codec is: its routes, variables and its mode.

use packhorse_codec::{Acks, Algorithm, Description, Driver, Mode, Replies, Route, Transfer, Var};

/// Routes by index: to the device. The captures of `GET_…` and `UPDATE_…` are the job's id, those of streams the stream and the format.
pub(crate) const NOTIFY_NEXT: u16 = 0;
pub(crate) const START_NEXT_ACCEPTED: u16 = 1;
pub(crate) const START_NEXT_REJECTED: u16 = 2;
pub(crate) const GET_ACCEPTED: u16 = 3;
pub(crate) const GET_REJECTED: u16 = 4;
pub(crate) const UPDATE_ACCEPTED: u16 = 5;
pub(crate) const UPDATE_REJECTED: u16 = 6;
pub(crate) const DESCRIPTION: u16 = 7;
pub(crate) const DATA: u16 = 8;
pub(crate) const REJECTED: u16 = 9;
/// Routes by index: from the device.
pub(crate) const START_NEXT: u16 = 10;
pub(crate) const GET: u16 = 11;
pub(crate) const UPDATE: u16 = 12;
pub(crate) const DESCRIBE: u16 = 13;
pub(crate) const GET_STREAM: u16 = 14;

/// Bytes of a block. The larger number is also what one request may bring in all.
pub(crate) const BLOCK_LEAST: u64 = 256;
pub(crate) const BLOCK_MOST: u64 = 131_072;

/// What AWS takes for a stream's file.
const FILE_MOST: u64 = 24 << 20;

/// Around a block, as JSON: a token of 64 bytes, the numbers, and the last group of Base64.
const OVERHEAD: u32 = 128;

/// The kinds of signature that an OTA document may have.
pub(crate) const SIGNATURES: &str = "sig-sha256-ecdsa|sig-sha256-rsa|sig-sha1-ecdsa|sig-sha1-rsa";

/// A variable of the workflow; `None` where it is empty.
pub(crate) fn variable<'a>(transfer: &'a Transfer, name: &str) -> Option<&'a str> {
    transfer.var(name).filter(|value| !value.is_empty())
}

/// See [`packhorse_codec::Platform::describe`].
pub(crate) fn description() -> Description {
    Description {
        name: "aws-iot-streams".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        about: "AWS IoT: MQTT-based file delivery in JSON and CBOR, announced by Jobs".into(),
        vars: vars(),
        routes: routes(),
        modes: vec![Mode {
            packet_min: BLOCK_LEAST as u32,
            packet_max: BLOCK_MOST as u32,
            packet_default: 4096,
            window_default: 8,
            window_max: 64,
            overhead_fixed: OVERHEAD,
            overhead_per_mille: 1334,
            replies: Replies::Once,
            acks: Acks::NextRequest,
            confirms: true,
            can_cancel: true,
            file_max: FILE_MOST,
            ..Mode::new(Driver::DevicePull)
        }],
        digests: vec![Algorithm::Md5, Algorithm::Sha256],
    }
}

fn vars() -> Vec<Var> {
    vec![
        Var::optional("stream", "", "name of the stream; empty makes one of the file's digest")
            .matching("[A-Za-z0-9_-]{0,128}"),
        Var::optional("file_id", "0", "number of the file in the stream")
            .matching("[0-9]|[1-9][0-9]|1[0-9][0-9]|2[0-4][0-9]|25[0-5]"),
        Var::optional("file_path", "", "where the device puts the file; empty is its name")
            .matching("[ !#-\\[\\]-~]{0,255}"),
        Var::optional("file_type", "", "fileType of the document; empty leaves it out").matching("[0-9]{0,9}"),
        Var::optional("cert_file", "", "certificate with which the device checks the signature")
            .matching("[ !#-\\[\\]-~]{0,255}"),
        Var::optional("signature_kind", "sig-sha256-ecdsa", "what the `signature` of the file's meta is")
            .matching(SIGNATURES),
        Var::optional("format", "cbor", "in which format the simulated device asks for blocks").matching("cbor|json"),
    ]
}

fn routes() -> Vec<Route> {
    let jobs = |rest: &str| format!("$aws/things/{{device}}/jobs/{rest}");
    let streams = |word: &str| format!("$aws/things/{{device}}/streams/{{+}}/{word}/{{+}}");
    vec![
        Route::to_device(jobs("notify-next")),
        Route::to_device(jobs("start-next/accepted")),
        Route::to_device(jobs("start-next/rejected")),
        Route::to_device(jobs("{+}/get/accepted")),
        Route::to_device(jobs("{+}/get/rejected")),
        Route::to_device(jobs("{+}/update/accepted")),
        Route::to_device(jobs("{+}/update/rejected")),
        Route::to_device(streams("description")),
        Route::to_device(streams("data")),
        Route::to_device(streams("rejected")),
        Route::from_device(jobs("start-next")),
        Route::from_device(jobs("{+}/get")),
        Route::from_device(jobs("{+}/update")),
        Route::from_device(streams("describe")),
        Route::from_device(streams("get")),
    ]
}
