//! `fuzzing::backplane_sockets`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::backplane_sockets(data));
