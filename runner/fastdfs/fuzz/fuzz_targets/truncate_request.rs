//! The law `truncate_request` of `laws.rs`, for bytes that libFuzzer chooses.

#![no_main]

use packhorse_fastdfs_fuzz::truncate_request;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| truncate_request(bytes));
