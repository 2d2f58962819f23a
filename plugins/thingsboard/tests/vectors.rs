//! The golden vectors, and bytes that no peer would send.

use packhorse_codec::testing::{hostile, vectors};
use thingsboard::{ThingsboardDevice, ThingsboardPlatform};

#[test]
fn golden_vectors_hold() {
    assert!(vectors::<ThingsboardPlatform, ThingsboardDevice>("vectors") >= 52);
}

#[test]
fn random_bytes_never_panic() {
    hostile::<ThingsboardPlatform, ThingsboardDevice>(100_000);
}
