//! What is known of a device, and what an observation changes of it.

use crate::failure::{Class, Failure};
use crate::run::WallTime;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;

/// What a transfer fails with that must not begin because the device's will says that it is gone.
pub const TOLD_OFFLINE: &str = "PH5112";
/// So long a device that goes on to be heard is not written down again.
pub const REFRESH: Duration = Duration::from_secs(60);

/// Who told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// A message on its status topic: its will, or what it says itself when it comes and goes.
    Will,
    /// Any other message of the device.
    Traffic,
}

/// Whether a device is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// As far as is known.
    pub online: bool,
    /// Since when that is known.
    pub since: WallTime,
    /// When it was heard last, up to [`REFRESH`] later in truth; nothing where it never was.
    pub heard_at: Option<WallTime>,
    /// Who told that it came, or went.
    pub by: By,
    /// What its status topic said last: a broker says it again to everybody who subscribes anew.
    pub said: Option<bool>,
}

impl Presence {
    /// For people and programs: `{online, since, heard_at, by}`.
    pub fn view(&self) -> Value {
        json!({
            "online": self.online, "since": self.since.to_rfc3339(), "heard_at": self.heard_at.map(WallTime::to_rfc3339),
            "by": self.by,
        })
    }
}

/// Something that tells of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Whether it is there.
    pub online: bool,
    /// Who tells it.
    pub by: By,
    /// The broker kept it for whoever subscribes: nobody knows how old it is.
    pub retained: bool,
    /// When it came.
    pub at: WallTime,
}

/// What is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// It was known to be gone, and is there.
    CameBack,
    /// It is gone.
    WentAway,
    /// Nothing that anybody waits for.
    Nothing,
}

/// What an observation comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observed {
    /// What is known from now on; nothing has changed where it is not to be kept.
    pub state: Presence,
    /// What is new.
    pub news: News,
    /// Whether it is to be written down.
    pub keep: bool,
}

/// What an observation changes of what is known. What repeats it changes nothing, but for the time at which the device was heard, which
/// moves once in [`REFRESH`].
pub fn observe(known: Option<&Presence>, seen: Seen) -> Observed {
    let told = seen.by == By::Will;
    let said = if told { Some(seen.online) } else { known.and_then(|known| known.said) };
    let before = known.and_then(|known| known.heard_at);
    let heard_at = if seen.online && !seen.retained { before.max(Some(seen.at)) } else { before };
    let Some(known) = known else {
        let state = Presence { online: seen.online, since: seen.at, heard_at, by: seen.by, said };
        let news = if seen.online { News::Nothing } else { News::WentAway };
        return Observed { state, news, keep: true };
    };
    let again = told && seen.retained && known.said == said;
    if again || known.online == seen.online {
        let late = heard_at.is_some_and(|heard| before.is_none_or(|before| heard >= before.after(REFRESH)));
        let keep = !again && (late || said != known.said);
        let state = if keep { Presence { heard_at, said, ..*known } } else { *known };
        return Observed { state, news: News::Nothing, keep };
    }
    let state = Presence { online: seen.online, since: seen.at.max(known.since), heard_at, by: seen.by, said };
    Observed { state, news: if seen.online { News::CameBack } else { News::WentAway }, keep: true }
}

/// What a transfer that would begin fails with, before a packet of it is sent: its device is known to be gone. `before` is what the
/// attempt before it failed with: one that was held back for the same absence has waited long enough, and tries in any case.
pub fn held_back(device: &str, known: Option<&Presence>, before: Option<&Failure>) -> Option<Failure> {
    let known = known.filter(|known| !known.online)?;
    let message = format!(
        "{device} is offline since {}, as its will message said; nothing was sent to it",
        known.since.to_rfc3339()
    );
    let failure = Failure::new(TOLD_OFFLINE, Class::DeviceOffline, message);
    (before != Some(&failure)).then_some(failure)
}
