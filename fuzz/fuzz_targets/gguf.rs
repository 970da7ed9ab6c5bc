#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| barre_tests::fuzz::gguf(data));
