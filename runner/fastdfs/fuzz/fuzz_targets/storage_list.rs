//! The law `storage_list` of `laws.rs`, for bytes that libFuzzer chooses.

#![no_main]

use packhorse_fastdfs_fuzz::storage_list;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| storage_list(bytes));
