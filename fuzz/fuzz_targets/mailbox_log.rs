//! `fuzzing::mailbox_log`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::mailbox_log(data));
