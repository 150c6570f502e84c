//! `fuzzing::mbox_parts`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::mbox_parts(data));
