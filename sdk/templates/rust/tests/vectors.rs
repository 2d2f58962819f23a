//! The golden vectors, and bytes that no peer would send, natively.

use packhorse_codec::testing::{hostile, vectors};
use {{crate}}::{ThisDevice, ThisPlatform};

#[test]
fn golden_vectors_hold() {
    assert!(vectors::<ThisPlatform, ThisDevice>("vectors") >= 4);
}

#[test]
fn random_bytes_never_panic() {
    hostile::<ThisPlatform, ThisDevice>(100_000);
}
