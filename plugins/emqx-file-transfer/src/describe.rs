//! What the codec is: its routes, variables and mode.

use packhorse_codec::{Algorithm, Description, Driver, Mode, Route, Transfer, Var};

/// Routes by index: to the device.
pub(crate) const RESPONSE: u16 = 0;
/// The same, where a device asked for its answers below the usual topic.
pub(crate) const RESPONSE_BELOW: u16 = 1;
pub(crate) const REQUEST: u16 = 2;
/// Routes by index: from the device.
pub(crate) const ASYNC: u16 = 3;
pub(crate) const SYNC: u16 = 4;

/// What stands before a command's topic in an answer.
pub(crate) const ASYNC_PREFIX: &str = "$file-async/";
/// Where answers go, the client's id behind it.
pub(crate) const RESPONSE_PREFIX: &str = "$file-response/";

/// A segment that fits a call to a codec, with room for others beside it.
const SEGMENT_MAX: u32 = 128 * 1024;

/// A variable of the workflow, with the device in it.
pub(crate) fn variable(transfer: &Transfer, name: &str) -> String {
    transfer.var(name).unwrap_or_default().replace("{device}", &transfer.device)
}

/// See [`packhorse_codec::Platform::describe`].
pub(crate) fn description() -> Description {
    let topic = |rest: &str| ["{prefix}", rest].concat();
    Description {
        name: "emqx-file-transfer".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        about: "EMQX file transfer over MQTT, asynchronous mode: the device uploads".into(),
        vars: vars(),
        routes: vec![
            Route::to_device(topic("$file-response/{client_id}")),
            Route::to_device(topic("$file-response/{client_id}/{#}")),
            Route::to_device(topic("$file-request/{client_id}")),
            Route::from_device(topic("$file-async/{#}")),
            Route::from_device(topic("$file/{#}")),
        ],
        modes: vec![Mode {
            packet_max: SEGMENT_MAX,
            packet_default: 4096,
            window_default: 8,
            window_max: 64,
            can_cancel: true,
            ..Mode::new(Driver::DevicePush)
        }],
        digests: vec![Algorithm::Sha256],
    }
}

fn vars() -> Vec<Var> {
    vec![
        Var::optional(
            "prefix",
            "emqx/{device}/",
            "what stands before $file-async/… and the other topics: empty, or with a slash at its end",
        )
        .matching("(/?([^/+#]+/)+)?"),
        Var::optional("client_id", "{device}", "the device's MQTT client id, as it stands in $file-response/…")
            .matching("[^/+#]+"),
        Var::optional("file_name", "", "the upload that is taken; empty takes whatever the device uploads")
            .matching("[^\\x00-\\x1f]*"),
        Var::optional("ask", "yes", "whether the device is asked for an upload, on $file-request/…: not EMQX's own")
            .matching("yes|no"),
    ]
}

#[cfg(test)]
mod tests {
    use packhorse_codec::Flow;

    use super::*;

    #[test]
    fn routes_have_the_numbers_that_messages_are_sent_under() {
        let routes = description().routes;
        for (index, flow, topic) in [
            (RESPONSE, Flow::ToDevice, "$file-response/{client_id}"),
            (RESPONSE_BELOW, Flow::ToDevice, "$file-response/{client_id}/{#}"),
            (REQUEST, Flow::ToDevice, "$file-request/{client_id}"),
            (ASYNC, Flow::FromDevice, "$file-async/{#}"),
            (SYNC, Flow::FromDevice, "$file/{#}"),
        ] {
            let route = &routes[usize::from(index)];
            assert_eq!((route.flow, route.template.strip_prefix("{prefix}")), (flow, Some(topic)));
        }
        assert_eq!(routes.len(), 5);
    }
}
