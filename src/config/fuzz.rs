//! Any text at all, as settings. For the fuzzer, and for property tests.

use toml::Table;

use super::{Settings, source::RawSettings};

/// Reads settings: a TOML text and, behind a zero byte, a line each variable. Says whether they are taken. Settings that name a file are
/// left alone: none of this machine is opened.
///
/// # Panics
/// Settings that are taken cannot be shown as TOML.
pub fn settings(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    if text.to_ascii_lowercase().contains("file") {
        return false;
    }
    let (file, variables) = text.split_once('\0').unwrap_or((text, ""));
    let mut source = RawSettings::default();
    source.add_text(file, "fuzz");
    let variable = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    source.add_environment(variables.lines().filter_map(variable));
    let Ok(settings) = Settings::checked(source, None) else { return false };
    assert!(settings.in_force().parse::<Table>().is_ok(), "settings that are taken cannot be shown");
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kernel::changed::changed;

    const WHOLE: &[u8] = include_bytes!("../../fuzz/corpus/settings/whole");

    #[test]
    fn the_settings_that_are_changed_are_good() {
        assert!(settings(WHOLE));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn settings_that_are_taken_can_be_shown(changed in changed(WHOLE)) {
            settings(&changed);
        }
    }
}
