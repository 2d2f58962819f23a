//! The law `file_id` of `laws.rs`, for bytes that libFuzzer chooses.

#![no_main]

use packhorse_fastdfs_fuzz::file_id;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| file_id(bytes));
