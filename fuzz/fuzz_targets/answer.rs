//! Amazon's answers, and those of Login with Amazon.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| noshi::provider::incentives::fuzz::answer(bytes));
