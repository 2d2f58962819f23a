//! The golden vectors, and bytes that no peer would send.

use aliyun_mqtt_file::{AliyunDevice, AliyunPlatform};
use packhorse_codec::testing::{hostile, vectors};

#[test]
fn golden_vectors_hold() {
    assert!(vectors::<AliyunPlatform, AliyunDevice>("vectors") >= 40);
}

#[test]
fn random_bytes_never_panic() {
    hostile::<AliyunPlatform, AliyunDevice>(100_000);
}
