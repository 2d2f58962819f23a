//! The border between the contract's generated types and the core's words, in both directions.
//!
//! Bytes move and are never copied. Texts for people are cut to their limit and lose their control characters here.

use packhorse_core::transfer as core;

use super::bindings::{device, platform, types};
use crate::plugin::MAX_TEXT_BYTES;
use crate::plugin::texts::cut;

/// A list, element by element; the allocation stays where both elements have one layout.
pub(super) fn list<A, B: From<A>>(items: Vec<A>) -> Vec<B> {
    items.into_iter().map(B::from).collect()
}

macro_rules! twin_enums {
    ($($twin:ident { $($case:ident),+ $(,)? })+) => {$(
        impl From<types::$twin> for core::$twin {
            fn from(value: types::$twin) -> Self {
                match value { $(types::$twin::$case => Self::$case),+ }
            }
        }
        impl From<core::$twin> for types::$twin {
            fn from(value: core::$twin) -> Self {
                match value { $(core::$twin::$case => Self::$case),+ }
            }
        }
    )+};
}

twin_enums! {
    Algorithm { Md5, Sha1, Sha256, Sha384, Sha512, Crc16Arc, Crc32, Crc64Ecma, Murmur3X8632, Murmur3X64128 }
    Direction { Push, Pull }
    Driver { PlatformPush, DevicePull, DevicePush, PlatformPull }
    Sum { Absent, Good, Bad }
    Phase { Offered, Downloading, Downloaded, Verified, Installing, SelfTest, Rebooting }
    Verdict { Good, BadDigest, BadSize, Refused, Cancelled, DeviceFull, Failed }
    Flow { FromDevice, ToDevice }
    Qos { AtMostOnce, AtLeastOnce }
    Replies { Once, Resend }
    Acks { Message, NextRequest, None }
    Order { Any, Sequential }
}

/// Records that differ in nothing but the crate they stand in; `[field]` is a list of twins.
macro_rules! twin_records {
    ($($theirs:ident = $ours:ident { $($field:ident),* $(; $($items:ident),+)? })+) => {$(
        impl From<types::$theirs> for core::$ours {
            #[allow(clippy::useless_conversion, clippy::allow_attributes, reason = "one macro for twins and plain fields")]
            fn from(value: types::$theirs) -> Self {
                Self { $($field: value.$field.into(),)* $($($items: list(value.$items)),+)? }
            }
        }
        impl From<core::$ours> for types::$theirs {
            #[allow(clippy::useless_conversion, clippy::allow_attributes, reason = "one macro for twins and plain fields")]
            fn from(value: core::$ours) -> Self {
                Self { $($field: value.$field.into(),)* $($($items: list(value.$items)),+)? }
            }
        }
    )+};
}

twin_records! {
    Span = Span { start, end }
    Digest = Digest { algorithm, value }
    File = FileInfo { name, size, meta; digests }
    Hello = Hello { tag, title, version, meta }
    StartUpload = StartUpload { tag, file, resume_key }
    Want = Want { tag, span, limit }
    Data = Data { tag, offset, bytes, sum, last }
    Progress = Progress { phase, done, total }
    Finish = Finish { tag, size; digests }
    Outcome = Outcome { verdict, text }
    Offer = Offer { tag, file, url }
    Accept = Accept { tag, upload_id, resume_at }
    Refuse = Refuse { tag, text }
    Chunk = Chunk { tag, offset, bytes, last }
    Receipt = Receipt { tag, span, good }
    More = More { captures, response_topic, correlation, content_type, user }
    Route = Route { flow, template, qos, retain }
    Var = Var { name, required, default, pattern, about }
    Mode = Mode {
        driver, packet_min, packet_max, packet_default, packet_align, grid, window_default, window_max, overhead_fixed,
        overhead_per_mille, replies, acks, order, confirms, can_query, can_cancel, file_max
    }
    Description = Description { name, version, about; vars, routes, modes, digests }
}

impl From<types::Text> for core::Text {
    fn from(value: types::Text) -> Self {
        Self { code: cut(value.code, MAX_TEXT_BYTES), message: cut(value.message, MAX_TEXT_BYTES) }
    }
}

impl From<core::Text> for types::Text {
    fn from(value: core::Text) -> Self {
        Self { code: value.code, message: value.message }
    }
}

impl From<types::Event> for core::Event {
    fn from(value: types::Event) -> Self {
        match value {
            types::Event::Hello(hello) => Self::Hello(hello.into()),
            types::Event::AskOffer(tag) => Self::AskOffer(tag),
            types::Event::StartUpload(start) => Self::StartUpload(start.into()),
            types::Event::Want(want) => Self::Want(want.into()),
            types::Event::Data(data) => Self::Data(data.into()),
            types::Event::Ack(span) => Self::Ack(span.into()),
            types::Event::AckThrough(offset) => Self::AckThrough(offset),
            types::Event::Missing(span) => Self::Missing(span.into()),
            types::Event::Progress(progress) => Self::Progress(progress.into()),
            types::Event::Finish(finish) => Self::Finish(finish.into()),
            types::Event::Outcome(outcome) => Self::Outcome(outcome.into()),
            types::Event::Retrying(outcome) => Self::Retrying(outcome.into()),
            types::Event::Cancel(text) => Self::Cancel(text.into()),
            types::Event::Pause(ms) => Self::Pause(ms),
        }
    }
}

impl From<core::Event> for types::Event {
    fn from(value: core::Event) -> Self {
        match value {
            core::Event::Hello(hello) => Self::Hello(hello.into()),
            core::Event::AskOffer(tag) => Self::AskOffer(tag),
            core::Event::StartUpload(start) => Self::StartUpload(start.into()),
            core::Event::Want(want) => Self::Want(want.into()),
            core::Event::Data(data) => Self::Data(data.into()),
            core::Event::Ack(span) => Self::Ack(span.into()),
            core::Event::AckThrough(offset) => Self::AckThrough(offset),
            core::Event::Missing(span) => Self::Missing(span.into()),
            core::Event::Progress(progress) => Self::Progress(progress.into()),
            core::Event::Finish(finish) => Self::Finish(finish.into()),
            core::Event::Outcome(outcome) => Self::Outcome(outcome.into()),
            core::Event::Retrying(outcome) => Self::Retrying(outcome.into()),
            core::Event::Cancel(text) => Self::Cancel(text.into()),
            core::Event::Pause(ms) => Self::Pause(ms),
        }
    }
}

impl From<types::Command> for core::Command {
    fn from(value: types::Command) -> Self {
        match value {
            types::Command::Offer(offer) => Self::Offer(offer.into()),
            types::Command::Accept(accept) => Self::Accept(accept.into()),
            types::Command::Refuse(refuse) => Self::Refuse(refuse.into()),
            types::Command::Chunk(chunk) => Self::Chunk(chunk.into()),
            types::Command::Ack(receipt) => Self::Ack(receipt.into()),
            types::Command::Need(want) => Self::Need(want.into()),
            types::Command::RequestUpload(tag) => Self::RequestUpload(tag),
            types::Command::Query(tag) => Self::Query(tag),
            types::Command::Outcome(outcome) => Self::Outcome(outcome.into()),
            types::Command::Cancel(text) => Self::Cancel(text.into()),
            types::Command::Pause(ms) => Self::Pause(ms),
        }
    }
}

impl From<core::Command> for types::Command {
    fn from(value: core::Command) -> Self {
        match value {
            core::Command::Offer(offer) => Self::Offer(offer.into()),
            core::Command::Accept(accept) => Self::Accept(accept.into()),
            core::Command::Refuse(refuse) => Self::Refuse(refuse.into()),
            core::Command::Chunk(chunk) => Self::Chunk(chunk.into()),
            core::Command::Ack(receipt) => Self::Ack(receipt.into()),
            core::Command::Need(want) => Self::Need(want.into()),
            core::Command::RequestUpload(tag) => Self::RequestUpload(tag),
            core::Command::Query(tag) => Self::Query(tag),
            core::Command::Outcome(outcome) => Self::Outcome(outcome.into()),
            core::Command::Cancel(text) => Self::Cancel(text.into()),
            core::Command::Pause(ms) => Self::Pause(ms),
        }
    }
}

impl From<core::Incoming> for types::Incoming {
    fn from(value: core::Incoming) -> Self {
        Self { route: value.route, payload: value.payload, more: value.more.map(Into::into) }
    }
}

impl From<types::Outgoing> for core::Outgoing {
    fn from(value: types::Outgoing) -> Self {
        Self { route: value.route, payload: value.payload, more: value.more.map(Into::into), cause: value.cause }
    }
}

impl From<types::Faulted> for core::Faulted {
    fn from(value: types::Faulted) -> Self {
        let fault = match value.fault {
            types::Fault::NotMine => core::Fault::NotMine,
            types::Fault::Malformed(why) => core::Fault::Malformed(cut(why, MAX_TEXT_BYTES)),
            types::Fault::Unsupported => core::Fault::Unsupported,
            types::Fault::Fatal(text) => core::Fault::Fatal(text.into()),
        };
        Self { index: value.index, fault }
    }
}

impl From<&core::Opening> for types::Transfer {
    fn from(value: &core::Opening) -> Self {
        Self {
            direction: value.direction.into(),
            driver: value.driver.into(),
            device: value.device.clone(),
            file: value.file.clone().into(),
            packet_size: value.packet_size,
            epoch: value.epoch,
            attempt: value.attempt,
            started_at: value.started_at,
            done: list(value.done.clone()),
            vars: value.vars.clone(),
            saved: value.saved.clone(),
        }
    }
}

impl From<platform::Decoded> for core::Decoded {
    fn from(value: platform::Decoded) -> Self {
        Self {
            events: list(value.events),
            replies: list(value.replies),
            faults: list(value.faults),
            dirty: value.dirty,
        }
    }
}

impl From<device::Decoded> for core::DeviceDecoded {
    fn from(value: device::Decoded) -> Self {
        Self {
            commands: list(value.commands),
            replies: list(value.replies),
            faults: list(value.faults),
            dirty: value.dirty,
        }
    }
}

impl From<platform::Encoded> for core::Encoded {
    fn from(value: platform::Encoded) -> Self {
        Self { messages: list(value.messages), faults: list(value.faults), dirty: value.dirty }
    }
}

impl From<device::Encoded> for core::Encoded {
    fn from(value: device::Encoded) -> Self {
        Self { messages: list(value.messages), faults: list(value.faults), dirty: value.dirty }
    }
}
