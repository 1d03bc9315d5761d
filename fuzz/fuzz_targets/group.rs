#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| conec_tests::fuzz::group::run(data));
