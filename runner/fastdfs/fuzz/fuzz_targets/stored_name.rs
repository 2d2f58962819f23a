//! The law `stored_name` of `laws.rs`, for bytes that libFuzzer chooses.

#![no_main]

use packhorse_fastdfs_fuzz::stored_name;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stored_name(bytes));
