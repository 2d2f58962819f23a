//! The law `file_info` of `laws.rs`, for bytes that libFuzzer chooses.

#![no_main]

use packhorse_fastdfs_fuzz::file_info;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| file_info(bytes));
