//! Settings, by file and by environment.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _taken = noshi::config::fuzz::settings(bytes);
});
