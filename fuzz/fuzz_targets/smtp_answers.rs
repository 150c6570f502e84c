//! `fuzzing::smtp_answers`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::smtp_answers(data));
