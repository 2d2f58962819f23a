//! Bytes of one transfer, counted while it goes on.

use super::names;
use metrics::{Counter, counter};
use packhorse_core::effect::Traffic;

/// Counts what a transfer has cost beyond what was counted before.
pub struct Metered {
    counters: [Counter; 3],
    counted: [u64; 3],
}

impl std::fmt::Debug for Metered {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Metered").field("counted", &self.counted).finish_non_exhaustive()
    }
}

impl Metered {
    /// Of a transfer that begins with these figures: what an earlier performance of it cost was counted then.
    pub fn new(direction: &'static str, codec: &str, begun: &Traffic) -> Self {
        let count = |name: &'static str| counter!(name, "direction" => direction, "codec" => codec.to_owned());
        Self { counters: [count(names::PAYLOAD), count(names::WIRE), count(names::RESENT)], counted: figures(begun) }
    }

    /// Counts up to these figures; they never go back.
    pub fn count(&mut self, traffic: &Traffic) {
        for ((counter, counted), figure) in self.counters.iter().zip(&mut self.counted).zip(figures(traffic)) {
            counter.increment(figure.saturating_sub(*counted));
            *counted = figure.max(*counted);
        }
    }
}

fn figures(traffic: &Traffic) -> [u64; 3] {
    [traffic.payload_bytes, traffic.wire_bytes, traffic.retransmitted_bytes]
}

#[cfg(test)]
mod tests {
    use super::*;
    use metrics_exporter_prometheus::PrometheusBuilder;

    #[test]
    fn each_byte_is_counted_once() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let page = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            let at = |wire_bytes| Traffic { wire_bytes, ..Traffic::default() };
            // The first 100 are of a performance before a restart.
            let mut metered = Metered::new("push", "acme", &at(100));
            for wire in [150, 150, 170, 160, 200] {
                metered.count(&at(wire));
            }
        });
        let page = page.render();
        let line = "packhorse_transfer_wire_bytes_total{direction=\"push\",codec=\"acme\"} 100";
        assert!(page.lines().any(|found| found == line), "{page}");
    }
}
