//! `fuzzing::doveadm_auth`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::doveadm_auth(data));
