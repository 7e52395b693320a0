//! Bytes of one manifest into the loader: whatever they are, it answers with objects or problems and never panics.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| setpoint::load::fuzz(bytes));
