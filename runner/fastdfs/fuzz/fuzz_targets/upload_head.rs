//! The law `upload_head` of `laws.rs`, for bytes that libFuzzer chooses.

#![no_main]

use packhorse_fastdfs_fuzz::upload_head;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| upload_head(bytes));
