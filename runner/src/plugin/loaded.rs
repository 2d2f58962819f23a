//! A loaded plugin: compiled, checked, described, ready to open sessions.

use std::sync::Arc;

use crate::counts::Calls;
use packhorse_core::transfer::{Description, Opening, Pairs, Routes};

use super::guest::{Guest, NoGuest, Template};
use super::{CallError, DeviceSession, FUNCTIONS, Failure, Function, PluginError, Session, vars};

/// A codec that may be used. Cheap to share; sessions hold it, so that a file that changes disturbs no transfer.
#[derive(Debug)]
pub struct Plugin {
    pub(crate) template: Template,
    pub(crate) description: Description,
    pub(crate) patterns: vars::Patterns,
    pub(crate) digest: String,
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) slots: u32,
    /// What is counted of its sessions.
    pub(crate) calls: Arc<Calls<FUNCTIONS>>,
    /// Plays the device where this one cannot.
    pub(crate) partner: Option<Arc<Self>>,
}

impl Plugin {
    /// As it calls itself.
    pub fn name(&self) -> &str {
        &self.description.name
    }

    /// As it says; a semantic version.
    pub fn version(&self) -> &str {
        &self.description.version
    }

    /// Name and version, as messages say it.
    pub fn title(&self) -> String {
        self.template.title.to_string()
    }

    /// SHA-256 of the component's bytes, in hex.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What it says of itself, checked.
    pub const fn description(&self) -> &Description {
        &self.description
    }

    /// Whether it can play the device.
    pub const fn has_device_side(&self) -> bool {
        self.template.functions.has_device() || self.partner.is_some()
    }

    /// This codec with the device's side of another one of the same format, for tests.
    ///
    /// # Errors
    /// [`PluginError::NoDeviceSide`] where that one has none either.
    pub fn beside(&self, partner: &Arc<Self>) -> Result<Arc<Self>, PluginError> {
        if !partner.has_device_side() {
            return Err(PluginError::NoDeviceSide { plugin: partner.title() });
        }
        Ok(Arc::new(Self {
            template: self.template.clone(),
            description: self.description.clone(),
            patterns: vars::Patterns::default(),
            digest: self.digest.clone(),
            bytes: Arc::clone(&self.bytes),
            slots: self.slots,
            calls: Arc::clone(&self.calls),
            partner: Some(Arc::clone(partner)),
        }))
    }

    /// The component itself, as a run keeps it.
    pub fn bytes(&self) -> Arc<[u8]> {
        Arc::clone(&self.bytes)
    }

    /// Opens the platform's side of one transfer. Blocks for a few ten microseconds.
    ///
    /// `opening.vars` is what the workflow gave: defaults are filled in here.
    pub fn open(self: &Arc<Self>, opening: &Opening) -> Result<Session, PluginError> {
        Session::open(self, opening)
    }

    /// Opens the device's side.
    pub fn open_device(self: &Arc<Self>, opening: &Opening) -> Result<DeviceSession, PluginError> {
        if let (false, Some(partner)) = (self.template.functions.has_device(), &self.partner) {
            return partner.open_device(opening);
        }
        if !self.has_device_side() {
            return Err(PluginError::NoDeviceSide { plugin: self.title() });
        }
        DeviceSession::open(self, opening)
    }

    /// The variables for one device: `given`, completed by the declared defaults, `{device}` expanded, in declared order.
    ///
    /// # Errors
    /// [`PluginError::Variable`] for one that is unknown, missing or not of its pattern.
    pub fn vars(&self, device: &str, given: &Pairs) -> Result<Pairs, PluginError> {
        vars::complete(&self.description.vars, &self.patterns, device, given)
            .map_err(|(variable, problem)| PluginError::Variable { plugin: self.title(), variable, problem })
    }

    /// The topics for one device, before any session is open: what to subscribe to.
    pub fn routes(&self, device: &str, given: &Pairs) -> Result<Routes, PluginError> {
        self.bind(device, given).map(|(_, routes)| routes)
    }

    pub(crate) fn bind(&self, device: &str, given: &Pairs) -> Result<(Pairs, Routes), PluginError> {
        let vars = self.vars(device, given)?;
        let routes = Routes::new(&self.description.routes, device, &vars)
            .map_err(|source| PluginError::Route { plugin: self.title(), source })?;
        Ok((vars, routes))
    }

    pub(crate) fn instantiate(&self) -> Result<Guest, PluginError> {
        let mut guest = Guest::new(&self.template).map_err(|error| match error {
            NoGuest::NoSlot => PluginError::NoSlot { plugin: self.title(), slots: self.slots },
            NoGuest::Failed(call) => PluginError::Call(call),
        })?;
        self.calls.holds(guest.memory());
        Ok(guest)
    }

    pub(crate) fn failed(&self, function: Function, failure: Failure) -> CallError {
        CallError { plugin: self.title(), function, failure, last_words: None }
    }
}
