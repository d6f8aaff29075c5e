//! The verifier of the audit.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _fitting = noshi::audit::fuzz::records(bytes);
});
