//! What the codec is: its routes, variables and modes.

use packhorse_codec::{Acks, Algorithm, Description, Driver, Mode, Route, Var};

/// Routes by index.
pub(crate) const RX: u16 = 0;
pub(crate) const TX: u16 = 1;

/// See [`packhorse_codec::Platform::describe`].
pub(crate) fn description() -> Description {
    Description {
        name: "acme-tlv".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        about: "ACME transfer protocol: binary frames with a CRC-16, acknowledged by bitmaps".into(),
        vars: vec![Var::optional("prefix", "acme", "what all topics begin with")],
        routes: vec![Route::to_device("{prefix}/{device}/rx"), Route::from_device("{prefix}/{device}/tx")],
        modes: vec![
            Mode { grid: true, confirms: true, overhead_fixed: 22, ..mode(Driver::PlatformPush) },
            Mode { acks: Acks::NextRequest, overhead_fixed: 34, ..mode(Driver::PlatformPull) },
        ],
        digests: vec![Algorithm::Sha256, Algorithm::Md5],
    }
}

fn mode(driver: Driver) -> Mode {
    Mode {
        packet_min: 256,
        packet_max: 65_000,
        packet_default: 1000 - 1000 % ALIGN,
        packet_align: ALIGN,
        window_default: 32,
        window_max: 512,
        can_query: true,
        can_cancel: true,
        // Pieces are counted in 32 bits.
        file_max: (256 << 32) - 256,
        ..Mode::new(driver)
    }
}

/// The devices write flash in words of eight bytes.
const ALIGN: u32 = 8;
