//! The words of 1.0.0 as they were released, as Rust, generated. Nothing outside this folder sees these types.

wasmtime::component::bindgen!({
    path: "../sdk/wit/released/1.0.0.wit",
    world: "codec-with-device",
});

pub(crate) use self::packhorse::codec::diagnostics;
pub(crate) use exports::packhorse::codec::{device, platform, types};
