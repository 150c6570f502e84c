//! `fuzzing::dsync_server`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::dsync_server(data));
