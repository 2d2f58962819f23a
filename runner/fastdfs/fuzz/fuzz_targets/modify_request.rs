//! The law `modify_request` of `laws.rs`, for bytes that libFuzzer chooses.

#![no_main]

use packhorse_fastdfs_fuzz::modify_request;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| modify_request(bytes));
