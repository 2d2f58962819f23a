//! The golden vectors, and bytes that no peer would send.

use emqx_file_transfer::{EmqxDevice, EmqxPlatform};
use packhorse_codec::testing::{hostile, vectors};

#[test]
fn golden_vectors_hold() {
    assert!(vectors::<EmqxPlatform, EmqxDevice>("vectors") >= 30);
}

#[test]
fn random_bytes_never_panic() {
    hostile::<EmqxPlatform, EmqxDevice>(100_000);
}
