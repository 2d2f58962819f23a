//! The law `client_conf` of `laws.rs`, for bytes that libFuzzer chooses.

#![no_main]

use packhorse_fastdfs_fuzz::client_conf;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| client_conf(bytes));
