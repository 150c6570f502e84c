//! `fuzzing::dbox_file`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::dbox_file(data));
