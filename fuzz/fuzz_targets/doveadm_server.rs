//! `fuzzing::doveadm_server`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::doveadm_server(data));
