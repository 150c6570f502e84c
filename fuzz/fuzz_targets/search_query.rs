//! `fuzzing::search_query`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::search_query(data));
