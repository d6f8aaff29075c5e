//! The sandbox's verifier of signatures, and its reader of JSON and XML.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _holds = noshi::sandbox::fuzz::signature(bytes);
});
