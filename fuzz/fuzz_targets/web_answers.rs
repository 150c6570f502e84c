//! `fuzzing::web_answers`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::web_answers(data));
