//! Files of Amazon's portal.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| noshi::treasury::reconciliation::fuzz::portal_file(bytes));
