//! `fuzzing::imap_passdb_answers`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::imap_passdb_answers(data));
