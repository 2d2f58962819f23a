//! Listens to the topics of one device in both directions, for `packhorse plugin tap` and `capture`.

use crate::bus::{Bus, BusError, Delivery, Qos, Subscription};
use crate::link::Channel;
use crate::plugin::Plugin;
use packhorse_core::transfer::{Flow, Incoming, Pairs};
use std::sync::Arc;

/// Messages taken at once.
const BATCH: usize = 64;

/// Everything that goes to and comes from one device.
#[derive(Debug)]
pub struct Tap {
    down: Channel,
    up: Channel,
    /// Both directions in one, so that messages come in the order in which the broker gives them.
    subscription: Subscription,
    /// Filters of the subscription that lead to the device; those from it are behind them.
    to_device: usize,
}

impl Tap {
    /// Subscribes. The variables were checked by whoever reads what is heard.
    pub async fn open(bus: &Arc<dyn Bus>, plugin: &Plugin, device: &str, vars: &Pairs) -> Result<Self, TapError> {
        let routes = Arc::new(plugin.routes(device, vars)?);
        let (down, up) = (routes.subscriptions(Flow::ToDevice), routes.subscriptions(Flow::FromDevice));
        let to_device = down.len();
        let filters: Vec<_> =
            down.iter().chain(&up).map(|(_, filter, _)| (filter.as_str(), Qos::AtLeastOnce)).collect();
        let subscription = bus.subscribe_many(&filters).await?;
        let (down, up) = (Channel::new(Arc::clone(&routes), Flow::ToDevice), Channel::new(routes, Flow::FromDevice));
        Ok(Self { down, up, subscription, to_device })
    }

    /// The next messages, in order; none when the subscription has ended.
    pub async fn next(&mut self) -> Option<Vec<(Flow, Incoming)>> {
        let mut batch = Vec::with_capacity(BATCH);
        if self.subscription.recv_many(&mut batch, BATCH).await == 0 {
            return None;
        }
        let incoming = |mut delivery: Delivery| {
            let up = delivery.filter.checked_sub(self.to_device);
            delivery.filter = up.unwrap_or(delivery.filter);
            let (flow, channel) =
                if up.is_some() { (Flow::FromDevice, &self.up) } else { (Flow::ToDevice, &self.down) };
            channel.incoming(&delivery).map(|message| (flow, message))
        };
        Some(batch.into_iter().filter_map(incoming).collect())
    }
}

/// Why nothing can be heard.
#[derive(Debug, thiserror::Error)]
pub enum TapError {
    /// The topics cannot be built.
    #[error(transparent)]
    Plugin(#[from] crate::plugin::PluginError),
    /// The broker.
    #[error(transparent)]
    Bus(#[from] BusError),
}
