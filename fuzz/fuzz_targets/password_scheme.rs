//! `fuzzing::password_scheme`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::password_scheme(data));
