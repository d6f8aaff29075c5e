//! What was measured: figures by name, and curves of latencies.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::{database::Backend, machine::float};

/// Microseconds in a millisecond.
const MILLISECOND: f64 = 1_000.0;
/// How far a curve goes: 99.99 %.
const NINES: u32 = 4;
/// Points of a curve for each nine.
const POINTS: u32 = 10;

/// A figure's name, and how it is shown: what it is, and decimal places.
pub(crate) struct Name {
    pub(crate) key: &'static str,
    pub(crate) shown: &'static str,
    pub(crate) places: usize,
}

const fn name(key: &'static str, shown: &'static str, places: usize) -> Name {
    Name { key, shown, places }
}

/// Every figure, in the order in which they are printed. The keys are those of the JSON.
pub(crate) const NAMES: [Name; 33] = [
    name("capacity_per_second", "rewards/s of callers who wait", 0),
    name("offered_per_second", "asked for a second", 0),
    name("rewards_per_second", "rewards/s", 0),
    name("share_of_bare", "share of the bare path", 2),
    name("served_share", "served, of what can be done", 2),
    name("not_issued", "answers other than 201", 0),
    name("broken", "connections that broke", 0),
    name("added_p50_ms", "added p50, ms", 2),
    name("added_p99_ms", "added p99, ms", 2),
    name("added_p999_ms", "added p99.9, ms", 2),
    name("added_max_ms", "added most, ms", 2),
    name("refused_p50_ms", "refused p50, ms", 2),
    name("refused_p99_ms", "refused p99, ms", 2),
    name("refusal_cpu_ms", "CPU a refusal, service, ms", 3),
    name("service_cpu_ms", "CPU a reward, service, ms", 3),
    name("database_cpu_ms", "CPU a reward, PostgreSQL, ms", 3),
    name("statements", "statements a reward", 2),
    name("prepared", "statements prepared a reward", 2),
    name("transactions", "transactions a reward", 2),
    name("round_trips", "round trips a reward", 2),
    name("allocations", "allocations a reward", 1),
    name("service_syncs", "syncs a reward, service", 2),
    name("database_syncs", "syncs a reward, PostgreSQL", 2),
    name("service_pages", "pages of 4 KiB written a reward, service", 2),
    name("database_pages", "pages of 4 KiB written a reward, PostgreSQL", 2),
    name("log_bytes", "write-ahead log a reward, bytes", 0),
    name("stored_bytes", "stored a reward, bytes", 0),
    name("memory_idle_kb", "memory idle, kB", 0),
    name("memory_before_kb", "memory before the overload, kB", 0),
    name("memory_loaded_kb", "memory loaded (most), kB", 0),
    name("memory_afterwards_kb", "memory afterwards, kB", 0),
    name("idle_statements", "statements a second without load", 1),
    name("idle_round_trips", "round trips a second without load", 1),
];

/// Figures by their keys.
pub(crate) type Figures = BTreeMap<&'static str, f64>;

/// How a subject was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Loaded {
    /// By callers who wait for nothing but their answers.
    Saturation { callers: usize },
    /// By arrivals at a constant rate.
    Open { rate: u64, gateway_ms: u64 },
    /// By so many times what it can do.
    Overload { factor: u64 },
    /// By callers who are counted, and not timed.
    Counted { callers: usize },
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Saturation { callers } => write!(f, "saturation, callers: {callers}"),
            Self::Open { rate, gateway_ms } => write!(f, "{rate}/s, gateway {gateway_ms} ms"),
            Self::Overload { factor } => write!(f, "overload, {factor} times what can be done"),
            Self::Counted { callers } => write!(f, "counted, callers: {callers}"),
        }
    }
}

/// What is measured together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Series {
    pub(crate) database: Backend,
    pub(crate) load: Loaded,
    pub(crate) subject: String,
}

/// A series, pass by pass.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Measured {
    #[serde(flatten)]
    pub(crate) series: Series,
    pub(crate) median: Figures,
    pub(crate) passes: Vec<Figures>,
    /// Share of requests, and the milliseconds within which so many were answered, the gateway's delay taken off.
    pub(crate) curve: Vec<(f64, f64)>,
    #[serde(skip)]
    latencies: Option<Histogram<u64>>,
    #[serde(skip)]
    delay_us: u64,
}

impl Measured {
    pub(crate) fn new(series: Series) -> Self {
        Self { series, median: Figures::new(), passes: Vec::new(), curve: Vec::new(), latencies: None, delay_us: 0 }
    }

    /// Adds a pass. `latencies` are in microseconds, with the gateway's delay.
    pub(crate) fn add(&mut self, mut figures: Figures, latencies: Option<&Histogram<u64>>, delay_us: u64) {
        if let Some(latencies) = latencies.filter(|latencies| !latencies.is_empty()) {
            for (key, share) in
                [("added_p50_ms", 0.5), ("added_p99_ms", 0.99), ("added_p999_ms", 0.999), ("added_max_ms", 1.0)]
            {
                figures.insert(key, added(latencies, share, delay_us));
            }
            self.delay_us = delay_us;
            match &mut self.latencies {
                // Both have the same bounds, so nothing is lost.
                Some(all) => drop(all.add(latencies)),
                none => *none = Some(latencies.clone()),
            }
        }
        self.passes.push(figures);
        self.median = median(&self.passes);
        self.curve = self.latencies.as_ref().map(|all| curve(all, self.delay_us)).unwrap_or_default();
    }
}

/// Milliseconds within which this share was answered.
pub(crate) fn milliseconds_of(latencies: &Histogram<u64>, share: f64) -> f64 {
    added(latencies, share, 0)
}

fn added(latencies: &Histogram<u64>, share: f64, delay_us: u64) -> f64 {
    float(latencies.value_at_quantile(share).saturating_sub(delay_us)) / MILLISECOND
}

/// Points that lie evenly on an axis of nines.
fn curve(latencies: &Histogram<u64>, delay_us: u64) -> Vec<(f64, f64)> {
    let shares = (0..=NINES * POINTS).map(|at| 1.0 - 10_f64.powf(-f64::from(at) / f64::from(POINTS)));
    shares.map(|share| (share, added(latencies, share, delay_us))).collect()
}

/// The median of each figure that every pass has.
fn median(passes: &[Figures]) -> Figures {
    let keys: BTreeSet<&'static str> = passes.iter().flat_map(Figures::keys).copied().collect();
    let of = |key: &'static str| {
        let mut values: Vec<f64> = passes.iter().filter_map(|pass| pass.get(key)).copied().collect();
        values.sort_by(f64::total_cmp);
        let (low, high) = (values.len().saturating_sub(1) / 2, values.len() / 2);
        Some((key, (values.get(low)? + values.get(high)?) / 2.0))
    };
    keys.into_iter().filter_map(of).collect()
}

/// Says what share of the bare path's rewards each subject buys at saturation, on the same database.
pub(crate) fn compare(all: &mut [Measured], bare: &str) {
    let key = "rewards_per_second";
    let rates: Vec<(Series, f64)> = all
        .iter()
        .filter(|one| one.series.subject == bare)
        .filter_map(|one| Some((one.series.clone(), *one.median.get(key)?)))
        .collect();
    let saturated = |one: &&mut Measured| matches!(one.series.load, Loaded::Saturation { .. });
    for one in all.iter_mut().filter(saturated).filter(|one| one.series.subject != bare) {
        let beside =
            |(series, _rate): &&(Series, f64)| series.database == one.series.database && series.load == one.series.load;
        let rate = rates.iter().find(beside).map(|(_series, rate)| *rate).filter(|rate| *rate > 0.0);
        if let (Some(bare), Some(own)) = (rate, one.median.get(key).copied()) {
            one.median.insert("share_of_bare", own / bare);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(subject: &str) -> Series {
        Series { database: Backend::Sqlite, load: Loaded::Saturation { callers: 64 }, subject: subject.to_owned() }
    }

    fn rate(rate: f64) -> Figures {
        Figures::from([("rewards_per_second", rate)])
    }

    #[test]
    fn a_median_is_the_middle_one_and_of_two_what_lies_between_them() {
        let passes = [rate(5.0), rate(1.0), rate(100.0)];
        assert_eq!(median(&passes), rate(5.0));
        assert_eq!(median(&[rate(1.0), rate(2.0)]), rate(1.5));
        assert_eq!(median(&[]), Figures::new());
    }

    #[test]
    fn the_gateways_delay_is_taken_off_and_the_tail_is_kept() {
        let mut latencies = Histogram::new_with_bounds(1, 60_000_000, 3).unwrap();
        latencies.record_n(51_000, 990).unwrap();
        latencies.record_n(90_000, 10).unwrap();
        let mut measured = Measured::new(series("x"));
        measured.add(Figures::new(), Some(&latencies), 50_000);
        let shown = |key: &str| format!("{:.0}", measured.median[key]);
        assert_eq!(
            (shown("added_p50_ms"), shown("added_p99_ms"), shown("added_p999_ms")),
            ("1".into(), "1".into(), "40".into())
        );
        assert!(measured.curve.iter().is_sorted_by(|one, other| one.0 < other.0 && one.1 <= other.1));
        assert_eq!(measured.curve.len(), 41);
    }

    #[test]
    fn a_share_is_of_the_bare_path_at_saturation_on_the_same_database() {
        let mut all = [Measured::new(series("bare")), Measured::new(series("noshi")), Measured::new(series("noshi"))];
        all[2].series.database = Backend::Postgres;
        for (one, figures) in all.iter_mut().zip([rate(1000.0), rate(250.0), rate(9.0)]) {
            one.add(figures, None, 0);
        }
        compare(&mut all, "bare");
        let mut open = all.clone();
        open.iter_mut().for_each(|one| {
            one.series.load = Loaded::Open { rate: 500, gateway_ms: 50 };
            one.median.remove("share_of_bare");
        });
        compare(&mut open, "bare");
        assert!(open.iter().all(|one| !one.median.contains_key("share_of_bare")), "a rate that was set is no share");
        let share = |at: usize| all[at].median.get("share_of_bare").copied();
        assert_eq!((share(0), share(1), share(2)), (None, Some(0.25), None));
    }

    #[test]
    fn each_figure_has_one_name() {
        let keys: BTreeSet<&str> = NAMES.iter().map(|name| name.key).collect();
        assert_eq!(keys.len(), NAMES.len());
    }
}
