//! `fuzzing::dict_answers`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::dict_answers(data));
