//! The contract of `sdk/wit/step` as Rust, generated. Nothing outside this folder sees these types.

wasmtime::component::bindgen!({
    path: "../sdk/wit/step",
    world: "step",
    imports: { default: trappable },
});

pub(super) use self::packhorse::step::{diagnostics, fastdfs, log, mqtt, redis, types};
pub(super) use exports::packhorse::step::entry;
