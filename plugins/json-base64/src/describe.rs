//! What the codec is: its routes, variables and modes.

use packhorse_codec::{Acks, Algorithm, Description, Driver, Mode, Route, Transfer, Var};

/// Routes by index.
pub(crate) const DOWN: u16 = 0;
pub(crate) const VERIFY_REQUEST: u16 = 1;
pub(crate) const UP: u16 = 2;
pub(crate) const VERIFY_REPLY: u16 = 3;

/// What stands around a piece at most, and how a piece grows. 640 bytes of file make a message of 1 KiB.
pub(crate) const OVERHEAD: usize = 170;
pub(crate) const PER_MILLE: usize = 1334;

/// How a message is guarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// `packCrc`, over the whole message.
    Crc,
    /// `packMd5`, over the piece.
    Md5,
    /// Not at all.
    None,
}

impl Check {
    /// What the workflow chose.
    pub(crate) fn of(transfer: &Transfer) -> Self {
        match transfer.var("check") {
            Some("md5") => Self::Md5,
            Some("none") => Self::None,
            _ => Self::Crc,
        }
    }
}

/// See [`packhorse_codec::Platform::describe`].
pub(crate) fn description() -> Description {
    Description {
        name: "json-base64".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        about: "JSON packets with the piece in Base64, known by the file's MD5".into(),
        vars: vec![
            Var::optional("prefix", "packhorse/{device}", "what all topics begin with"),
            Var::optional("check", "crc", "how messages are guarded: crc, md5 or none").matching("crc|md5|none"),
        ],
        routes: vec![
            Route::to_device("{prefix}/down"),
            Route::to_device("{prefix}/verify/request"),
            Route::from_device("{prefix}/up"),
            Route::from_device("{prefix}/verify/reply"),
        ],
        modes: vec![mode(Driver::PlatformPush, Acks::Message), mode(Driver::PlatformPull, Acks::NextRequest)],
        digests: vec![Algorithm::Md5],
    }
}

fn mode(driver: Driver, acks: Acks) -> Mode {
    Mode {
        packet_max: 96 * 1024,
        packet_default: 640,
        window_default: 1,
        window_max: 1024,
        overhead_fixed: OVERHEAD as u32,
        overhead_per_mille: PER_MILLE as u32,
        acks,
        can_query: true,
        file_max: FILE_MAX,
        ..Mode::new(driver)
    }
}

/// Thirteen digits: what the overhead has room for.
const FILE_MAX: u64 = 9_999_999_999_999;
