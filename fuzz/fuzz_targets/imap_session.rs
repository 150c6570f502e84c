//! `fuzzing::imap_session`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::imap_session(data));
