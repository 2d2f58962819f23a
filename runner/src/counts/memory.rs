//! Memory of the instances of one plugin.

use metrics::Gauge;

/// Memory that one instance has taken. It counts from the moment at which it is told where, and is given back when it is dropped.
pub struct Memory {
    gauge: Gauge,
    bytes: f64,
}

impl Default for Memory {
    fn default() -> Self {
        Self { gauge: Gauge::noop(), bytes: 0.0 }
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Memory").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Memory {
    /// So many bytes more.
    pub fn grew(&mut self, bytes: usize) {
        self.bytes += bytes as f64;
        self.gauge.increment(bytes as f64);
    }

    /// Counts here from now on, with what was taken before.
    pub(super) fn count(&mut self, gauge: Gauge) {
        gauge.increment(self.bytes);
        std::mem::replace(&mut self.gauge, gauge).decrement(self.bytes);
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.gauge.decrement(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Calls;
    use super::*;
    use metrics_exporter_prometheus::PrometheusBuilder;

    #[test]
    fn what_instances_hold_is_counted_until_they_are_gone() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let page = recorder.handle();
        let is = |bytes: u32| {
            let line = format!("packhorse_plugin_memory_bytes{{plugin=\"acme\",version=\"1.0.0\"}} {bytes}");
            let page = page.render();
            assert!(page.lines().any(|found| found == line), "{line}?\n{page}");
        };
        metrics::with_local_recorder(&recorder, || {
            let calls = Calls::<1>::new("acme", "1.0.0");
            let (mut first, mut second) = (Memory::default(), Memory::default());
            // Taken before anybody counted.
            first.grew(100);
            calls.holds(&mut first);
            calls.holds(&mut second);
            second.grew(50);
            is(150);
            drop(first);
            is(50);
            drop(second);
            is(0);
        });
    }
}
