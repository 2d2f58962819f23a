//! The two reference codecs, which travel inside the program as core modules.

use std::sync::OnceLock;

use super::{PluginError, kit};

/// A codec inside the program.
#[derive(Debug)]
pub(crate) struct Embedded {
    name: &'static str,
    module: &'static [u8],
    component: OnceLock<Vec<u8>>,
}

/// All of them.
pub(crate) static CODECS: [Embedded; 2] = [
    Embedded::new("acme-tlv", include_bytes!(concat!(env!("OUT_DIR"), "/acme_tlv.wasm"))),
    Embedded::new("json-base64", include_bytes!(concat!(env!("OUT_DIR"), "/json_base64.wasm"))),
];

/// The one of this name.
pub(crate) fn find(name: &str) -> Option<&'static Embedded> {
    CODECS.iter().find(|codec| codec.name == name)
}

impl Embedded {
    const fn new(name: &'static str, module: &'static [u8]) -> Self {
        Self { name, module, component: OnceLock::new() }
    }

    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    /// The component, encoded at the first call.
    pub(crate) fn component(&self) -> Result<&[u8], PluginError> {
        if let Some(component) = self.component.get() {
            return Ok(component);
        }
        let component = kit::encode(self.name, self.module)?;
        Ok(self.component.get_or_init(|| component))
    }
}
