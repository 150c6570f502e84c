//! `fuzzing::auth_protocols`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::auth_protocols(data));
