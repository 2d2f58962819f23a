//! The golden vectors, and bytes that no peer would send.

use acme_tlv::{AcmeDevice, AcmePlatform};
use packhorse_codec::testing::{hostile, vectors};

#[test]
fn golden_vectors_hold() {
    assert!(vectors::<AcmePlatform, AcmeDevice>("vectors") >= 30);
}

#[test]
fn random_bytes_never_panic() {
    hostile::<AcmePlatform, AcmeDevice>(100_000);
}
