//! The law `tracker_request` of `laws.rs`, for bytes that libFuzzer chooses.

#![no_main]

use packhorse_fastdfs_fuzz::tracker_request;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tracker_request(bytes));
