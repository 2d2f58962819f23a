//! What all worlds share: the workflows, checked and compiled, and the two codecs, counted by fuel.

use packhorse::plugin::{CacheFolder, Host, HostSettings, Limits, Plugin};
use packhorse_core::file::FileRef;
use packhorse_core::run::CodecPin;
use packhorse_core::workflow::{self, Workflow};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What one call may use: some hundred times what an honest one does.
const FUEL: u64 = 100_000_000;

const SOURCES: [(&str, &str); 4] = [
    ("ota-push.yaml", include_str!("../../../workflows/ota-push.yaml")),
    ("log-pull.yaml", include_str!("../../../workflows/log-pull.yaml")),
    ("checksum-verify.yaml", include_str!("../../../workflows/checksum-verify.yaml")),
    ("everything.yaml", include_str!("everything.yaml")),
];

/// See the file.
pub(crate) struct Setting {
    pub(crate) workflows: Vec<Arc<Workflow>>,
    json: Arc<Plugin>,
    acme: Arc<Plugin>,
    _host: Host,
}

impl Setting {
    /// Compiles the codecs.
    pub(crate) fn new() -> Self {
        let limits = Limits { fuel: Some(FUEL), ..Limits::default() };
        let settings = HostSettings { limits, cache: CacheFolder::Off, slots: 512, ..HostSettings::default() };
        let host = Host::new(settings).expect("a host for the codecs");
        let workflow = |(name, source): &(&str, &str)| {
            Arc::new(workflow::check(source.as_bytes(), name).unwrap_or_else(|problems| panic!("{problems}")))
        };
        Self {
            workflows: SOURCES.iter().map(workflow).collect(),
            json: host.load("json-base64").expect("the codec json-base64"),
            acme: host.load("acme-tlv").expect("the codec acme-tlv"),
            _host: host,
        }
    }

    pub(crate) fn plugin(&self, acme: bool) -> Arc<Plugin> {
        Arc::clone(if acme { &self.acme } else { &self.json })
    }

    pub(crate) fn pin(&self, acme: bool) -> CodecPin {
        let plugin = self.plugin(acme);
        CodecPin {
            name: plugin.name().to_owned(),
            version: plugin.version().to_owned(),
            digest: plugin.digest().to_owned(),
        }
    }

    /// Inputs as `app::launch` makes them.
    pub(crate) fn inputs(
        &self,
        workflow: &Workflow,
        device: &str,
        image: &FileRef,
        window: u16,
    ) -> Result<Map<String, Value>, String> {
        let mut given = BTreeMap::from([("device".to_owned(), device.to_owned())]);
        let knows = |name: &str| workflow.inputs.iter().any(|input| input.name == name);
        if knows("image") {
            given.insert("image".to_owned(), image.uri.clone());
        }
        if knows("window") {
            given.insert("window".to_owned(), window.to_string());
        }
        let resolved = workflow.resolve_inputs(&given).map_err(|failures| format!("{failures:?}"))?;
        let mut inputs = resolved.values;
        for (name, _) in resolved.files {
            inputs.insert(name, serde_json::to_value(image).map_err(|error| error.to_string())?);
        }
        Ok(inputs)
    }
}
