//! Callers who come by a clock, whether those before them were answered or not: each with an order of its own.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};

use crate::support::{App, order, with_json};

/// How long a caller waits for an answer, which is promised after 10 s.
const PATIENCE: Duration = Duration::from_secs(12);
/// How long one who asks again goes on doing so, and how soon.
const PERSISTENCE: Duration = Duration::from_secs(90);
const AGAIN_AFTER: Duration = Duration::from_millis(250);
pub(super) const AMOUNT: &str = "1.00";

/// What callers do when their request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manners {
    /// It has failed, and is counted so.
    AskOnce,
    /// They ask again with the same key, until they have the code.
    AskUntilTold,
}

/// What one caller was told.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) key: String,
    /// A status, or how the connection failed: of the first request and of the last.
    pub(super) first: String,
    pub(super) last: String,
    pub(super) code: Option<String>,
    /// From the moment at which they meant to ask.
    pub(super) took: Duration,
}

/// The load, while it runs.
#[derive(Clone)]
pub(super) struct Load {
    http: reqwest::Client,
    base: String,
    key: String,
    manners: Manners,
    over: Arc<AtomicBool>,
    in_flight: Arc<AtomicUsize>,
}

impl Load {
    pub(super) fn new(app: &App, base: String, manners: Manners) -> Self {
        let (http, key) = (app.http.clone(), app.key.clone());
        Self { http, base, key, manners, over: Arc::default(), in_flight: Arc::default() }
    }

    /// How many wait for an answer now.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    /// No more callers come.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Release);
    }

    /// Lets so many callers come every second until the end is told, and waits for all their answers.
    pub(super) async fn run(&self, rate: u32) -> Vec<Told> {
        let mut clock = tokio::time::interval(Duration::from_secs(1) / rate);
        clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let (mut callers, mut told, mut count) = (JoinSet::new(), Vec::new(), 0);
        while !self.over.load(Ordering::Acquire) {
            let meant = clock.tick().await;
            let (this, key) = (self.clone(), format!("rollout-{count}"));
            count += 1;
            callers.spawn(async move { this.call(key, meant).await });
            while let Some(done) = callers.try_join_next() {
                told.push(done.unwrap());
            }
        }
        while let Some(done) = callers.join_next().await {
            told.push(done.unwrap());
        }
        told
    }

    async fn call(&self, key: String, meant: Instant) -> Told {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        let (first, mut code) = self.ask(&key).await;
        let mut last = first.clone();
        while self.manners == Manners::AskUntilTold && code.is_none() && meant.elapsed() < PERSISTENCE {
            tokio::time::sleep(AGAIN_AFTER).await;
            (last, code) = self.ask(&key).await;
        }
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
        Told { key, first, last, code, took: meant.elapsed() }
    }

    #[expect(clippy::disallowed_methods, reason = "tests are clients of ours, not of Amazon's")]
    async fn ask(&self, key: &str) -> (String, Option<String>) {
        let request = self.http.post(format!("{}/v1/rewards", self.base)).bearer_auth(&self.key).timeout(PATIENCE);
        let request = with_json(request.header("Idempotency-Key", key), &order(AMOUNT));
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return (why(&error), None),
        };
        let status = answer.status().as_u16().to_string();
        match answer.text().await {
            Ok(text) => {
                let json: Value = serde_json::from_str(&text).unwrap_or_default();
                let problem = json["code"].as_str().map(|code| format!(" {code}")).unwrap_or_default();
                (format!("{status}{problem}"), json["claim_code"].as_str().map(str::to_owned))
            }
            Err(error) => (format!("{status}, then {}", why(&error)), None),
        }
    }
}

/// The last cause: the others say only that a request failed.
fn why(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// How often each answer was given.
pub(super) fn classes<'a>(answers: impl Iterator<Item = &'a String>) -> BTreeMap<&'a str, usize> {
    let mut classes = BTreeMap::new();
    answers.for_each(|answer| *classes.entry(answer.as_str()).or_default() += 1);
    classes
}

/// The median, the 99th percentile and the longest.
pub(super) fn percentiles(told: &[Told]) -> String {
    let mut took: Vec<Duration> = told.iter().map(|told| told.took).collect();
    took.sort();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100].as_millis();
    format!("p50 {} ms, p99 {} ms, longest {} ms", at(50), at(99), at(100))
}
