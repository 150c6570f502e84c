//! `fuzzing::index_files`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::index_files(data));
