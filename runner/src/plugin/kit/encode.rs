//! Makes a component of the core module that a compiler gives.

use wit_component::ComponentEncoder;

use super::super::PluginError;

/// Wraps a core module, which carries its contract in a custom section, into a component. No tool is run.
pub fn encode(name: &str, module: &[u8]) -> Result<Vec<u8>, PluginError> {
    let encoded = ComponentEncoder::default().validate(true).module(module).and_then(|encoder| encoder.encode());
    encoded.map_err(|error| PluginError::NotACodec {
        name: name.to_owned(),
        problem: format!("cannot be made a component: {error:#}"),
    })
}
