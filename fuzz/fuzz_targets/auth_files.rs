//! `fuzzing::auth_files`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::auth_files(data));
