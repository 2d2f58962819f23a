//! What a transfer's packets may be: settled from codec, workflow and broker before the first one is sent. Pure.

use packhorse_core::effect::TransferRequest;
use packhorse_core::failure::{Class, Failure};
use packhorse_core::transfer::{Mode, Order, PieceLimit};

/// Upper bound of an MQTT payload where the workflow sets none, in bytes.
pub const MESSAGE_LIMIT: u32 = 1024;
/// Room that an MQTT 5 PUBLISH takes beside topic and payload: fixed header 5, topic length 2, packet id 2, properties 6.
const PUBLISH_OVERHEAD: u32 = 15;

/// The figures that a transfer starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// Bytes of file in a packet.
    pub packet_size: u32,
    /// Packets in flight.
    pub window: u16,
    /// Largest MQTT payload, in bytes.
    pub message_limit: u32,
}

/// Settles packet size and window. `topic` is the length of the longest topic to the device, `broker` the broker's maximum
/// packet size.
pub fn settle(request: &TransferRequest, mode: &Mode, topic: usize, broker: Option<u32>) -> Result<Settled, Failure> {
    let asked = request.message_limit.unwrap_or(MESSAGE_LIMIT);
    let around = PUBLISH_OVERHEAD.saturating_add(u32::try_from(topic).unwrap_or(u32::MAX));
    if let Some(most) = broker.map(|packet| packet.saturating_sub(around))
        && asked > most
        && request.message_limit.is_some()
    {
        let words =
            format!("message_limit is {asked} bytes, but the broker takes payloads of at most {most} bytes here");
        return Err(limits(
            words,
            format!("set message_limit to {most} or less, or raise the broker's maximum packet size"),
        ));
    }
    let message_limit = broker.map_or(asked, |packet| asked.min(packet.saturating_sub(around)));
    let packet_size = packet_size(request, mode, message_limit)?;
    Ok(Settled { packet_size, window: window(request, mode)?, message_limit })
}

/// What bounds the pieces that a device may ask for: the broker, and `message_limit` where the workflow sets it. A device that
/// chooses its own sizes is not bound by the limit that nobody set.
pub fn piece_limit(request: &TransferRequest, mode: &Mode, topic: usize, broker: Option<u32>) -> Option<PieceLimit> {
    let around = PUBLISH_OVERHEAD.saturating_add(u32::try_from(topic).unwrap_or(u32::MAX));
    let broker = broker.map(|packet| (packet.saturating_sub(around), "the broker's maximum packet size"));
    let asked = request.message_limit.map(|limit| (limit, "message_limit"));
    let (payload, by) = [broker, asked].into_iter().flatten().min_by_key(|(payload, _)| *payload)?;
    Some(PieceLimit { bytes: fitting(mode, payload), by })
}

/// Bytes of file in a payload of at most `limit`, whatever the alignment.
fn fitting(mode: &Mode, limit: u32) -> u32 {
    let room = u64::from(limit.saturating_sub(mode.overhead_fixed));
    let fits = room * 1000 / u64::from(mode.overhead_per_mille.max(1000));
    u32::try_from(fits).unwrap_or(u32::MAX)
}

/// Bytes of the whole MQTT packet that carries `piece` bytes of file, at most.
pub fn packet(mode: &Mode, piece: u32, topic: usize) -> u64 {
    payload(mode, piece) + u64::from(PUBLISH_OVERHEAD) + topic as u64
}

/// Whether packets of a running transfer fit the broker that serves it now; `fixed` where the next attempt cannot choose
/// smaller ones.
pub fn still_fits(packet: u64, limit: Option<u32>, fixed: bool) -> Result<(), Failure> {
    let Some(limit) = limit.filter(|limit| packet > u64::from(*limit)) else { return Ok(()) };
    let words = format!("the transfer sends packets of {packet} bytes, but the broker takes at most {limit} bytes");
    let class = if fixed { Class::Operator } else { Class::Transient };
    Err(Failure::new("PH5111", class, words)
        .hint(format!("raise the broker's maximum packet size to {packet} or more, or set message_limit lower")))
}

/// Payload bytes of a packet that carries `piece` bytes of file.
pub fn payload(mode: &Mode, piece: u32) -> u64 {
    let grown = (u64::from(piece) * u64::from(mode.overhead_per_mille.max(1000))).div_ceil(1000);
    u64::from(mode.overhead_fixed) + grown
}

fn packet_size(request: &TransferRequest, mode: &Mode, limit: u32) -> Result<u32, Failure> {
    let align = mode.packet_align.max(1);
    if let Some(size) = request.packet_size {
        return check_size(size, mode, align, limit);
    }
    let most = fitting(mode, limit).min(mode.packet_max) / align * align;
    if most == 0 || most < mode.packet_min {
        let least = payload(mode, mode.packet_min);
        let words = format!("the codec's smallest packet makes a message of {least} bytes, above the limit of {limit}");
        return Err(limits(words, format!("set message_limit to {least} or more")));
    }
    Ok(most)
}

fn check_size(size: u32, mode: &Mode, align: u32, limit: u32) -> Result<u32, Failure> {
    if size == 0 || size < mode.packet_min || size > mode.packet_max || !size.is_multiple_of(align) {
        let (min, max) = (mode.packet_min.max(1), mode.packet_max);
        let words = format!("packet_size {size} is not among the codec's sizes: {min} to {max}, multiples of {align}");
        return Err(limits(words, "choose one of them, or leave packet_size out".to_owned()));
    }
    let whole = payload(mode, size);
    if whole > u64::from(limit) {
        let words = format!("packet_size {size} makes messages of {whole} bytes, above the message limit of {limit}");
        return Err(limits(words, format!("choose a smaller packet_size, or set message_limit to {whole}")));
    }
    Ok(size)
}

fn window(request: &TransferRequest, mode: &Mode) -> Result<u16, Failure> {
    let most = if mode.order == Order::Sequential { 1 } else { mode.window_max.max(1) };
    match request.window {
        Some(0) => Err(limits("window is 0".to_owned(), "at least one packet must be in flight".to_owned())),
        Some(asked) if asked > most => Err(limits(
            format!("window {asked} is above the codec's maximum of {most}"),
            format!("set window to {most} or less"),
        )),
        Some(asked) => Ok(asked),
        None => Ok(mode.window_default.clamp(1, most)),
    }
}

fn limits(message: String, hint: String) -> Failure {
    Failure::new("PH5101", Class::Permanent, message).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use packhorse_core::effect::{Layout, TransferTask};
    use packhorse_core::transfer::{Acks, Driver, Replies};
    use std::collections::BTreeMap;

    fn mode() -> Mode {
        Mode {
            driver: Driver::PlatformPush,
            packet_min: 1,
            packet_max: 65_536,
            packet_default: 640,
            packet_align: 1,
            grid: false,
            window_default: 1,
            window_max: 64,
            overhead_fixed: 160,
            overhead_per_mille: 1334,
            replies: Replies::Resend,
            acks: Acks::Message,
            order: Order::Any,
            confirms: false,
            can_query: true,
            can_cancel: false,
            file_max: u64::MAX,
        }
    }

    fn request() -> TransferRequest {
        let task = TransferTask::Pull { file_type: "x".into(), name: None, layout: Layout::Whole };
        TransferRequest {
            task,
            device: "d".into(),
            window: None,
            packet_size: None,
            message_limit: None,
            rate: None,
            budget: None,
            meta: BTreeMap::new(),
        }
    }

    #[test]
    fn auto_fills_the_message_limit_and_never_passes_it() {
        for limit in [300, 512, 1024, 4096, 65_000] {
            let request = TransferRequest { message_limit: Some(limit), ..request() };
            let settled = settle(&request, &mode(), 20, None).unwrap();
            assert!(payload(&mode(), settled.packet_size) <= u64::from(limit));
            assert!(payload(&mode(), settled.packet_size + 1) > u64::from(limit), "{limit}: fills it");
        }
    }

    #[test]
    fn both_numbers_are_named_when_something_does_not_fit() {
        let refused = |request: TransferRequest, broker| settle(&request, &mode(), 20, broker).unwrap_err().message;
        let message = refused(TransferRequest { packet_size: Some(4096), ..request() }, None);
        assert!(message.contains("4096") && message.contains("1024"), "{message}");
        let message = refused(TransferRequest { message_limit: Some(9000), ..request() }, Some(8000));
        assert!(message.contains("9000") && message.contains("7965"), "{message}");
        let message = refused(TransferRequest { window: Some(65), ..request() }, None);
        assert!(message.contains("65") && message.contains("64"), "{message}");
        let message = refused(TransferRequest { message_limit: Some(100), ..request() }, None);
        assert!(message.contains("100"), "{message}");
    }

    #[test]
    fn a_running_transfer_is_told_both_numbers_when_the_broker_became_smaller() {
        let whole = packet(&mode(), 640, 20);
        assert_eq!(whole, payload(&mode(), 640) + 35);
        assert!(still_fits(whole, None, true).is_ok() && still_fits(whole, Some(2000), true).is_ok());
        for (fixed, class) in [(true, Class::Operator), (false, Class::Transient)] {
            let failure = still_fits(whole, Some(600), fixed).unwrap_err();
            assert!(failure.message.contains("600") && failure.message.contains(&whole.to_string()), "{failure:?}");
            assert_eq!(failure.class, class);
        }
    }

    #[test]
    fn a_small_broker_limit_shrinks_packets_where_nobody_asked_for_more() {
        let settled = settle(&request(), &mode(), 20, Some(600)).unwrap();
        assert_eq!(settled.message_limit, 565);
        assert!(payload(&mode(), settled.packet_size) <= 565);
    }
    #[test]
    fn pieces_that_devices_ask_for_are_bound_by_broker_and_message_limit() {
        let limit = |asked, broker| {
            let request = TransferRequest { message_limit: asked, ..request() };
            piece_limit(&request, &mode(), 20, broker)
        };
        assert_eq!(limit(None, None), None);
        let by_broker = limit(None, Some(2000)).unwrap();
        assert!(packet(&mode(), by_broker.bytes, 20) <= 2000 && packet(&mode(), by_broker.bytes + 1, 20) > 2000);
        assert!(by_broker.by.contains("broker"), "{by_broker:?}");
        assert_eq!(limit(Some(1000), Some(2000)).unwrap().by, "message_limit");
        assert_eq!(limit(Some(3000), Some(2000)), Some(by_broker));
    }
}
