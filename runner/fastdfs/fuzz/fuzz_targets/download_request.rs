//! The law `download_request` of `laws.rs`, for bytes that libFuzzer chooses.

#![no_main]

use packhorse_fastdfs_fuzz::download_request;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| download_request(bytes));
