//! The law `fetch_answer` of `laws.rs`, for bytes that libFuzzer chooses.

#![no_main]

use packhorse_fastdfs_fuzz::fetch_answer;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fetch_answer(bytes));
