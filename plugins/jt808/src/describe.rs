//! What the codec is: its routes, variables and modes, and the numbers of messages.

use packhorse_codec::{Description, Driver, Mode, Route, Transfer, Var};

/// Routes by index.
pub(crate) const DOWN: u16 = 0;
pub(crate) const UP: u16 = 1;

/// Messages of the terminal.
pub(crate) const TERMINAL_ANSWER: u16 = 0x0001;
pub(crate) const TERMINAL_RESEND: u16 = 0x0005;
pub(crate) const UPGRADE_RESULT: u16 = 0x0108;
pub(crate) const MEDIA_EVENT: u16 = 0x0800;
pub(crate) const MEDIA: u16 = 0x0801;
pub(crate) const PHOTO_ANSWER: u16 = 0x0805;
/// Messages of the platform.
pub(crate) const PLATFORM_ANSWER: u16 = 0x8001;
pub(crate) const PLATFORM_RESEND: u16 = 0x8003;
pub(crate) const UPGRADE: u16 = 0x8108;
pub(crate) const MEDIA_ANSWER: u16 = 0x8800;
pub(crate) const PHOTO: u16 = 0x8801;
pub(crate) const STORED_MEDIA: u16 = 0x8803;
pub(crate) const SINGLE_MEDIA: u16 = 0x8805;

/// A body's length has ten bits.
pub(crate) const BODY_MOST: usize = 1023;
/// Packets are counted in sixteen bits.
pub(crate) const PACKETS_MOST: u64 = 65_535;

/// Bytes of a version: what stands before a package fits into its first packet with a whole piece behind it.
pub(crate) const VERSION_MOST: usize = 64;
/// Before a package, at most, and before media data.
const PACKAGE_HEAD: u32 = 11 + VERSION_MOST as u32;
const MEDIA_HEAD: u32 = 36;
/// Two flags, and a header of 2019 with its checksum, each byte of which may have to be escaped.
const FRAME: u32 = 2 + 2 * (21 + 1);
/// An escaped byte is two.
const ESCAPED: u32 = 2;

/// A variable of the workflow; `None` where it is empty.
pub(crate) fn variable<'a>(transfer: &'a Transfer, name: &str) -> Option<&'a str> {
    transfer.var(name).filter(|value| !value.is_empty())
}

/// A variable that is a number.
pub(crate) fn number<T: std::str::FromStr>(transfer: &Transfer, name: &str, default: T) -> T {
    variable(transfer, name).and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// See [`packhorse_codec::Platform::describe`].
pub(crate) fn description() -> Description {
    let push = BODY_MOST as u32 - PACKAGE_HEAD;
    let pull = BODY_MOST as u32 - MEDIA_HEAD;
    Description {
        name: "jt808".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        about: "JT/T 808 frames in MQTT payloads: upgrade packages down, media up".into(),
        vars: [common(), upgrade(), upload()].concat(),
        routes: vec![Route::to_device("{prefix}/dn"), Route::from_device("{prefix}/up")],
        modes: vec![
            Mode {
                grid: true,
                window_default: 8,
                // A terminal that answers only the last packet needs all of them in flight.
                window_max: u16::MAX,
                overhead_fixed: FRAME + ESCAPED * PACKAGE_HEAD,
                confirms: true,
                ..mode(Driver::PlatformPush, push)
            },
            Mode {
                window_default: 8,
                window_max: u16::MAX,
                overhead_fixed: FRAME + ESCAPED * MEDIA_HEAD,
                ..mode(Driver::DevicePush, pull)
            },
        ],
        digests: vec![],
    }
}

fn mode(driver: Driver, most: u32) -> Mode {
    Mode {
        packet_min: 64,
        packet_max: most,
        packet_default: 512,
        overhead_per_mille: 1000 * ESCAPED,
        file_max: PACKETS_MOST * u64::from(most),
        ..Mode::new(driver)
    }
}

fn common() -> Vec<Var> {
    vec![
        Var::optional("prefix", "jt808/{device}", "what stands before /up and /dn"),
        Var::optional("phone", "", "number of the terminal; empty are the digits of the device's id")
            .matching("[0-9]{0,20}"),
        Var::optional("header", "2019", "edition of the standard whose header is written; both are read")
            .matching("2019|2013"),
        Var::optional("answers", "each", "whether each packet is answered, or only the last one").matching("each|last"),
    ]
}

fn upgrade() -> Vec<Var> {
    vec![
        Var::optional("part", "0", "what is upgraded: 0 terminal, 12 reader of IC cards, 52 satellite module")
            .matching(BYTE),
        Var::optional("maker", "", "code of the maker").matching("[ -~]{0,5}"),
        Var::optional(
            "version",
            "",
            "version of the package, where the file's meta has none; without any it is the file's name",
        )
        .matching("[ -~]{0,64}"),
    ]
}

fn upload() -> Vec<Var> {
    vec![
        Var::optional("request", "photo", "what begins an upload: `none` waits for one")
            .matching("photo|stored|single|none"),
        Var::optional("media_id", "", "the one upload that is taken; empty takes the first one")
            .matching("[0-9]{0,10}"),
        Var::optional("channel", "1", "channel of a photo or of stored media").matching(BYTE),
        Var::optional("resolution", "1", "of a photo, as the standard numbers them").matching(BYTE),
        Var::optional("quality", "5", "of a photo, from 1, the best, to 10").matching(BYTE),
        Var::optional("media_type", "0", "of stored media: 0 images, 1 sound, 2 video").matching(BYTE),
        Var::optional("event", "0", "of stored media: why they were made, as the standard numbers it").matching(BYTE),
        Var::optional("resend", "8800", "the message that asks for packets again").matching("8800|8003"),
    ]
}

const BYTE: &str = "[0-9]|[1-9][0-9]|1[0-9][0-9]|2[0-4][0-9]|25[0-5]";
