//! `fuzzing::list_index`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::list_index(data));
