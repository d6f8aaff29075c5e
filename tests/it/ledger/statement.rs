//! A month's statement: to the cent what the ledger's entries say, month by month over a year, whatever the account's clock does; in each of
//! its forms the same; and as text for accounting programs. That these read it, `tests/books` shows with the real ones.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike as _, Months, NaiveDate, NaiveTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::programs::{charged, program};
use crate::{
    kill::Dice,
    process::noshi,
    support::{Answer, App, Backend, Shape, on_each_backend, order},
    treasury::observe,
};

/// Whole hours and daylight saving, and three quarters of an hour off.
const ZONES: [Tz; 2] = [chrono_tz::America::New_York, chrono_tz::Asia::Kathmandu];
/// Entries of the year, in two halves: before what is counted, and behind it.
const ENTRIES: usize = 500;
/// By the kind: what is debited, what is credited, what it does to the balance.
const KINDS: [(&str, &str, &str, i64); 8] = [
    ("deposit", "funds", "deposits", 1),
    ("adjustment", "funds", "adjustments", 1),
    ("adjustment", "adjustments", "funds", -1),
    ("reserved", "reserved", "funds", 0),
    ("issued", "issued", "reserved", -1),
    ("issued", "issued", "reserved", -1),
    ("released", "funds", "reserved", 0),
    ("canceled", "funds", "issued", 1),
];

/// The first days of the thirteen months up to this instant's, oldest first.
fn months(now: DateTime<Utc>, zone: Tz) -> Vec<NaiveDate> {
    let this = now.with_timezone(&zone).date_naive().with_day(1).unwrap();
    (0..13).rev().map(|back| this - Months::new(back)).collect()
}

fn begins(month: NaiveDate, zone: Tz) -> DateTime<Utc> {
    zone.from_local_datetime(&month.and_time(NaiveTime::MIN)).earliest().unwrap().to_utc()
}

/// Entries of the months but the last, every fourth at a month's edge or a quarter of a second beside it.
async fn write_entries(app: &App, dice: &mut Dice, months: &[NaiveDate], zone: Tz) {
    let (first, last) = (begins(months[0], zone), begins(months[12], zone));
    let seconds = usize::try_from((last - first).num_seconds()).unwrap();
    let mut rows = Vec::new();
    for _ in 0..ENTRIES {
        let at = if dice.below(4) == 0 {
            let edge = begins(months[1 + dice.below(11)], zone);
            edge + TimeDelta::milliseconds([-250, 0, 250][dice.below(3)])
        } else {
            first + TimeDelta::seconds(i64::try_from(dice.below(seconds)).unwrap())
        };
        let (kind, debit, credit, _effect) = KINDS[dice.below(KINDS.len())];
        let program = match (kind, dice.below(3)) {
            ("deposit" | "adjustment", _) | (_, 0) => "NULL",
            (_, 1) => "'prg_spring'",
            _ => "'prg_autumn'",
        };
        let minor = 1 + dice.below(100_000);
        rows.push(format!(
            "('{}', 'main', 'USD', '{kind}', '{debit}', '{credit}', {minor}, {program})",
            at.to_rfc3339()
        ));
    }
    let text = format!(
        "INSERT INTO ledger_entries (at, account, currency, kind, debit, credit, amount_minor, program_id) VALUES {}",
        rows.join(", ")
    );
    app.database.execute(&text).await.unwrap();
}

/// The ledger's entries as its own stream has them.
async fn raw_entries(app: &App) -> Vec<Value> {
    let answer = Answer::of(app.request("GET", "/v1/ledger-entries").header("Accept", "application/x-ndjson")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn amount(value: &Value) -> Decimal {
    value.as_str().unwrap_or_else(|| panic!("{value} is no amount")).parse().unwrap()
}

/// What the entries of a month add up to: by the kind and the program, with their number; and what all entries before it leave.
struct Reckoned {
    opening: Decimal,
    by_kind: BTreeMap<(String, Option<String>), (Decimal, i64)>,
}

fn reckon(entries: &[Value], month: NaiveDate, zone: Tz) -> Reckoned {
    let mut reckoned = Reckoned { opening: Decimal::ZERO, by_kind: BTreeMap::new() };
    for entry in entries {
        let at: DateTime<Utc> = entry["timestamp"].as_str().unwrap().parse().unwrap();
        let of = at.with_timezone(&zone).date_naive().with_day(1).unwrap();
        let (kind, debit) = (entry["kind"].as_str().unwrap(), entry["debit"].as_str().unwrap());
        let value = if debit == "adjustments" { -amount(&entry["amount"]) } else { amount(&entry["amount"]) };
        if of < month {
            reckoned.opening += match kind {
                "issued" => -value,
                "reserved" | "released" => Decimal::ZERO,
                _ => value,
            };
        } else if of == month {
            let program = entry["program_id"].as_str().map(str::to_owned);
            let sum = reckoned.by_kind.entry((kind.to_owned(), program)).or_default();
            *sum = (sum.0 + value, sum.1 + 1);
        }
    }
    reckoned
}

impl Reckoned {
    fn of(&self, kind: &str) -> Decimal {
        self.by_kind.iter().filter(|((of, _program), _sum)| of == kind).map(|(_key, (sum, _count))| *sum).sum()
    }

    /// The lines: by program, each movement's sum and number.
    fn lines(&self) -> BTreeMap<Option<String>, Vec<(Decimal, i64)>> {
        let kinds = ["issued", "canceled", "released"];
        let of_kinds = self.by_kind.keys().filter(|(kind, _program)| kinds.contains(&kind.as_str()));
        let programs = of_kinds.map(|(_kind, program)| program.clone());
        let line = |program: Option<String>| {
            let sums =
                kinds.map(|kind| self.by_kind.get(&(kind.to_owned(), program.clone())).copied().unwrap_or_default());
            (program, sums.to_vec())
        };
        programs.map(line).collect()
    }
}

fn lines_of(statement: &Value) -> BTreeMap<Option<String>, Vec<(Decimal, i64)>> {
    let lines = statement["programs"].as_array().unwrap().iter();
    let sums = |line: &Value| {
        ["issued", "canceled", "released"]
            .map(|kind| (amount(&line[kind]), line[format!("{kind}_count")].as_i64().unwrap()))
    };
    lines.map(|line| (line["program_id"].as_str().map(str::to_owned), sums(line).to_vec())).collect()
}

async fn statement(app: &App, month: &str) -> Value {
    let answer = app.get(&format!("/v1/statements/main/{month}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json
}

/// Fails unless each month's statement is the sum of its entries, and begins with what the one before ended with.
async fn the_year_is_right(app: &App, zone: Tz, when: &str) {
    let entries = raw_entries(app).await;
    let months = months(app.ambient.now(), zone);
    let mut before: Option<Decimal> = None;
    for (at, month) in months.iter().enumerate() {
        let text = month.format("%Y-%m").to_string();
        let (said, wanted) = (statement(app, &text).await, reckon(&entries, *month, zone));
        let cell = format!("{zone} {text} {when}: {said}");
        assert_eq!(amount(&said["opening"]), wanted.opening, "{cell}");
        assert!(before.is_none_or(|closing| closing == wanted.opening), "{cell}");
        let Some(next) = months.get(at + 1) else {
            // The service books while this one is looked at.
            assert_eq!(said["closed"], json!(false), "{cell}");
            return;
        };
        assert_eq!(said["closed"], json!(app.ambient.now() - begins(*next, zone) >= TimeDelta::minutes(10)), "{cell}");
        let came = [("initial_balance", "opening"), ("deposits", "deposit"), ("adjustments", "adjustment")];
        let mut closing = wanted.opening;
        for (member, kind) in came {
            assert_eq!(amount(&said[member]), wanted.of(kind), "{member}: {cell}");
            closing += wanted.of(kind);
        }
        let net = wanted.of("issued") - wanted.of("canceled");
        assert_eq!(amount(&said["total"]["net"]), net, "{cell}");
        assert_eq!(lines_of(&said), wanted.lines(), "{cell}");
        assert_eq!(amount(&said["closing"]), closing - net, "{cell}");
        before = Some(amount(&said["closing"]));
    }
}

/// Counts all entries that are there, hour by hour: the first question notes the mark, and one after it has settled counts up to it.
async fn count(app: &mut App) {
    for _ in 0..2 {
        observe(app).await;
        app.advance(700);
    }
    observe(app).await;
    assert!(app.database.number("SELECT COUNT(*) FROM hourly_spending").await > 0, "nothing was counted");
}

/// Runs a command beside the service.
fn command(app: &App, arguments: &[&str]) -> Result<String, String> {
    let output = noshi().args(arguments).envs(app.environment().iter().cloned()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

/// The transactions of a text for hledger or Beancount: their postings' accounts and values. An assertion is none.
fn transactions(text: &str) -> Vec<Vec<(String, Decimal)>> {
    let mut all: Vec<Vec<(String, Decimal)>> = Vec::new();
    for line in text.lines() {
        if line.chars().next().is_some_and(|c| c.is_ascii_digit()) && line.contains(" * ") {
            all.push(Vec::new());
        } else if line.trim_start().starts_with(char::is_uppercase) && line.ends_with(" USD") && !line.contains('=') {
            let words: Vec<&str> = line.split_whitespace().collect();
            all.last_mut().unwrap().push((words[0].to_owned(), words[1].parse().unwrap()));
        }
    }
    all.retain(|postings| !postings.is_empty());
    all
}

/// A service with what a month has: two programs, one reward canceled, one without a program.
async fn a_month(backend: Backend) -> (App, String) {
    let app = App::shaped(backend, Shape::default().with("NOSHI__ACCOUNTS__MAIN__TIME_ZONE", "UTC")).await;
    app.until_number("SELECT COUNT(*) FROM ledger_entries WHERE kind = 'opening'", 1).await;
    for id in ["prg_spring", "prg_autumn"] {
        program(&app, id, json!([])).await;
    }
    for (key, amount, of) in [("a", "5.00", "prg_spring"), ("b", "7.00", "prg_spring"), ("c", "2.00", "prg_autumn")] {
        app.issue_body(key, charged(amount, of)).await;
    }
    let mut odd = order("1.00");
    odd["external_id"] = json!("say \"4711\" \\ <b>, a: b");
    let canceled = app.issue_body("d", odd).await;
    app.cancel(canceled.id()).await;
    let month = app.ambient.now().format("%Y-%m").to_string();
    (app, month)
}

on_each_backend! {
    async fn a_years_statements_are_the_sums_of_its_entries_to_the_cent(backend: Backend) {
        for (at, zone) in ZONES.into_iter().enumerate() {
            let shape = Shape::default().with("NOSHI__ACCOUNTS__MAIN__TIME_ZONE", zone.name());
            let mut app = App::shaped(backend, shape).await;
            let seed = app.ambient.now().timestamp().unsigned_abs() + u64::try_from(at).unwrap();
            println!("{zone}: seed {seed}");
            let (mut dice, months) = (Dice::new(seed), months(app.ambient.now(), zone));
            app.until_number("SELECT COUNT(*) FROM ledger_entries WHERE kind = 'opening'", 1).await;
            write_entries(&app, &mut dice, &months, zone).await;
            the_year_is_right(&app, zone, "behind the mark").await;
            count(&mut app).await;
            write_entries(&app, &mut dice, &months, zone).await;
            the_year_is_right(&app, zone, "counted, and more behind the mark").await;
            app.end().await;
        }
    }

    async fn a_statement_that_the_counted_hours_contradict_is_not_shown(backend: Backend) {
        let zone = chrono_tz::UTC;
        let mut app = App::shaped(backend, Shape::default().with("NOSHI__ACCOUNTS__MAIN__TIME_ZONE", "UTC")).await;
        let months = months(app.ambient.now(), zone);
        write_entries(&app, &mut Dice::new(7), &months, zone).await;
        count(&mut app).await;
        let path = |month: NaiveDate| format!("/v1/statements/main/{}", month.format("%Y-%m"));
        let hour = begins(months[5], zone).timestamp() / 3600;
        let falsified = format!("UPDATE hourly_spending SET issued_minor = issued_minor + 1 WHERE hour = (SELECT MIN(hour) FROM hourly_spending WHERE hour > {hour})");
        assert_eq!(app.database.execute(&falsified).await.unwrap(), 1);
        app.get(&path(months[5])).await.is_problem(500, "internal");
        assert_eq!(app.get(&path(months[4])).await.status, 200);
        app.end().await;
    }

    async fn a_statement_is_the_same_as_json_csv_and_page(backend: Backend) {
        let (app, month) = a_month(backend).await;
        let path = format!("/v1/statements/main/{month}");
        let said = statement(&app, &month).await;
        let of = async |accept: &str| Answer::of(app.request("GET", &path).header("Accept", accept)).await;
        let figures: Vec<(&str, &str, i64)> = said["programs"].as_array().unwrap().iter()
            .map(|line| (line["program_id"].as_str().unwrap_or("none"), line["net"].as_str().unwrap(), line["issued_count"].as_i64().unwrap()))
            .collect();
        assert_eq!(figures, [("none", "0.00", 1), ("prg_autumn", "2.00", 1), ("prg_spring", "12.00", 2)]);
        assert_eq!((amount(&said["initial_balance"]) - amount(&said["closing"])).to_string(), "14.00");

        let table = of("text/csv").await;
        assert_eq!(table.header("content-disposition"), format!("attachment; filename=\"statement-main-{month}.csv\""));
        let mut csv = csv::Reader::from_reader(table.text.as_bytes());
        let names: Vec<String> = csv.headers().unwrap().iter().map(str::to_owned).collect();
        assert_eq!(names, ["account_id", "month", "closed", "currency_code", "line", "program_id", "count", "amount"]);
        let mut rows = 0;
        for row in csv.records() {
            let row = row.unwrap();
            assert_eq!((&row[0], &row[1], &row[2], &row[3]), ("main", month.as_str(), "false", "USD"));
            let program = said["programs"].as_array().unwrap().iter().find(|line| line["program_id"].as_str().unwrap_or("") == &row[5]);
            let (place, count) = match &row[4] {
                "opening" | "closing" => (&said[&row[4]], json!("")),
                "initial_balance" | "deposits" | "adjustments" => (&said[&row[4]], json!(&row[6])),
                kind => (&program.unwrap()[kind], json!(program.unwrap()[format!("{kind}_count")].to_string())),
            };
            assert_eq!((&json!(&row[7]), json!(&row[6])), (place, count), "{row:?}");
            rows += 1;
        }
        assert_eq!(rows, 4 + 3 * 3 + 1);

        let page = of("text/html").await;
        assert_eq!((page.header("content-type"), page.header("content-disposition")), ("text/html; charset=utf-8", ""));
        assert!(page.header("content-security-policy").starts_with("default-src 'none';"));
        let texts: Vec<&str> = page.text.split('>').filter_map(|part| part.split('<').next()).filter(|text| !text.trim().is_empty()).collect();
        for wanted in ["prg_spring", "prg_autumn", "without a program", "12.00", said["opening"].as_str().unwrap(), said["closing"].as_str().unwrap()] {
            assert!(texts.contains(&wanted), "{wanted} is not in {texts:?}");
        }
        for tag in ["html", "head", "body", "main", "table", "thead", "tbody", "tfoot", "tr", "td", "p", "h1", "title", "style", "caption"] {
            let (open, closed) = (page.text.matches(&format!("<{tag}>")).count(), page.text.matches(&format!("</{tag}>")).count());
            assert_eq!(open + page.text.matches(&format!("<{tag} ")).count(), closed, "{tag}");
        }
        for fetched in ["<script", "http:", "https:", "src=", "href=", "url(", "@import"] {
            assert!(!page.text.contains(fetched), "{fetched}");
        }
        assert_eq!(of("application/json").await.json, said);
        app.end().await;
    }

    async fn no_statement_is_made_of_what_there_is_not(backend: Backend) {
        let app = App::spawn(backend).await;
        let next = (app.ambient.now().date_naive() + Months::new(2)).format("%Y-%m").to_string();
        for path in ["main/2026-13", "main/2026-1", "main/2026-01-01", "main/0000-01", "main/now", "other/2026-01", "%20/2026-01", &format!("main/{next}")] {
            app.get(&format!("/v1/statements/{path}")).await.is_problem(404, "not-found");
        }
        app.get("/v1/statements/main/2026-01?program_id=prg_spring").await.is_problem(400, "invalid-request");
        let early = statement(&app, "0001-01").await;
        assert_eq!((&early["opening"], &early["closing"], &early["programs"]), (&json!("0.00"), &json!("0.00"), &json!([])));
        app.end().await;
    }

    async fn the_commands_say_what_the_api_says(backend: Backend) {
        let (app, month) = a_month(backend).await;
        let said = statement(&app, &month).await;
        let of = |form: &[&str]| command(&app, &[&["ledger", "statement", "--month", &month][..], form].concat());
        assert_eq!(serde_json::from_str::<Value>(&of(&["--json"]).unwrap()).unwrap(), said);
        assert_eq!(of(&["--json", "--account", "main"]), of(&["--json"]));
        let path = format!("/v1/statements/main/{month}");
        for (form, accept) in [("--csv", "text/csv"), ("--html", "text/html")] {
            let answer = Answer::of(app.request("GET", &path).header("Accept", accept)).await;
            assert_eq!(of(&[form, "--account", "main"]).unwrap().trim_end(), answer.text.trim_end());
        }
        let text = of(&[]).unwrap();
        assert!(text.starts_with(&format!("main  {month}  USD  not closed\n")), "{text}");
        assert!(text.lines().last().unwrap().contains(said["closing"].as_str().unwrap()), "{text}");
        for (bad, words) in [
            (&["ledger", "statement", "--month", "2026-13"][..], "a month is written as in 2026-10"),
            (&["ledger", "statement", "--month", "9999-12"], "the month has not begun"),
            (&["ledger", "statement", "--month", "2026-01", "--account", "other"], "there is no account of that id"),
            (&["ledger", "statement", "--month", "2026-01", "--html"], "--account"),
            (&["ledger", "statement", "--month", "2026-01", "--csv", "--json"], "cannot be used with"),
            (&["ledger", "export", "--month", "9999-12", "--account", "main", "--format", "hledger"], "the month has not begun"),
        ] {
            let refused = command(&app, bad).unwrap_err();
            assert!(refused.contains(words), "{bad:?}: {refused}");
        }
        app.end().await;
    }

    async fn an_export_balances_and_comes_to_the_closing_balance(backend: Backend) {
        let (app, month) = a_month(backend).await;
        let said = statement(&app, &month).await;
        for format in ["hledger", "beancount"] {
            let of = |more: &[&str]| {
                let export = ["ledger", "export", "--account", "main", "--month", &month, "--format", format];
                command(&app, &[&export[..], more].concat()).unwrap()
            };
            let whole = of(&[]);
            let all = transactions(&whole);
            assert_eq!(all.len(), 1 + 4 + 1, "the opening, four purchases, a cancel: {whole}");
            let mut by_account: BTreeMap<&str, Decimal> = BTreeMap::new();
            for postings in &all {
                assert_eq!(postings.iter().map(|(_name, value)| *value).sum::<Decimal>(), Decimal::ZERO, "{postings:?}");
                for (name, value) in postings {
                    *by_account.entry(name).or_default() += *value;
                }
            }
            let closing = amount(&said["closing"]);
            assert_eq!(by_account["Assets:Amazon:Main"], closing, "{whole}");
            assert_eq!(by_account["Expenses:Rewards:Prg-spring"].to_string(), "12.00");
            assert_eq!(by_account["Expenses:Rewards:Prg-autumn"].to_string(), "2.00");
            assert_eq!(by_account["Expenses:Rewards:None"].to_string(), "0.00");
            let asserted = whole.lines().filter(|line| line.contains(&format!("{closing} USD")) && (line.contains('=') || line.contains(" balance "))).count();
            assert_eq!(asserted, 1, "{whole}");
            let named = if format == "beancount" { r#"external_id: "say \"4711\" \\ <b>, a: b""# } else { r#"; external_id: say "4711" \ <b>, a: b"# };
            assert_eq!(whole.matches(named).count(), 2, "{whole}");
            // Beside the months before, what was held at first is only asserted.
            let appended = of(&["--append"]);
            assert_eq!(transactions(&appended).len(), 1 + 4 + 1, "the ledger's own opening is of this month: {appended}");
            assert_eq!(appended.matches(if format == "beancount" { " balance " } else { " = " }).count(), 2, "{appended}");
        }
        app.end().await;
    }
}
