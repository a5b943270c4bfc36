#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rdts_fuzz::rdb::roundtrip(data));
