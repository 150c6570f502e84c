//! `fuzzing::index_cache`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::index_cache(data));
