//! `fuzzing::auth_databases`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::auth_databases(data));
