//! `fuzzing::maildir_storage`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::maildir_storage(data));
