//! Makes metrics and registers them in one step, so that every metric that is counted is on the page.

use prometheus::{
    Encoder, Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, TextEncoder,
    core::{Collector, MetricVec, MetricVecBuilder},
};

use super::REVISION;

/// Where every metric of this process is registered. Names get the prefix `noshi_`, except those of histograms.
#[derive(Debug, Clone)]
pub struct Registry(prometheus::Registry);

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace("noshi")
}

/// Makes the series of these labels at once, with the value zero.
pub(crate) fn at_zero<'l, B: MetricVecBuilder, const N: usize>(
    metric: MetricVec<B>,
    series: impl IntoIterator<Item = [&'l str; N]>,
) -> Result<MetricVec<B>, prometheus::Error> {
    for labels in series {
        metric.get_metric_with_label_values(&labels)?;
    }
    Ok(metric)
}

impl Registry {
    /// A registry with the metrics of the running program: its version and its process.
    ///
    /// # Errors
    /// When the constants here are not valid names of metrics.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Self(prometheus::Registry::new());
        registry
            .int_gauge_vec("build_info", "The running program.", &["version", "revision"])?
            .get_metric_with_label_values(&[env!("CARGO_PKG_VERSION"), REVISION])?
            .set(1);
        Ok(registry)
    }

    fn keep<T: Collector + Clone + 'static>(&self, metric: T) -> Result<T, prometheus::Error> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    pub(crate) fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.keep(IntCounter::with_opts(opts(name, help))?)
    }

    pub(crate) fn counter_vec(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, prometheus::Error> {
        self.keep(IntCounterVec::new(opts(name, help), labels)?)
    }

    pub(crate) fn gauge(&self, name: &str, help: &str) -> Result<Gauge, prometheus::Error> {
        self.keep(Gauge::with_opts(opts(name, help))?)
    }

    pub(crate) fn gauge_vec(&self, name: &str, help: &str, labels: &[&str]) -> Result<GaugeVec, prometheus::Error> {
        self.keep(GaugeVec::new(opts(name, help), labels)?)
    }

    pub(crate) fn int_gauge_vec(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntGaugeVec, prometheus::Error> {
        self.keep(IntGaugeVec::new(opts(name, help), labels)?)
    }

    /// A histogram under its whole name, because one of them has no prefix.
    pub(crate) fn histogram_vec(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> Result<HistogramVec, prometheus::Error> {
        self.keep(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels)?)
    }

    /// Every metric, in Prometheus' text format.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut out = Vec::new();
        TextEncoder::new().encode(&self.0.gather(), &mut out)?;
        Ok(out)
    }
}
