//! The law `store_answer` of `laws.rs`, for bytes that libFuzzer chooses.

#![no_main]

use packhorse_fastdfs_fuzz::store_answer;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| store_answer(bytes));
