//! How a test's service differs from the usual.

use super::partners::Partner;

/// How a test's service differs from the usual.
#[derive(Clone)]
pub(crate) struct Shape {
    pub(crate) marketplace: &'static str,
    pub(crate) funds: i64,
    /// More settings, as environment variables.
    pub(crate) settings: Vec<(String, String)>,
    /// More partner accounts, each with the same funds.
    pub(crate) partners: Vec<Partner>,
    /// A seller's account at Amazon Pay beside them, `shop`.
    pub(crate) sells: bool,
    /// That account is of MWS.
    pub(crate) mws: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self { marketplace: "US", funds: 100_000, settings: Vec::new(), partners: Vec::new(), sells: false, mws: false }
    }
}

impl Shape {
    pub(crate) fn with(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.settings.push((name.into(), value.to_string()));
        self
    }
}
