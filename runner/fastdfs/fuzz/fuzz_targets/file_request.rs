//! The law `file_request_body` of `laws.rs`, for bytes that libFuzzer chooses.

#![no_main]

use packhorse_fastdfs_fuzz::file_request_body;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| file_request_body(bytes));
