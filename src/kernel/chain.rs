//! An error with its causes in one line, for whoever handles it and logs it once.

use std::{error::Error, fmt};

/// Prints an error and each of its sources, divided by colons. An error's own `Display` says only what its layer did.
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut before, mut source) = (self.0.to_string(), self.0.source());
        f.write_str(&before)?;
        while let Some(error) = source {
            let text = error.to_string();
            // Some libraries repeat the cause in the text of what it caused.
            if !before.ends_with(&text) {
                write!(f, ": {text}")?;
            }
            (before, source) = (text, error.source());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("opening the house")]
    struct Outer(#[source] std::fmt::Error);

    #[derive(Debug, thiserror::Error)]
    #[error("the neighbor says: {0}")]
    struct Repeats(#[source] Outer);

    #[test]
    fn no_cause_is_in_the_line_twice() {
        let line = Chain(&Repeats(Outer(std::fmt::Error))).to_string();
        assert_eq!(line.matches("opening the house").count(), 1, "{line}");
        assert!(line.ends_with(&std::fmt::Error.to_string()), "{line}");
    }

    #[test]
    fn every_cause_is_in_the_line() {
        let line = Chain(&Outer(std::fmt::Error)).to_string();
        assert!(line.starts_with("opening the house: ") && line.len() > 20, "{line}");
    }
}
