//! `fuzzing::dbox_storage`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::dbox_storage(data));
