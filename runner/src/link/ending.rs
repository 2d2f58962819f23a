//! From the end of a machine to the answer that the run gets.

use super::order::LinkEnd;
use super::talk::End;
use packhorse_core::effect::{Confirmed, Traffic, TransferReport};
use packhorse_core::failure::{Class, Failure};
use packhorse_core::file::FileRef;
use packhorse_core::transfer::{Comparison, Ending, TransferFailure, code};

/// The end of a push of `file`.
pub fn pushed(file: FileRef, end: End, traffic: Traffic) -> LinkEnd {
    match end {
        End::Transfer(Ending::Good { confirmed, size, digests_by_device }) => {
            let (device_size, device_digests) = (Some(size), digests_by_device);
            let own_digests = Vec::new();
            LinkEnd::Good(Box::new(TransferReport {
                file,
                confirmed,
                device_size,
                device_digests,
                own_digests,
                traffic,
            }))
        }
        end => ended_badly(end, traffic),
    }
}

/// The end of a verify of `file`.
pub fn answered(file: FileRef, end: End, traffic: Traffic) -> LinkEnd {
    let End::Answer(verified) = end else { return ended_badly(end, traffic) };
    let confirmed = if verified.comparison == Comparison::Unknown { Confirmed::Acks } else { Confirmed::DeviceDigest };
    let (device_size, device_digests, own_digests) = (verified.size, verified.digests, verified.own);
    LinkEnd::Good(Box::new(TransferReport { file, confirmed, device_size, device_digests, own_digests, traffic }))
}

/// Any end that is not good.
pub fn ended_badly(end: End, traffic: Traffic) -> LinkEnd {
    match end {
        End::Transfer(Ending::Failed(failure)) | End::Failed(failure) => {
            LinkEnd::Failed { restart: failure.restart, failure: plain(failure), traffic }
        }
        End::Transfer(Ending::Cancelled) => LinkEnd::Cancelled(traffic),
        End::Transfer(Ending::Parked) => LinkEnd::Parked(traffic),
        End::Transfer(Ending::Good { .. }) | End::Answer(_) => {
            let failure = Failure::new("PH9002", Class::Bug, "a machine ended as another kind of machine");
            LinkEnd::Failed { failure, traffic, restart: false }
        }
    }
}

/// A device is heard through its codec: whoever reads what it did wrong must know through which.
pub(super) fn through(codec: &str, end: LinkEnd) -> LinkEnd {
    match end {
        LinkEnd::Failed { mut failure, traffic, restart } if code::HEARD.contains(&failure.code.as_str()) => {
            failure.message = format!("{} (codec {codec})", failure.message);
            LinkEnd::Failed { failure, traffic, restart }
        }
        end => end,
    }
}

pub(super) fn plain(failure: TransferFailure) -> Failure {
    let plain = Failure::new(failure.code, failure.class, failure.message);
    if failure.hint.is_empty() { plain } else { plain.hint(failure.hint) }
}

/// A name as it may stand in a store: the last part of a path, printable, at most 128 bytes.
pub fn clean(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let kept: String = last.chars().filter(|letter| !letter.is_control()).take(100).collect();
    if kept.is_empty() || kept.chars().all(|letter| letter == '.') { "file".to_owned() } else { kept }
}
