//! The law `leader_text` of `laws.rs`, for bytes that libFuzzer chooses.

#![no_main]

use packhorse_fastdfs_fuzz::leader_text;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| leader_text(bytes));
