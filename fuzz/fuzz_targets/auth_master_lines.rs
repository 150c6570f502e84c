//! `fuzzing::auth_master_lines`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::auth_master_lines(data));
