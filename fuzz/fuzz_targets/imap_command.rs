//! `fuzzing::imap_command`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::imap_command(data));
