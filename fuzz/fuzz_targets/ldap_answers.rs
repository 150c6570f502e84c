//! `fuzzing::ldap_answers`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::ldap_answers(data));
