//! `fuzzing::credentials_files`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::credentials_files(data));
