//! The law `header` of `laws.rs`, for bytes that libFuzzer chooses.

#![no_main]

use packhorse_fastdfs_fuzz::header;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| header(bytes));
