//! Primitives: what `uses` can name. One file each: its parameters, its check, what it asks for, what it makes of the answer.
//!
//! Adding one is one file, its `mod` line and one line in [`PRIMITIVES`].
//!
//! * one file a primitive, named like it: `transfer_push` is `transfer.push`.
//! * `kinds`: types of parameters; `payload`: payloads of messages; `read`: what all primitives share.
//! * `help`: the page that `packhorse help` prints.

mod assert;
mod checksum_compute;
mod checksum_verify;
mod fail;
mod fastdfs_append;
mod fastdfs_delete;
mod fastdfs_download;
mod fastdfs_info;
mod fastdfs_upload;
mod help;
pub(crate) mod kinds;
mod log;
mod mqtt_publish;
mod mqtt_request;
mod mqtt_wait;
mod payload;
mod plugin_run;
mod read;
mod redis_del;
mod redis_expire;
mod redis_get;
mod redis_hdel;
mod redis_hget;
mod redis_hgetall;
mod redis_hset;
mod redis_incr;
mod redis_set;
mod redis_xadd;
mod sleep;
mod transfer_pull;
mod transfer_push;
mod transfer_verify;

pub use help::help;
pub use plugin_run::{plugin_failed, plugin_of};

use crate::effect::{Effect, Reply};
use crate::failure::Failure;
use serde_json::{Map, Value};
use std::time::Duration;

/// Outputs of a step by name.
pub type Outputs = Map<String, Value>;

/// What happens to the outside when a step is repeated after a crash (`workflows.md`, section 5.2, gives the classes).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EffectClass {
    /// Nothing.
    Pure,
    /// The same again.
    Keyed,
    /// Goes on where the peer says it is.
    OffsetAddressed,
    /// It is done again.
    AtLeastOnce,
    /// It must not happen twice: a person is asked before it is repeated.
    Once,
}

/// Name of an output that stands for any: what there is, is known in a run only.
pub const ANY_OUTPUT: &str = "*";

/// One output, for help, schema and the checker.
#[derive(Debug, Clone, Copy)]
pub struct OutputField {
    /// Its name.
    pub name: &'static str,
    /// `string`, `integer`, `boolean`, `file`, `map`, `any`; with `?` where it may be absent.
    pub kind: &'static str,
    /// One sentence.
    pub about: &'static str,
}

/// What a step begins with.
#[derive(Debug, Clone, PartialEq)]
pub enum Start {
    /// Ask the outside; `finish` is called with the answer.
    Effect(Box<Effect>),
    /// Wait so long, durably; then done without outputs.
    Sleep(Duration),
    /// Done already.
    Done(Outputs),
}

/// A primitive.
pub struct Primitive {
    /// As in `uses`.
    pub name: &'static str,
    /// One sentence.
    pub about: &'static str,
    /// JSON Schema of `with`, before expressions are resolved.
    pub parameters: fn() -> schemars::Schema,
    /// What it puts out.
    pub outputs: &'static [OutputField],
    /// Codes it may fail with, and when.
    pub errors: &'static [(&'static str, &'static str)],
    /// What repeating it does.
    pub class: EffectClass,
    /// A step as one would write it.
    pub example: &'static str,
    /// Decides what to ask for, from the resolved `with`.
    pub start: fn(&Map<String, Value>) -> Result<Start, Failure>,
    /// Makes outputs of the answer.
    pub finish: fn(&Map<String, Value>, Reply) -> Result<Outputs, Failure>,
}

impl std::fmt::Debug for Primitive {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name)
    }
}

/// Every primitive, by name.
pub static PRIMITIVES: &[&Primitive] = &[
    &transfer_push::PRIMITIVE,
    &transfer_pull::PRIMITIVE,
    &transfer_verify::PRIMITIVE,
    &mqtt_publish::PRIMITIVE,
    &mqtt_wait::PRIMITIVE,
    &mqtt_request::PRIMITIVE,
    &redis_get::PRIMITIVE,
    &redis_set::PRIMITIVE,
    &redis_del::PRIMITIVE,
    &redis_incr::PRIMITIVE,
    &redis_expire::PRIMITIVE,
    &redis_hset::PRIMITIVE,
    &redis_hget::PRIMITIVE,
    &redis_hgetall::PRIMITIVE,
    &redis_hdel::PRIMITIVE,
    &redis_xadd::PRIMITIVE,
    &fastdfs_upload::PRIMITIVE,
    &fastdfs_append::PRIMITIVE,
    &fastdfs_download::PRIMITIVE,
    &fastdfs_info::PRIMITIVE,
    &fastdfs_delete::PRIMITIVE,
    &checksum_compute::PRIMITIVE,
    &checksum_verify::PRIMITIVE,
    &plugin_run::PRIMITIVE,
    &sleep::PRIMITIVE,
    &assert::PRIMITIVE,
    &log::PRIMITIVE,
    &fail::PRIMITIVE,
];

/// Finds a primitive by the name that `uses` gives.
pub fn primitive(name: &str) -> Option<&'static Primitive> {
    PRIMITIVES.iter().copied().find(|primitive| primitive.name == name)
}
