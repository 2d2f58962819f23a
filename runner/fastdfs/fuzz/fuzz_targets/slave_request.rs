//! The law `slave_request` of `laws.rs`, for bytes that libFuzzer chooses.

#![no_main]

use packhorse_fastdfs_fuzz::slave_request;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| slave_request(bytes));
