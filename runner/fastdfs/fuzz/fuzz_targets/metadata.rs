//! The law `metadata` of `laws.rs`, for bytes that libFuzzer chooses.

#![no_main]

use packhorse_fastdfs_fuzz::metadata;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| metadata(bytes));
