//! An error with its causes in one line, for whoever handles it and logs it once.

use std::{error::Error, fmt};

/// Prints an error and each of its sources, divided by colons. An error's own `Display` says only what its layer did.
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
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

    #[test]
    fn every_cause_is_in_the_line() {
        let line = Chain(&Outer(std::fmt::Error)).to_string();
        assert!(line.starts_with("opening the house: ") && line.len() > 20, "{line}");
    }
}
