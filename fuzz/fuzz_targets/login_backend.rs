//! `fuzzing::login_backend`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::login_backend(data));
