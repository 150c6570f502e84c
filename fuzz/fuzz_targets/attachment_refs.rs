//! `fuzzing::attachment_refs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::attachment_refs(data));
