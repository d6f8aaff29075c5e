//! The gauges of what was moved say what the ledger's entries add up to, window by window, wherever an entry lies: at the edge of a
//! month, in an odd part of an hour, before the counting mark or behind it.

use chrono::{DateTime, Datelike as _, Months, NaiveDate, NaiveTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;
use rust_decimal::Decimal;

use crate::{
    kill::Dice,
    support::{App, Backend, Shape, on_each_backend},
    treasury::{metric, observe},
};

/// Full hours and daylight saving; half an hour off; half an hour of daylight saving; three quarters.
const ZONES: [Tz; 5] = [
    chrono_tz::UTC,
    chrono_tz::America::New_York,
    chrono_tz::America::St_Johns,
    chrono_tz::Australia::Lord_Howe,
    chrono_tz::Asia::Kathmandu,
];
/// Entries before the first count, and after each.
const ENTRIES: usize = 120;
const WINDOWS: [&str; 4] = ["hour", "day", "month", "last_month"];

struct Entry {
    kind: &'static str,
    minor: i64,
    at: DateTime<Utc>,
}

/// Instants at which a window begins or ends, and now.
fn edges(now: DateTime<Utc>, zone: Tz) -> Vec<DateTime<Utc>> {
    let today = now.with_timezone(&zone).date_naive();
    let month = today.with_day(1).unwrap();
    let days = [today, month, month - Months::new(1), month + Months::new(1), today.succ_opt().unwrap()];
    let begins = |day: NaiveDate| zone.from_local_datetime(&day.and_time(NaiveTime::MIN)).earliest().unwrap().to_utc();
    days.into_iter().map(begins).chain([now, now - TimeDelta::hours(1)]).collect()
}

fn random_entry(dice: &mut Dice, now: DateTime<Utc>, zone: Tz) -> Entry {
    let edges = edges(now, zone);
    let seconds = |dice: &mut Dice, end: usize| i64::try_from(dice.below(end)).unwrap();
    let at = if dice.below(3) == 0 {
        now - TimeDelta::seconds(seconds(dice, 75 * 86_400))
    } else {
        // One second of four is the edge itself, or the one before it.
        let away = if dice.below(4) == 0 { seconds(dice, 2) - 1 } else { seconds(dice, 7200) - 3600 };
        edges[dice.below(edges.len())] + TimeDelta::seconds(away)
    };
    let kind = ["issued", "issued", "canceled", "released", "reserved"][dice.below(5)];
    Entry { kind, minor: 1 + seconds(dice, 100_000), at: at + TimeDelta::milliseconds(seconds(dice, 2) * 250) }
}

async fn write(app: &App, entries: &[Entry]) {
    let rows = entries.iter().map(|Entry { kind, minor, at }| {
        let (debit, credit) = match *kind {
            "issued" => ("issued", "reserved"),
            "canceled" => ("funds", "issued"),
            "released" => ("funds", "reserved"),
            _ => ("reserved", "funds"),
        };
        format!("('{}', 'main', 'USD', '{kind}', '{debit}', '{credit}', {minor})", at.to_rfc3339())
    });
    let rows: Vec<String> = rows.collect();
    let text = format!(
        "INSERT INTO ledger_entries (at, account, currency, kind, debit, credit, amount_minor) VALUES {}",
        rows.join(", ")
    );
    app.database.execute(&text).await.unwrap();
}

/// Whether an instant is in a window, by its local date alone.
fn is_in(window: &str, at: DateTime<Utc>, now: DateTime<Utc>, zone: Tz) -> bool {
    let (date, today) = (at.with_timezone(&zone).date_naive(), now.with_timezone(&zone).date_naive());
    let month = |date: NaiveDate| date.year() * 12 + i32::try_from(date.month()).unwrap();
    match window {
        "hour" => at >= now - TimeDelta::hours(1) && at < now + TimeDelta::hours(1),
        "day" => date == today,
        "month" => month(date) == month(today),
        _ => month(date) == month(today) - 1,
    }
}

/// What the entries add up to, in minor units, for each window and metric.
fn sums(entries: &[Entry], now: DateTime<Utc>, zone: Tz) -> Vec<(String, i64)> {
    let mut all = Vec::new();
    for window in WINDOWS {
        let of = |kind| {
            let those = entries.iter().filter(|entry| entry.kind == kind && is_in(window, entry.at, now, zone));
            those.map(|entry| entry.minor).sum::<i64>()
        };
        let (issued, canceled) = (of("issued"), of("canceled"));
        let mut figures = vec![("issued", issued), ("canceled", canceled), ("net", issued - canceled)];
        figures.extend((window == "hour").then(|| ("released", of("released"))));
        let series = |name| format!("noshi_ledger_{name}{{account=\"main\",currency=\"USD\",window=\"{window}\"}}");
        all.extend(figures.into_iter().map(|(name, minor)| (series(name), minor)));
    }
    all
}

async fn gauges_are_the_sums(app: &App, entries: &[Entry], zone: Tz, when: &str) {
    loop {
        let expected = sums(entries, app.ambient.now(), zone);
        let page = app.metrics().await;
        // An edge went by meanwhile.
        if expected != sums(entries, app.ambient.now(), zone) {
            continue;
        }
        for (series, minor) in &expected {
            let line = page.lines().find_map(|line| line.strip_prefix(series.as_str())?.trim().parse::<f64>().ok());
            let expected = Decimal::new(*minor, 2).to_string().parse::<f64>().unwrap();
            assert_eq!(line, Some(expected), "{zone}, {when}: {series}");
        }
        return;
    }
}

on_each_backend! {
    async fn each_gauge_is_the_sum_of_its_windows_entries_before_and_behind_the_mark(backend: Backend) {
        for (at, zone) in ZONES.into_iter().enumerate() {
            let shape = Shape::default().with("NOSHI__ACCOUNTS__MAIN__TIME_ZONE", zone.name());
            let mut app = App::shaped(backend, shape).await;
            let seed = app.ambient.now().timestamp().unsigned_abs() + u64::try_from(at).unwrap();
            println!("{zone}: seed {seed}");
            let mut dice = Dice::new(seed);
            let mut entries: Vec<Entry> = Vec::new();
            let counted = "SELECT COUNT(*) FROM hourly_spending";
            for round in 0..3 {
                let now = app.ambient.now();
                let more: Vec<Entry> = (0..ENTRIES).map(|_| random_entry(&mut dice, now, zone)).collect();
                write(&app, &more).await;
                entries.extend(more);
                gauges_are_the_sums(&app, &entries, zone, &format!("behind the mark, round {round}")).await;
                // The first question notes the mark, and one after it has settled counts up to it.
                for _ in 0..2 {
                    observe(&mut app).await;
                    app.advance(700);
                }
                observe(&mut app).await;
                assert!(app.database.number(counted).await > 0, "nothing was counted");
                gauges_are_the_sums(&app, &entries, zone, &format!("counted, round {round}")).await;
            }
            app.end().await;
        }
    }

    /// Whoever began yesterday has no last month: that is zero, and no series is missing.
    async fn an_account_that_moved_nothing_shows_zeros(backend: Backend) {
        let app = App::spawn(backend).await;
        for window in WINDOWS {
            for name in ["issued", "canceled", "net"] {
                let series = format!("noshi_ledger_{name}{{account=\"main\",currency=\"USD\",window=\"{window}\"}}");
                assert_eq!(metric(&app, &series).await, Some(0.0), "{series}");
            }
        }
        app.end().await;
    }
}
