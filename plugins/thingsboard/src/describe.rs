//! What the codec is: its routes, variables and mode.

use packhorse_codec::{Acks, Algorithm, Description, Driver, Mode, Order, Replies, Route, Transfer, Var};

/// Routes by index.
pub(crate) const ATTRIBUTES: u16 = 0;
pub(crate) const ATTRIBUTES_RESPONSE: u16 = 1;
pub(crate) const RPC_RESPONSE: u16 = 2;
pub(crate) const FW_RESPONSE: u16 = 3;
pub(crate) const FW_ERROR: u16 = 4;
pub(crate) const SW_RESPONSE: u16 = 5;
pub(crate) const SW_ERROR: u16 = 6;
pub(crate) const ATTRIBUTES_REQUEST: u16 = 7;
pub(crate) const TELEMETRY: u16 = 8;
pub(crate) const RPC_REQUEST: u16 = 9;
pub(crate) const FW_REQUEST: u16 = 10;
pub(crate) const SW_REQUEST: u16 = 11;

/// The largest answer to one request, in bytes: what a call to a codec can carry, with some room.
pub(crate) const ANSWER_MAX: u32 = (1 << 20) - 4096;

/// What is updated: the two use the same words under other keys and topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Keys `fw_…`, topics `v2/fw/…`.
    Firmware,
    /// Keys `sw_…`, topics `v2/sw/…`.
    Software,
}

impl Kind {
    /// What the workflow chose.
    pub(crate) fn of(transfer: &Transfer) -> Self {
        match transfer.var("kind") {
            Some("software") => Self::Software,
            _ => Self::Firmware,
        }
    }

    /// What the keys begin with.
    pub(crate) const fn prefix(self) -> &'static str {
        match self {
            Self::Firmware => "fw_",
            Self::Software => "sw_",
        }
    }

    /// As the workflow writes it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Firmware => "firmware",
            Self::Software => "software",
        }
    }

    /// The key of a value, such as `fw_title`.
    pub(crate) fn key(self, name: &str) -> String {
        [self.prefix(), name].concat()
    }

    /// The key of what runs now, such as `current_fw_title`.
    pub(crate) fn current(self, name: &str) -> String {
        ["current_", self.prefix(), name].concat()
    }

    pub(crate) const fn request(self) -> u16 {
        match self {
            Self::Firmware => FW_REQUEST,
            Self::Software => SW_REQUEST,
        }
    }

    pub(crate) const fn response(self) -> u16 {
        match self {
            Self::Firmware => FW_RESPONSE,
            Self::Software => SW_RESPONSE,
        }
    }

    pub(crate) const fn error(self) -> u16 {
        match self {
            Self::Firmware => FW_ERROR,
            Self::Software => SW_ERROR,
        }
    }
}

/// See [`packhorse_codec::Platform::describe`].
pub(crate) fn description() -> Description {
    Description {
        name: "thingsboard".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        about: "ThingsBoard OTA over MQTT: offered by shared attributes, pulled chunk by chunk".into(),
        vars: vars(),
        routes: routes(),
        modes: vec![mode()],
        digests: vec![
            Algorithm::Sha256,
            Algorithm::Sha512,
            Algorithm::Sha384,
            Algorithm::Md5,
            Algorithm::Murmur3X64128,
            Algorithm::Murmur3X8632,
            Algorithm::Crc32,
        ],
    }
}

fn vars() -> Vec<Var> {
    vec![
        Var::optional("prefix", "tb/{device}/", "what stands before v1/… and v2/…: empty, or with a slash at its end")
            .matching("(/?([^/+#]+/)+)?"),
        Var::optional("kind", "firmware", "what is updated: firmware or software").matching("firmware|software"),
        Var::optional("checksum", "auto", "which checksum is told; auto takes the strongest that is known")
            .matching("auto|SHA256|SHA384|SHA512|MD5|CRC32|MURMUR3_32|MURMUR3_128"),
    ]
}

/// In the order of the constants above.
fn routes() -> Vec<Route> {
    let to_device = [
        "v1/devices/me/attributes",
        "v1/devices/me/attributes/response/{+}",
        "v1/devices/me/rpc/response/{+}",
        "v2/fw/response/{+}/chunk/{+}",
        "v2/fw/error",
        "v2/sw/response/{+}/chunk/{+}",
        "v2/sw/error",
    ];
    let from_device = [
        "v1/devices/me/attributes/request/{+}",
        "v1/devices/me/telemetry",
        "v1/devices/me/rpc/request/{+}",
        "v2/fw/request/{+}/chunk/{+}",
        "v2/sw/request/{+}/chunk/{+}",
    ];
    let template = |topic: &str| ["{prefix}", topic].concat();
    let down = to_device.iter().map(|topic| Route::to_device(template(topic)));
    down.chain(from_device.iter().map(|topic| Route::from_device(template(topic)))).collect()
}

/// One request at a time: shipped clients append whatever comes.
fn mode() -> Mode {
    Mode {
        packet_max: ANSWER_MAX,
        packet_default: 4096,
        replies: Replies::Once,
        acks: Acks::NextRequest,
        order: Order::Sequential,
        confirms: true,
        file_max: u32::MAX.into(),
        ..Mode::new(Driver::DevicePull)
    }
}

#[cfg(test)]
mod tests {
    use packhorse_codec::Flow;

    use super::*;

    #[test]
    fn routes_have_the_numbers_that_messages_are_sent_under() {
        let routes = description().routes;
        for (index, flow, topic) in [
            (ATTRIBUTES, Flow::ToDevice, "/me/attributes"),
            (ATTRIBUTES_RESPONSE, Flow::ToDevice, "/me/attributes/response/{+}"),
            (RPC_RESPONSE, Flow::ToDevice, "/me/rpc/response/{+}"),
            (Kind::Firmware.response(), Flow::ToDevice, "v2/fw/response/{+}/chunk/{+}"),
            (Kind::Firmware.error(), Flow::ToDevice, "v2/fw/error"),
            (Kind::Software.response(), Flow::ToDevice, "v2/sw/response/{+}/chunk/{+}"),
            (Kind::Software.error(), Flow::ToDevice, "v2/sw/error"),
            (ATTRIBUTES_REQUEST, Flow::FromDevice, "/me/attributes/request/{+}"),
            (TELEMETRY, Flow::FromDevice, "/me/telemetry"),
            (RPC_REQUEST, Flow::FromDevice, "/me/rpc/request/{+}"),
            (Kind::Firmware.request(), Flow::FromDevice, "v2/fw/request/{+}/chunk/{+}"),
            (Kind::Software.request(), Flow::FromDevice, "v2/sw/request/{+}/chunk/{+}"),
        ] {
            let route = &routes[usize::from(index)];
            assert!(route.flow == flow && route.template.ends_with(topic), "{index} is {}", route.template);
        }
        assert_eq!(routes.len(), 12);
    }

    #[test]
    fn nothing_is_sent_twice_and_the_device_has_the_last_word() {
        let mode = mode();
        assert_eq!((mode.replies, mode.acks, mode.order), (Replies::Once, Acks::NextRequest, Order::Sequential));
        assert_eq!((mode.window_max, mode.confirms), (1, true));
        assert_eq!((mode.overhead_fixed, mode.overhead_per_mille), (0, 1000), "an answer is the bytes alone");
        assert!(!mode.can_cancel && !mode.can_query, "there are no words for it");
    }
}
