//! `fuzzing::login_sasl`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::login_sasl(data));
