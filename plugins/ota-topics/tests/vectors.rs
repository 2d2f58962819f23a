//! The golden vectors, and bytes that no peer would send.

use ota_topics::{OtaTopicsDevice, OtaTopicsPlatform};
use packhorse_codec::testing::{hostile, vectors};

#[test]
fn golden_vectors_hold() {
    assert!(vectors::<OtaTopicsPlatform, OtaTopicsDevice>("vectors") >= 30);
}

#[test]
fn random_bytes_never_panic() {
    hostile::<OtaTopicsPlatform, OtaTopicsDevice>(100_000);
}
