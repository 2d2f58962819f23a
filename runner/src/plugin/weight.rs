//! How much a component is, as far as its bytes tell before any of it is compiled.

use wasmparser::{Instance, Parser, Payload};

use super::{Ceilings, PluginError};

const PAGE: u64 = 65_536;

/// What is counted. Instances that a component inside makes of itself several times are counted once: the engine has the last word.
#[derive(Debug, Default)]
struct Weight {
    core_instances: u64,
    tables: u64,
    /// Of the largest memory, before it grows.
    memory: u64,
}

/// Checks a component against the ceilings of its profile. Its bytes must be valid.
pub(crate) fn check(name: &str, bytes: &[u8], ceilings: &Ceilings) -> Result<(), PluginError> {
    let weight = weigh(bytes)
        .map_err(|error| PluginError::NotACodec { name: name.to_owned(), problem: format!("is damaged: {error}") })?;
    let rows = [
        (weight.core_instances, u64::from(ceilings.core_instances), "core instances"),
        (weight.tables, u64::from(ceilings.tables), "tables"),
        (weight.memory, ceilings.limits.memory as u64, "bytes of memory from the start"),
    ];
    match rows.into_iter().find(|(found, limit, _)| found > limit) {
        None => Ok(()),
        Some((found, limit, what)) => Err(PluginError::TooLarge {
            name: name.to_owned(),
            found: format!("{found} {what}"),
            limit: limit.to_string(),
            hint: String::new(),
        }),
    }
}

fn weigh(bytes: &[u8]) -> Result<Weight, wasmparser::BinaryReaderError> {
    let mut weight = Weight::default();
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::InstanceSection(section) => {
                for instance in section {
                    weight.core_instances += u64::from(matches!(instance?, Instance::Instantiate { .. }));
                }
            }
            Payload::TableSection(section) => weight.tables += u64::from(section.count()),
            Payload::MemorySection(section) => {
                for memory in section {
                    weight.memory = weight.memory.max(memory?.initial.saturating_mul(PAGE));
                }
            }
            _ => {}
        }
    }
    Ok(weight)
}
