//! The law `append_request` of `laws.rs`, for bytes that libFuzzer chooses.

#![no_main]

use packhorse_fastdfs_fuzz::append_request;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| append_request(bytes));
