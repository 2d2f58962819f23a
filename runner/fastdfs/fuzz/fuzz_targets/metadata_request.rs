//! The law `metadata_request` of `laws.rs`, for bytes that libFuzzer chooses.

#![no_main]

use packhorse_fastdfs_fuzz::metadata_request;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| metadata_request(bytes));
