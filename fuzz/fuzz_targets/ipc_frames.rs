//! `fuzzing::ipc_frames`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::ipc_frames(data));
