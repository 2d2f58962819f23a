//! The golden vectors, and bytes that no peer would send.

use aws_iot_streams::{AwsDevice, AwsPlatform};
use packhorse_codec::testing::{hostile, vectors};

#[test]
fn golden_vectors_hold() {
    assert!(vectors::<AwsPlatform, AwsDevice>("vectors") >= 40);
}

#[test]
fn random_bytes_never_panic() {
    hostile::<AwsPlatform, AwsDevice>(100_000);
}
