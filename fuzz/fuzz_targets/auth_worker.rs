//! `fuzzing::auth_worker`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::auth_worker(data));
