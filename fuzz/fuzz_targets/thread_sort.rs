//! `fuzzing::thread_sort`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::thread_sort(data));
