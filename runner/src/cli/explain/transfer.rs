//! The words for a transfer: what it waits for, how far it is, what was rejected.

use super::clock::Clock;
use super::{Line, line};
use crate::engine::{RejectedPacket, TaskKind, TransferView};
use packhorse_core::transfer::{WaitReason, grouped};

/// What is known of a transfer.
pub(super) fn transfer(view: &TransferView, clock: Clock) -> Vec<Line> {
    let mut lines = vec![line("transfer", standing(view, clock))];
    if let Some(far) = far(view) {
        lines.push(line("so far", far));
    }
    lines.extend(rejects(view).map(|words| line("rejected", words)));
    lines.extend(view.last_rejected.iter().map(|packet| line("packet", rejected(packet, clock))));
    if !view.unsupported.is_empty() {
        lines.push(line("codec", format!("it has no words for: {}", view.unsupported.join(", "))));
    }
    lines
}

/// "silent since byte 61 440 of our push, last heard 14:02:09, 2m03s ago".
fn standing(view: &TransferView, clock: Clock) -> String {
    let device = &view.device;
    let heard = match view.last_heard {
        Some(at) => format!("last heard {}", clock.ago(at)),
        None => "never heard so far".to_owned(),
    };
    let what = match view.task {
        TaskKind::Push => format!("push to {device}"),
        TaskKind::Pull => format!("pull from {device}"),
        TaskKind::Verify => format!("verify of {device}"),
    };
    match &view.waits {
        Some(waits) => format!("{what}: {}, since {}; {heard}", waits.text, clock.since(waits.since)),
        None if view.live => format!("{what}: under way; {heard}"),
        None => format!("{what}: not under way; {heard}"),
    }
}

fn far(view: &TransferView) -> Option<String> {
    let done = grouped(view.done);
    match (view.task, view.total) {
        (TaskKind::Verify, _) => None,
        (_, Some(total)) => {
            let percent = (view.done * 100).checked_div(total).unwrap_or(100);
            Some(format!("{done} of {} bytes, {percent}%", grouped(total)))
        }
        (_, None) if view.done > 0 || view.live => Some(format!("{done} bytes; the size is not known yet")),
        (_, None) => None,
    }
}

/// "talks, but the codec rejected 412 of 412 packets".
fn rejects(view: &TransferView) -> Option<String> {
    if view.rejected() == 0 {
        return None;
    }
    let heard = grouped(view.heard);
    let mut parts = Vec::new();
    if view.unreadable > 0 {
        parts.push(format!("the codec rejected {} of {heard} packets", grouped(view.unreadable)));
    }
    if view.implausible > 0 {
        parts.push(format!("{} of {heard} could be read and cannot be true", grouped(view.implausible)));
    }
    if view.damaged > 0 {
        parts.push(format!("{} pieces were damaged on the way", grouped(view.damaged)));
    }
    let talks = if mostly_rejected(view) { "talks, but " } else { "" };
    Some(format!("{talks}{}", parts.join(", ")))
}

/// Whether hardly anything of what it says can be used.
fn mostly_rejected(view: &TransferView) -> bool {
    view.rejected() * 2 > view.heard
}

fn rejected(packet: &RejectedPacket, clock: Clock) -> String {
    let bytes: Vec<&str> = (0..packet.hex.len() / 2).filter_map(|at| packet.hex.get(at * 2..at * 2 + 2)).collect();
    let more = if packet.length > bytes.len() as u64 && !bytes.is_empty() { " …" } else { "" };
    let shown = if bytes.is_empty() { String::new() } else { format!(": {}{more}", bytes.join(" ")) };
    let length = if packet.length == 0 { String::new() } else { format!(", {} bytes", packet.length) };
    format!("{}{length}, \"{}\"{shown}", clock.at(packet.at), packet.words)
}

/// What a person may do about it; nothing where nothing is wrong.
pub(super) fn advice(view: &TransferView) -> Option<String> {
    let device = &view.device;
    if view.rejected() > 0 && mostly_rejected(view) {
        return Some(format!(
            "look whether {device} speaks this codec (`packhorse plugin inspect`), and whether its version fits"
        ));
    }
    Some(match view.waits.as_ref()?.reason {
        WaitReason::DeviceBusy => format!("nothing: transfers with a device take turns; `packhorse explain {device}`"),
        WaitReason::DeviceOffline => {
            format!("look at the power and the connection of {device}; the run goes on by itself when it is heard")
        }
        WaitReason::BusOffline => "look at the broker: `packhorse doctor`; the run goes on when it is back".to_owned(),
        WaitReason::DevicePaused => format!("nothing: {device} asked for this and says when to go on"),
        WaitReason::DeviceAnswer => format!("wait; if it lasts, look whether {device} is connected and its topics fit"),
        WaitReason::DeviceVerdict => format!("wait: {device} is looking at the whole file, which may take it a while"),
        WaitReason::DeviceTurn => format!("nothing, unless it lasts: then look at what keeps {device} busy"),
        WaitReason::Digest => "nothing: it is over in a moment".to_owned(),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::engine::TransferWait;
    use packhorse_core::run::WallTime;

    pub(in super::super) const NOW: WallTime = WallTime(1_700_000_000_000);

    pub(in super::super) fn view(task: TaskKind, waits: Option<(WaitReason, &str)>) -> TransferView {
        let waits = waits.map(|(reason, text)| TransferWait {
            reason,
            since: WallTime(NOW.0 - 123_000),
            text: text.to_owned(),
        });
        let value = serde_json::json!({
            "step": "push", "task": task, "device": "gw-1", "live": true, "done": 61_440, "total": 3_145_728,
            "waits": waits, "last_heard": NOW.0 - 123_000, "heard": 412,
        });
        serde_json::from_value(value).unwrap()
    }

    fn words(view: &TransferView) -> String {
        let mut lines = transfer(view, Clock::utc(NOW));
        lines.extend(advice(view).map(|text| line("what to do", text)));
        lines.iter().map(|line| format!("{}: {}\n", line.about, line.text)).collect()
    }

    /// What the link or a machine says of each reason. A new reason does not compile until it has an example here.
    const fn example(reason: WaitReason) -> (TaskKind, &'static str, &'static str) {
        match reason {
            WaitReason::DeviceBusy => (TaskKind::Push, "another transfer with gw-1 is under way", "take turns"),
            WaitReason::DeviceOffline => (TaskKind::Push, "silent since byte 61 440 of our push", "power"),
            WaitReason::BusOffline => (TaskKind::Pull, "our broker is away", "packhorse doctor"),
            WaitReason::DevicePaused => (TaskKind::Pull, "the device asked for silence for a while", "asked for this"),
            WaitReason::DeviceAnswer => (TaskKind::Verify, "asked the device what it holds", "topics fit"),
            WaitReason::DeviceVerdict => (TaskKind::Push, "all 61 440 bytes are acknowledged", "looking at the whole"),
            WaitReason::DeviceTurn => (TaskKind::Pull, "waits for the device to send on", "keeps gw-1 busy"),
            WaitReason::Digest => (TaskKind::Pull, "its digests are being computed", "over in a moment"),
        }
    }

    const ALL: [WaitReason; 8] = [
        WaitReason::DeviceBusy,
        WaitReason::DeviceOffline,
        WaitReason::BusOffline,
        WaitReason::DevicePaused,
        WaitReason::DeviceAnswer,
        WaitReason::DeviceVerdict,
        WaitReason::DeviceTurn,
        WaitReason::Digest,
    ];

    #[test]
    fn every_wait_is_told_with_its_times_and_what_to_do() {
        for reason in ALL {
            let (task, text, advice) = example(reason);
            let said = words(&view(task, Some((reason, text))));
            for word in [text, "22:11:17, for 2m03s", "last heard 22:11:17, 2m03s ago", advice, "gw-1"] {
                assert!(said.contains(word), "{reason:?}: `{word}` is not in\n{said}");
            }
            assert_eq!(said.contains("61 440 of 3 145 728 bytes, 1%"), task != TaskKind::Verify, "{said}");
        }
    }

    #[test]
    fn rejected_packets_are_shown_in_hex_with_the_codecs_words() {
        let packet = |number: u8, length: u64| RejectedPacket {
            at: WallTime(NOW.0 - 1_000),
            words: "not JSON".to_owned(),
            hex: packhorse_core::hex::encode(&[number, 0xff]),
            length,
        };
        let mut view = view(TaskKind::Push, Some((WaitReason::DeviceAnswer, "asked the device")));
        (view.unreadable, view.last_rejected) = (412, vec![packet(1, 2), packet(2, 90)]);
        let said = words(&view);
        assert!(said.contains("rejected: talks, but the codec rejected 412 of 412 packets\n"), "{said}");
        assert!(said.contains("packet: 22:13:19, 2 bytes, \"not JSON\": 01 ff\n"), "{said}");
        assert!(said.contains("packet: 22:13:19, 90 bytes, \"not JSON\": 02 ff …\n"), "{said}");
        assert!(said.contains("plugin inspect"), "{said}");
        (view.unreadable, view.implausible, view.damaged) = (2, 3, 1);
        let few = "rejected: the codec rejected 2 of 412 packets, 3 of 412 could be read and cannot be true, 1 pieces";
        assert!(words(&view).contains(few), "{}", words(&view));
    }

    #[test]
    fn a_transfer_that_is_not_under_way_says_so() {
        let view = TransferView { live: false, last_heard: None, ..view(TaskKind::Pull, None) };
        assert!(words(&view).contains("pull from gw-1: not under way; never heard so far"), "{}", words(&view));
    }
}
