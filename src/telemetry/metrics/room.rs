//! Makes metrics and registers them at once: nothing of ours can be counted and forgotten on the page.

use prometheus::{
    CounterVec, Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
    core::Collector,
};

/// A name, without the prefix, and what it means.
type Named = (&'static str, &'static str);

/// Where metrics are registered.
pub(super) struct Room<'r>(pub(super) &'r Registry);

fn opts((name, help): Named) -> Opts {
    Opts::new(name, help).namespace("noshi")
}

impl Room<'_> {
    fn keep<T: Collector + Clone + 'static>(&self, metric: T) -> Result<T, prometheus::Error> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    pub(super) fn counter(&self, named: Named) -> Result<IntCounter, prometheus::Error> {
        self.keep(IntCounter::with_opts(opts(named))?)
    }

    pub(super) fn counters(&self, named: Named, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
        self.keep(IntCounterVec::new(opts(named), labels)?)
    }

    /// Money only ever adds up in fractions.
    pub(super) fn sums(&self, named: Named, labels: &[&str]) -> Result<CounterVec, prometheus::Error> {
        self.keep(CounterVec::new(opts(named), labels)?)
    }

    pub(super) fn gauge(&self, named: Named) -> Result<Gauge, prometheus::Error> {
        self.keep(Gauge::with_opts(opts(named))?)
    }

    pub(super) fn gauges(&self, named: Named, labels: &[&str]) -> Result<GaugeVec, prometheus::Error> {
        self.keep(GaugeVec::new(opts(named), labels)?)
    }

    pub(super) fn counts(&self, named: Named, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
        self.keep(IntGaugeVec::new(opts(named), labels)?)
    }

    /// A histogram under its whole name: one of them has no prefix.
    pub(super) fn histograms(
        &self,
        (name, help): Named,
        buckets: &[f64],
        labels: &[&str],
    ) -> Result<HistogramVec, prometheus::Error> {
        self.keep(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels)?)
    }
}
