//! `fuzzing::mbox_storage`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::mbox_storage(data));
