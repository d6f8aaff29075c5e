//! The registry of metrics, and the page that Prometheus reads.
//!
//! Each slice registers its own metrics in its `metrics.rs`, and `bootstrap` puts the slices together. A metric is a
//! field of the slice's struct and one expression in its `new`. Labels are closed sets of words. Every series whose
//! labels are known exists from the start ([`at_zero`]), because an alert cannot see the first count of a new series.
//! Gauges about the whole service are set from the database on each scrape, so all replicas show the same value, and one that cannot
//! read it any more shows none. Dashboards use `max by (account, currency)`, never `sum`.

mod dynamic_gauge;
mod registry;

use std::time::Duration;

pub use self::registry::Registry;
pub(crate) use self::{dynamic_gauge::DynamicGauge, registry::at_zero};

/// The content type that Prometheus demands.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The commit that the program was built from, where the build names it.
const REVISION: &str = match option_env!("NOSHI_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// A length of time in seconds, with the sign of `of`.
pub(crate) fn signed_seconds(length: Duration, of: i64) -> f64 {
    length.as_secs_f64().copysign(seconds(of))
}

/// Whole seconds as Prometheus wants them: exact up to 2^53.
#[expect(clippy::as_conversions, reason = "Prometheus knows only floats, and std has no From<i64> for f64")]
#[expect(clippy::cast_precision_loss, reason = "seconds stay far below 2^53")]
pub(crate) const fn seconds(whole: i64) -> f64 {
    whole as f64
}
