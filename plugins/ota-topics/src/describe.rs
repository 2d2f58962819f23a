//! What the codec is: its routes, its variable and its mode.

use packhorse_codec::{Acks, Algorithm, Description, Driver, Mode, Order, Replies, Route, Var};

/// Routes by index: to the device.
pub(crate) const METADATA: u16 = 0;
/// Routes by index: from the device.
pub(crate) const REQUEST: u16 = 1;
pub(crate) const PROGRESS: u16 = 2;
pub(crate) const VERIFY: u16 = 3;
pub(crate) const SUCCESS: u16 = 4;
pub(crate) const RETRY: u16 = 5;

/// See [`packhorse_codec::Platform::describe`].
pub(crate) fn description() -> Description {
    let topic = |name: &str| ["{prefix}/", name].concat();
    Description {
        name: "ota-topics".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        about: "OTA on plain topics: offered by URL, fetched by the device, at most 3 retries".into(),
        vars: vec![
            Var::optional("prefix", "/ota/{device}", "what stands before /request, /metadata and the other topics")
                .matching("/?[^/+#]+(/[^/+#]+)*"),
        ],
        routes: vec![
            Route::to_device(topic("metadata")),
            Route::from_device(topic("request")),
            Route::from_device(topic("progress")),
            Route::from_device(topic("verify")),
            Route::from_device(topic("success")),
            Route::from_device(topic("retry")),
        ],
        modes: vec![mode()],
        digests: vec![Algorithm::Sha256, Algorithm::Md5],
    }
}

/// No byte of the file goes over MQTT: the packet size is what the simulated device asks its server for at once.
fn mode() -> Mode {
    Mode {
        packet_default: 65_536,
        replies: Replies::Once,
        acks: Acks::None,
        order: Order::Any,
        confirms: true,
        can_cancel: true,
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
            (METADATA, Flow::ToDevice, "{prefix}/metadata"),
            (REQUEST, Flow::FromDevice, "{prefix}/request"),
            (PROGRESS, Flow::FromDevice, "{prefix}/progress"),
            (VERIFY, Flow::FromDevice, "{prefix}/verify"),
            (SUCCESS, Flow::FromDevice, "{prefix}/success"),
            (RETRY, Flow::FromDevice, "{prefix}/retry"),
        ] {
            let route = &routes[usize::from(index)];
            assert_eq!((route.flow, route.template.as_str()), (flow, topic));
        }
        assert_eq!(routes.len(), 6);
    }

    #[test]
    fn the_device_has_the_last_word() {
        let mode = mode();
        assert!(mode.confirms && mode.can_cancel && !mode.can_query);
        assert_eq!((mode.acks, mode.replies), (Acks::None, Replies::Once));
    }
}
