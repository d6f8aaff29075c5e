//! Bodies of callers.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| noshi::incentives::fuzz::request_body(bytes));
