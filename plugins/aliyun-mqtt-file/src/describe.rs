//! What the codec is: its routes, variables and modes.

use packhorse_codec::{Acks, Algorithm, Description, Driver, Mode, Order, Replies, Route, Transfer, Var};

/// Routes by index: to the device.
pub(crate) const UPGRADE: u16 = 0;
pub(crate) const GET_REPLY: u16 = 1;
pub(crate) const DOWNLOAD_REPLY: u16 = 2;
pub(crate) const INIT_REPLY: u16 = 3;
pub(crate) const SEND_REPLY: u16 = 4;
pub(crate) const CANCEL_REPLY: u16 = 5;
/// Routes by index: from the device.
pub(crate) const INFORM: u16 = 6;
pub(crate) const PROGRESS: u16 = 7;
pub(crate) const GET: u16 = 8;
pub(crate) const DOWNLOAD: u16 = 9;
pub(crate) const INIT: u16 = 10;
pub(crate) const SEND: u16 = 11;
pub(crate) const CANCEL: u16 = 12;
/// A service of the device that makes it upload, and its answer.
pub(crate) const SERVICE: u16 = 13;
pub(crate) const SERVICE_REPLY: u16 = 14;

/// The largest block, in both directions; the smallest is 256 bytes, but for the last of a file.
pub(crate) const BLOCK_MOST: u64 = 131_072;
const BLOCK_LEAST: u32 = 256;

/// What stands around a block at most: the texts with all their numbers, two lengths and a checksum.
const DOWNLOAD_OVERHEAD: u32 = 224;
const UPLOAD_OVERHEAD: u32 = 176;

/// What a module is called where nobody names one.
pub(crate) const DEFAULT_MODULE: &str = "default";

/// The service that begins an upload where nobody names another.
pub(crate) const UPLOAD_SERVICE: &str = "upload_file";

/// A variable of the workflow; `None` where it is empty.
pub(crate) fn variable<'a>(transfer: &'a Transfer, name: &str) -> Option<&'a str> {
    transfer.var(name).filter(|value| !value.is_empty())
}

/// See [`packhorse_codec::Platform::describe`].
pub(crate) fn description() -> Description {
    Description {
        name: "aliyun-mqtt-file".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        about: "Alibaba Cloud IoT Platform: OTA downloads and file uploads over MQTT".into(),
        vars: vars(),
        routes: routes(),
        modes: vec![
            Mode {
                packet_default: 5120,
                overhead_fixed: DOWNLOAD_OVERHEAD,
                replies: Replies::Once,
                acks: Acks::NextRequest,
                confirms: true,
                ..mode(Driver::DevicePull)
            },
            Mode { packet_default: 4096, overhead_fixed: UPLOAD_OVERHEAD, ..mode(Driver::DevicePush) },
        ],
        digests: vec![Algorithm::Md5, Algorithm::Sha256, Algorithm::Crc64Ecma],
    }
}

fn vars() -> Vec<Var> {
    vec![
        Var::required("product_key", "ProductKey of the device").matching("[A-Za-z0-9_-]{1,64}"),
        Var::optional("version", "", "version of the image, where the file's meta has none").matching("[ -~]{0,128}"),
        Var::optional("module", "", "OTA module, where the file's meta has none; empty is `default`")
            .matching("[ -~]{0,64}"),
        Var::optional("sign", "md5", "digest that goes with an announcement").matching("md5|sha256"),
        Var::optional("success", "inform", "what ends an upgrade well: the version reported, or step 100")
            .matching("inform|progress"),
        Var::optional("file_name", "", "the upload that is taken; empty takes whatever the device uploads")
            .matching("[ -~]{0,100}"),
        Var::optional(
            "upload_service",
            UPLOAD_SERVICE,
            "service of the device that begins an upload; `none` calls none",
        )
        .matching("[A-Za-z0-9_]{1,64}"),
    ]
}

fn routes() -> Vec<Route> {
    let sys = |rest: &str| format!("/sys/{{product_key}}/{{device}}/thing/{rest}");
    let ota = |name: &str| format!("/ota/device/{name}/{{product_key}}/{{device}}");
    vec![
        Route::to_device(ota("upgrade")),
        Route::to_device(sys("ota/firmware/get_reply")),
        Route::to_device(sys("file/download_reply")),
        Route::to_device(sys("file/upload/mqtt/init_reply")),
        Route::to_device(sys("file/upload/mqtt/send_reply")),
        Route::to_device(sys("file/upload/mqtt/cancel_reply")),
        Route::from_device(ota("inform")),
        Route::from_device(ota("progress")),
        Route::from_device(sys("ota/firmware/get")),
        Route::from_device(sys("file/download")),
        Route::from_device(sys("file/upload/mqtt/init")),
        Route::from_device(sys("file/upload/mqtt/send")),
        Route::from_device(sys("file/upload/mqtt/cancel")),
        Route::to_device(sys("service/{upload_service}")),
        Route::from_device(sys("service/{upload_service}_reply")),
    ]
}

fn mode(driver: Driver) -> Mode {
    Mode {
        packet_min: BLOCK_LEAST,
        packet_max: BLOCK_MOST as u32,
        order: Order::Sequential,
        // The SDKs of devices count bytes in 32 bits.
        file_max: u32::MAX.into(),
        ..Mode::new(driver)
    }
}
