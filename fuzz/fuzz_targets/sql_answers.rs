//! `fuzzing::sql_answers`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::sql_answers(data));
