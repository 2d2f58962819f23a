//! The contract of `sdk/wit` as Rust, generated. Nothing outside this room sees these types.

wasmtime::component::bindgen!({
    path: "../sdk/wit",
    world: "codec-with-device",
});

pub(crate) use self::packhorse::codec::diagnostics;
pub(crate) use exports::packhorse::codec::{device, platform, types};
