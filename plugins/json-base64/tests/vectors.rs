//! The golden vectors, and bytes that no peer would send.

use json_base64::{JsonDevice, JsonPlatform};
use packhorse_codec::testing::{hostile, vectors};

#[test]
fn golden_vectors_hold() {
    assert!(vectors::<JsonPlatform, JsonDevice>("vectors") >= 38);
}

#[test]
fn random_bytes_never_panic() {
    hostile::<JsonPlatform, JsonDevice>(100_000);
}
