//! Round-trip times as in RFC 9002, and what follows from them: when a piece counts as lost, when silence is probed.

use super::time::Micros;

/// Before the first sample. Small, because a probe too early costs one packet and a probe too late costs a stall.
const INITIAL: Micros = Micros::from_millis(100);
/// No probe sooner than this.
const PROBE_FLOOR: Micros = Micros::from_millis(20);
/// No loss sooner than this: the granularity of RFC 9002, section 6.1.2.
const GRANULARITY: Micros = Micros::from_millis(1);
/// Patience in parts of this; 1 is the 9/8 of RFC 9002.
const PATIENCE_UNIT: u64 = 256;
const PATIENCE_MOST: u64 = 8 * PATIENCE_UNIT;
/// Slack in parts of this.
const SLACK_UNIT: u64 = 256;
const SLACK_MOST: u64 = 8 * SLACK_UNIT;
/// Doubtful answers in a row before they are listened to.
const DOUBTFUL_MOST: u32 = 24;
/// The least that an estimate may creep to at once.
const CREEP_FLOOR: Micros = Micros::from_millis(10);

/// The estimate of one line.
#[derive(Debug)]
pub(super) struct Rtt {
    smoothed: Option<Micros>,
    variation: Micros,
    latest: Micros,
    least: Micros,
    /// Grows by half with each answer that may belong to an earlier sending, and falls to 1 with the first that cannot.
    slack: u64,
    /// Such answers in a row.
    doubtful: u32,
    /// Grows when pieces that counted as lost turn out to have arrived, shrinks with every answer: a line that reorders is
    /// given more time, one that loses is not.
    patience: u64,
}

impl Default for Rtt {
    fn default() -> Self {
        Self {
            smoothed: None,
            variation: Micros(INITIAL.0 / 2),
            latest: INITIAL,
            least: Micros(u64::MAX),
            slack: SLACK_UNIT,
            doubtful: 0,
            patience: PATIENCE_UNIT,
        }
    }
}

impl Rtt {
    pub(super) fn sample(&mut self, rtt: Micros) {
        self.latest = rtt;
        self.least = self.least.min(rtt);
        self.slack = SLACK_UNIT;
        self.doubtful = 0;
        if self.smoothed.is_none() {
            self.smoothed = Some(rtt);
            self.variation = Micros(rtt.0 / 2);
            return;
        }
        self.blend(rtt);
    }

    fn blend(&mut self, rtt: Micros) {
        let smoothed = self.smoothed.unwrap_or(INITIAL);
        let off = smoothed.0.abs_diff(rtt.0);
        self.variation = Micros((self.variation.0.saturating_mul(3).saturating_add(off)) / 4);
        self.smoothed = Some(Micros((smoothed.0.saturating_mul(7).saturating_add(rtt.0)) / 8));
    }

    /// An answer that may belong to an earlier sending or a later one; `longest` is counted from the first. Karn's rule: it is
    /// no sample. But a line that became slow would be probed too early for ever, so the probe's wait grows with each such
    /// answer, and where a long run of them has no clean one the estimate creeps towards the longer reading. Both are bounded:
    /// taken at its word, the longer reading holds the waits that loss made, and the estimate would feed on itself.
    pub(super) fn ambiguous(&mut self, longest: Micros) {
        self.slack = (self.slack + self.slack / 2).min(SLACK_MOST);
        self.doubtful = self.doubtful.saturating_add(1);
        if self.doubtful > DOUBTFUL_MOST {
            let smoothed = self.smoothed.unwrap_or(INITIAL);
            self.blend(longest.min(Micros(smoothed.0.saturating_mul(2)).max(CREEP_FLOOR)));
        }
    }

    pub(super) fn arrived_after_all(&mut self) {
        self.patience = (self.patience + self.patience / 4).min(PATIENCE_MOST);
    }

    pub(super) fn landed(&mut self) {
        self.patience = (self.patience - self.patience / 160).max(PATIENCE_UNIT);
    }

    /// The shortest round trip ever seen.
    pub(super) fn least(&self) -> Micros {
        self.least
    }

    pub(super) fn smoothed(&self) -> Option<Micros> {
        self.smoothed
    }

    /// How long after its sending a piece counts as lost, once a later one was answered.
    pub(super) fn loss_after(&self) -> Micros {
        let base = self.smoothed.unwrap_or(INITIAL).max(self.latest);
        Micros((base.0.saturating_mul(9) / 8).max(GRANULARITY.0).saturating_mul(self.patience) / PATIENCE_UNIT)
    }

    /// How long silence lasts before one piece is sent again; not yet doubled.
    pub(super) fn probe_after(&self) -> Micros {
        let smoothed = self.smoothed.unwrap_or(INITIAL);
        let wait = Micros(smoothed.0.saturating_add(self.variation.0.saturating_mul(4))).max(PROBE_FLOOR);
        Micros(wait.0.saturating_mul(self.slack) / SLACK_UNIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_and_probe_follow_the_samples() {
        let mut rtt = Rtt::default();
        assert_eq!(rtt.probe_after(), Micros::from_millis(300));
        for _ in 0..100 {
            rtt.sample(Micros::from_millis(80));
        }
        assert_eq!(rtt.loss_after(), Micros::from_millis(90));
        assert_eq!(rtt.probe_after(), Micros::from_millis(80));
        rtt.sample(Micros::from_millis(160));
        assert_eq!(rtt.loss_after(), Micros::from_millis(180), "the latest counts where it is longer");
    }

    #[test]
    fn floors_hold_on_a_fast_line() {
        let mut rtt = Rtt::default();
        for _ in 0..100 {
            rtt.sample(Micros(150));
        }
        assert_eq!(rtt.loss_after(), Micros::from_millis(1));
        assert_eq!(rtt.probe_after(), Micros::from_millis(20));
    }

    #[test]
    fn a_line_that_became_slow_is_learnt_without_clean_samples() {
        let mut rtt = Rtt::default();
        rtt.sample(Micros::from_millis(1));
        for _ in 0..60 {
            rtt.ambiguous(Micros::from_millis(2_000));
        }
        assert!(rtt.probe_after() > Micros::from_millis(2_000), "{:?}", rtt.probe_after());
    }

    #[test]
    fn loss_without_clean_samples_does_not_feed_on_itself() {
        let mut rtt = Rtt::default();
        for _ in 0..1_000 {
            rtt.sample(Micros::from_millis(10));
            for _ in 0..20 {
                let waited = rtt.probe_after();
                rtt.ambiguous(Micros(waited.0 * 3));
            }
            assert!(rtt.probe_after() <= Micros::from_millis(8 * 50));
        }
    }

    #[test]
    fn patience_grows_with_false_losses_and_fades() {
        let mut rtt = Rtt::default();
        rtt.sample(Micros::from_millis(80));
        let plain = rtt.loss_after();
        for _ in 0..100 {
            rtt.arrived_after_all();
        }
        assert_eq!(rtt.loss_after().0, plain.0 * 8);
        for _ in 0..2_000 {
            rtt.landed();
        }
        assert_eq!(rtt.loss_after(), plain);
    }
}
