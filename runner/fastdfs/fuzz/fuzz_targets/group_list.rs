//! The law `group_list` of `laws.rs`, for bytes that libFuzzer chooses.

#![no_main]

use packhorse_fastdfs_fuzz::group_list;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| group_list(bytes));
