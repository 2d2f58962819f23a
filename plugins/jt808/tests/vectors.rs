//! The golden vectors, and bytes that no peer would send.

use jt808::{Jt808Device, Jt808Platform};
use packhorse_codec::testing::{hostile, vectors};

#[test]
fn golden_vectors_hold() {
    assert!(vectors::<Jt808Platform, Jt808Device>("vectors") >= 40);
}

#[test]
fn random_bytes_never_panic() {
    hostile::<Jt808Platform, Jt808Device>(100_000);
}
