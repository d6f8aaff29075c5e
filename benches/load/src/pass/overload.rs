//! A pass of overload: what a subject can do is measured first, and then it is asked for a multiple of that, whatever becomes of it.
//! Who is served, how fast the others hear that they are not, and what it leaves behind.

use std::time::{Duration, Instant};

use super::{Pass, REST, Reading, SAMPLE};
use crate::{
    drive::{Load, Shape, Tally},
    failure::Failure,
    figures::{Figures, Loaded, milliseconds_of},
    machine::{float, resident_kb, usage},
    subject::Served,
};

/// How many connections take turns.
const CONNECTIONS: usize = 256;
/// How long after the overload memory is read.
const CALM: Duration = Duration::from_secs(30);

/// What the subject can do, by callers who wait for their answers.
struct Capacity {
    per_second: f64,
    cpu_ms: f64,
}

/// What the service had used, and in memory, over a window.
struct Window {
    seconds: f64,
    cpu_ms: f64,
    memory_kb: f64,
}

impl Pass<'_> {
    /// Measures one overload. Fails where the books disagree.
    pub(crate) async fn overload(&self, factor: u64) -> Result<Vec<Reading>, Failure> {
        self.with_database(None, async |stage, database| {
            let served = stage.serve(&database.url)?;
            let overloaded = self.overloaded(&served, factor).await;
            served.process.stop()?;
            let readings = overloaded?;
            self.settle(&readings, stage, database).await?;
            // What could be done is among the figures of what was asked.
            let [_capacity, overload] = readings;
            Ok(vec![overload])
        })
        .await
    }

    async fn overloaded(&self, served: &Served, factor: u64) -> Result<[Reading; 2], Failure> {
        let (options, pid) = (&self.world.options, served.process.pid());
        tokio::time::sleep(REST).await;
        let idle = resident_kb(pid);
        let saturation = self.window(served, Loaded::Saturation { callers: options.callers }).await?;
        let figure = |key| saturation.figures.get(key).copied().unwrap_or_default();
        let capacity = Capacity { per_second: figure("rewards_per_second"), cpu_ms: figure("service_cpu_ms") };
        tokio::time::sleep(REST).await;
        let before = resident_kb(pid);
        let rate = offered(capacity.per_second, factor);
        let shape = Shape::Overload { rate, connections: CONNECTIONS };
        let on_the_way = Load::start(shape, served.target.clone(), "overload")?;
        tokio::time::sleep(Duration::from_secs(options.warm_up)).await;
        on_the_way.begin();
        let window = observe(pid, Duration::from_secs(options.overload_seconds)).await;
        on_the_way.end();
        let tally = on_the_way.finish().await?;
        tokio::time::sleep(CALM).await;
        let mut figures = figures(&capacity, &window, &tally, rate);
        figures.extend([
            ("memory_idle_kb", idle),
            ("memory_before_kb", before),
            ("memory_afterwards_kb", resident_kb(pid)),
        ]);
        Ok([saturation, Reading { load: Loaded::Overload { factor }, figures, tally, delay_us: 0 }])
    }
}

async fn observe(pid: u32, length: Duration) -> Window {
    let (began, before, mut memory_kb) = (Instant::now(), usage(pid), 0.0_f64);
    while began.elapsed() < length {
        tokio::time::sleep(SAMPLE).await;
        memory_kb = memory_kb.max(resident_kb(pid));
    }
    Window { seconds: began.elapsed().as_secs_f64(), cpu_ms: usage(pid).since(before).cpu_ms, memory_kb }
}

/// So many times the capacity, in whole requests a second.
fn offered(per_second: f64, factor: u64) -> u64 {
    // There is no other way from a float to a whole number than its digits.
    format!("{:.0}", per_second * float(factor)).parse().unwrap_or(1).max(1)
}

fn figures(capacity: &Capacity, window: &Window, tally: &Tally, rate: u64) -> Figures {
    let (issued, refused) = (float(tally.issued), float(tally.refusals.len()));
    let others: u64 =
        tally.answers.iter().filter(|(status, _count)| *status != "201").map(|(_status, count)| count).sum();
    let mut figures = Figures::from([
        ("capacity_per_second", capacity.per_second),
        ("offered_per_second", float(rate)),
        ("rewards_per_second", issued / window.seconds),
        ("served_share", issued / window.seconds / capacity.per_second.max(1.0)),
        ("not_issued", float(others)),
        ("broken", float(tally.answers.get("connection").copied().unwrap_or(0))),
        ("memory_loaded_kb", window.memory_kb),
    ]);
    if refused > 0.0 {
        let of_served = capacity.cpu_ms * issued;
        figures.extend([
            ("refused_p50_ms", milliseconds_of(&tally.refusals, 0.5)),
            ("refused_p99_ms", milliseconds_of(&tally.refusals, 0.99)),
            ("refusal_cpu_ms", (window.cpu_ms - of_served).max(0.0) / refused),
        ]);
    }
    figures
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_multiple_of_the_capacity_is_offered() {
        assert_eq!((offered(566.4, 5), offered(0.0, 5)), (2832, 1));
    }

    #[test]
    fn the_share_is_of_the_capacity_and_not_of_what_was_offered() {
        let mut tally = Tally::new().unwrap();
        tally.issued = 900;
        tally.answers = BTreeMap::from([("201".to_owned(), 950), ("503".to_owned(), 90), ("connection".to_owned(), 2)]);
        for _refusal in 0..100 {
            tally.refusals.record(4_000).unwrap();
        }
        let capacity = Capacity { per_second: 500.0, cpu_ms: 0.5 };
        let window = Window { seconds: 2.0, cpu_ms: 460.0, memory_kb: 7.0 };
        let figures = figures(&capacity, &window, &tally, 2_500);
        let shown = |key: &str| format!("{:.2}", figures[key]);
        assert_eq!((shown("served_share"), shown("rewards_per_second")), ("0.90".into(), "450.00".into()));
        assert_eq!((shown("not_issued"), shown("broken")), ("92.00".into(), "2.00".into()));
        assert_eq!((shown("refused_p99_ms"), shown("refusal_cpu_ms")), ("4.00".into(), "0.10".into()));
    }
}
