//! What the reasons why a run does not go on mean for whoever waits.

use packhorse_core::run::Reason;

/// What a reason means for whoever waits.
pub(super) const fn words(reason: Reason) -> &'static str {
    match reason {
        Reason::NotStarted => "it has been accepted and not begun",
        Reason::Held => "a hold means it: it goes on by itself after `packhorse release`",
        Reason::ConcurrencyLimit => "its concurrency group is full; it goes on by itself when there is a place",
        Reason::BehindPriority => "a critical run of its device comes first; it begins by itself afterwards",
        Reason::Overtaken => {
            "a critical run has its device; it goes on by itself where it stopped, and no attempt is lost"
        }
        Reason::StandingBack => "it was asked to stand back and stops at the next packet boundary",
        Reason::Working => "a step is at work; nothing needs to be done",
        Reason::Pausing => "it was asked to pause and stops at the next packet boundary",
        Reason::TimingOut => "its time is over and the step is being stopped",
        Reason::OnFailure => "a step has failed and `on_failure` is at work",
        Reason::Finally => "`finally` is at work",
        Reason::Sleeping => "a `sleep` is durable: it goes on after a restart too",
        Reason::Backoff => "an attempt has failed; the next one comes by itself",
        Reason::DeviceOffline => "the device cannot be reached; no attempt is lost meanwhile, and it goes on by itself",
        Reason::TrafficBudget => {
            "the traffic budget of the device is spent for this day or month; it goes on by itself when the next one begins, and no attempt is lost"
        }
        Reason::Parked => "no process works on it: `packhorse resume RUN` goes on where it stopped",
        Reason::PauseAsked => "somebody paused it: `packhorse resume RUN` goes on",
        Reason::OperatorNeeded => {
            "a person must mend something first: the message says what; then `packhorse resume RUN`"
        }
        Reason::AttemptsExhausted => "all attempts have failed: `packhorse resume RUN` begins them anew",
        Reason::StepFailed => "a step that pauses the run has failed: `packhorse resume RUN` tries it again",
        Reason::CrashLoop => {
            "the process died three times while the same attempt was at work and got no further: `packhorse resume RUN` goes on"
        }
        Reason::Stopping => "it is being cancelled and the step has not stopped yet",
        Reason::CleaningUp => "it is being cancelled and `finally` is at work",
    }
}
