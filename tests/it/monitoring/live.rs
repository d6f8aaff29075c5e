//! The real thing: two replicas with traffic of every kind, scraped by Prometheus; every query of the dashboards has data,
//! every alert is evaluated, and those fire that should.

use std::{
    collections::BTreeSet,
    fs,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use futures_util::FutureExt as _;
use noshi::sandbox::{Fault, FaultRule, Operation};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    files::{DASHBOARDS, dashboard, queries},
    page::COMING,
    prometheus::{Prometheus, promtool, said},
};
use crate::{
    membership::{join, plan, plan_of},
    pay::{charge_of, make},
    process::Served,
    support::{ACCESS_KEY_ID, App, Backend, SECRET_ACCESS_KEY, Shape, order, partners::Partner, seller, wait::until},
};

/// Alerts that count what happens in minutes: whether they have seen enough of it is a matter of the moment.
const MAY_STIR: [&str; 3] = ["NoshiBudgetRefusing", "NoshiThrottled", "NoshiUnproven"];
/// A partner account of its own for what would refuse the other's rewards.
const BROKE: &str = "Broke";

async fn stage(key_pair: &TempDir) -> App {
    let file = |name: &str, content: &str| {
        fs::write(key_pair.path().join(name), content).unwrap();
        key_pair.path().join(name).display().to_string()
    };
    let shape = Shape {
        partners: vec![Partner { id: BROKE.to_owned(), gateway: None }],
        sells: true,
        ..Shape::default()
            .with("NOSHI__ACCOUNTS__MAIN__ACCESS_KEY_CREATED", "2026-01-31")
            .with("NOSHI__ACCOUNTS__MAIN__ACCESS_KEY_ID_FILE", file("access_key_id", ACCESS_KEY_ID))
            .with("NOSHI__ACCOUNTS__MAIN__SECRET_ACCESS_KEY_FILE", file("secret_access_key", SECRET_ACCESS_KEY))
            .with("NOSHI__REWARDS__BREAKER_SECONDS", 600)
            .with("NOSHI__ACCOUNTS__MAIN__LOW_BALANCE", "10.00")
            .with("NOSHI__RECONCILIATION__PAGE_SPACING_SECONDS", 0)
            .with("NOSHI__BALANCES__POLL_SECONDS", 2)
    };
    App::shaped(Backend::Postgres, shape).await
}

async fn charge(app: &App, key: &str, amount: &str, program: Option<&str>, account: &str) -> (u16, Value) {
    let mut body = order(amount);
    body["account_id"] = json!(account);
    if let Some(program) = program {
        body["program_id"] = json!(program);
    }
    let answer = app.issue_body(key, body).await;
    (answer.status, answer.json)
}

/// One fault for the create of one key.
fn fault(app: &App, key: &str, rule: FaultRule) {
    let rule =
        FaultRule { operation: Some(Operation::CreateGiftCard), creation_request_id: Some(app.amazon_id(key)), ..rule };
    app.control.script(rule).unwrap();
}

/// Payments of Amazon Pay: one that is paid, one that is declined, and one that is not decided.
async fn payments(app: &App) {
    let consent = seller::consent(&app.control, 100_000, "1111");
    let paid = make(app, "/v1/pay/charges", "paid", &charge_of(&consent, "980")).await;
    assert_eq!(paid.status, 201, "{}", paid.text);
    let mut body = charge_of(&consent, "980");
    body["simulation"] = json!("HardDeclined");
    assert_eq!(make(app, "/v1/pay/charges", "declined", &body).await.status, 402);
    let back = json!({"charge_id": paid.id(), "value": {"amount": "1", "currency_code": "JPY"}});
    assert_eq!(make(app, "/v1/pay/refunds", "back", &back).await.status, 202);
}

/// What happens once: each state, refusal and fault that has a metric.
async fn odd_traffic(app: &App) {
    payments(app).await;
    let program = json!({"id": "prg_spring", "name": "Spring", "account_id": "main", "limits": [{"span": "total", "hard": "10.00"}]});
    assert_eq!(app.post("/v1/programs", program).await.status, 201);
    assert_eq!(charge(app, "charged", "9.50", Some("prg_spring"), "main").await.0, 201);
    assert_eq!(charge(app, "too-much", "9.50", Some("prg_spring"), "main").await.0, 403);
    let refused =
        Fault::FCode { code: "F200".to_owned(), error_type: "MaxAmountExceeded".to_owned(), after_work: false };
    fault(app, "failed", FaultRule::once(refused));
    assert_eq!(charge(app, "failed", "5.00", None, "main").await.0, 422);
    fault(app, "open", FaultRule::always(Fault::Throttle));
    assert_eq!(charge(app, "open", "5.00", None, "main").await.0, 202);
    fault(app, "odd", FaultRule::once(Fault::WrongAmount));
    let (status, odd) = charge(app, "odd", "5.00", None, "main").await;
    assert_eq!((status, &odd["status"]), (202, &json!("needs_attention")), "{odd}");
    fault(app, "late", FaultRule::once(Fault::DropAfterWork));
    let (_status, late) = charge(app, "late", "5.00", None, "main").await;
    app.until(late["id"].as_str().unwrap(), "issued").await;
    app.control.set_funds(BROKE, 0.into()).unwrap();
    assert_eq!(charge(app, "broke", "5.00", None, "broke").await.0, 402);
    for _ in 0..100 {
        // Refused before a row is made, once the breaker is known.
        if charge(app, &app.ambient.token().unwrap().to_string(), "5.00", None, "broke").await.1["reward_id"].is_null()
        {
            return;
        }
    }
    panic!("no breaker opened");
}

/// A day that was reconciled, days that were not, and eight weeks of spending, which the service would need eight weeks for.
async fn history(app: &App) {
    let hour = app.ambient.now().timestamp() / 3600;
    let spent = format!(
        "INSERT INTO hourly_spending (account, currency, hour, issued_minor, canceled_minor, rewards) \
         SELECT 'main', 'USD', hour, 20000, 0, 20 FROM generate_series({}, {}) hour",
        hour - 56 * 24,
        hour - 2
    );
    app.database.execute(&spent).await.unwrap();
    // A caller's key ends in ten days.
    let ends = (app.ambient.now() + chrono::TimeDelta::days(10)).to_rfc3339();
    let key = format!(
        "INSERT INTO api_keys (id, client_id, name, secret_sha256, scopes, created_at, expires_at) \
         SELECT gen_random_uuid(), client_id, 'ends', sha256('ends'), scopes, created_at - INTERVAL '90 days', '{ends}' FROM api_keys LIMIT 1"
    );
    app.database.execute(&key).await.unwrap();
    let past = app.ambient.now() - chrono::TimeDelta::days(3);
    // The days since then are due, at whatever hour this runs.
    let seen = format!(
        "INSERT INTO balance_observations (account, hour, as_of, currency, available_minor) \
         VALUES ('main', 1, '{}', 'USD', 1)",
        past.to_rfc3339()
    );
    app.database.execute(&seen).await.unwrap();
    let day = past.date_naive().to_string();
    for account in ["main", "broke"] {
        let begun = app.post("/v1/reconciliations", json!({"account_id": account, "from": day, "to": day})).await;
        assert!(matches!(begun.status, 200 | 202), "{}", begun.text);
    }
    until("what comes with its data is there", async || {
        let there = on_page(&app.metrics().await);
        COMING.iter().all(|(name, _, _)| there.contains(*name))
    })
    .await;
}

/// What goes on until it is stopped: rates need it.
async fn steady_traffic(app: &App, stop: &AtomicBool) {
    // Members pay, and no reward of theirs comes between those of the others.
    let mut held = plan_of("980");
    (held["hold_days"], held["reward"]["account_id"]) = (json!(366), json!("main"));
    let gold = plan(app, "gold", &held).await;
    for round in 0.. {
        if stop.load(Relaxed) {
            return;
        }
        let key = format!("steady-{round}");
        let (status, reward) = charge(app, &key, "1.00", None, "main").await;
        assert_eq!(status, 201, "{reward}");
        assert_eq!(charge(app, &key, "1.00", None, "main").await.0, 200);
        assert_eq!(charge(app, &key, "2.00", None, "main").await.0, 422);
        assert_eq!(app.cancel(reward["id"].as_str().unwrap()).await.status, 200);
        app.get("/v1/nowhere").await;
        let consent = seller::consent(&app.control, 100_000, "1111");
        assert_eq!(join(app, &gold, &consent, &format!("member-{round}")).await.status, 201);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// As Grafana fills it in.
fn filled_in(expression: &str) -> String {
    let filled = expression.replace("$__rate_interval", "30s").replace("$account", ".*");
    assert!(!filled.contains('$'), "a variable that nothing fills in: {filled}");
    filled
}

/// Metrics on a page.
fn on_page(page: &str) -> BTreeSet<String> {
    let names = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    names.map(str::to_owned).collect()
}

async fn every_query_has_data(prometheus: &Prometheus) {
    for name in DASHBOARDS {
        let mut asked = 0;
        for (title, expression) in queries(&dashboard(name)) {
            let found = prometheus.until_data(&filled_in(&expression)).await;
            assert!(found.iter().all(|(_labels, number)| number.is_finite()), "{name}, {title}: {found:?}");
            asked += 1;
        }
        println!("{name}: {asked} queries have data");
        assert!(asked > 12, "{name}: {asked}");
    }
}

/// The alerts that are not silent. Every rule was evaluated without an error, and what is told reads as text.
async fn stirring(prometheus: &Prometheus) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    for rule in prometheus.evaluated_rules().await {
        let name = rule["name"].as_str().unwrap().to_owned();
        assert_eq!((&rule["health"], rule["lastError"].as_str().unwrap_or("")), (&json!("ok"), ""), "{name}");
        for alert in rule["alerts"].as_array().unwrap() {
            let told = alert["annotations"].to_string();
            assert!(!told.contains("error") && !told.contains("<no value>"), "{name}: {told}");
        }
        if rule["state"] != "inactive" {
            seen.insert(name);
        }
    }
    seen
}

/// Waits until these alerts stir and no other; fails after 60 s.
async fn alerts_are(prometheus: &Prometheus, expected: &[&str]) {
    let expected: BTreeSet<String> = expected.iter().map(|name| (*name).to_owned()).collect();
    let mut seen = BTreeSet::new();
    for _ in 0..240 {
        seen = stirring(prometheus).await;
        seen.retain(|name| !MAY_STIR.contains(&name.as_str()));
        if seen == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    assert_eq!(seen, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_reads_all_of_it_dashboards_have_data_and_the_right_alerts_stir() {
    let key_pair = TempDir::new().unwrap();
    let app = stage(&key_pair).await;
    let other = Served::start(app.environment());
    let prometheus = Prometheus::start(&app.http, &[&app.admin, &other.admin]);
    odd_traffic(&app).await;
    history(&app).await;
    let stop = AtomicBool::new(false);
    let looked = async {
        let page = app.metrics().await;
        let checked = promtool(&std::env::temp_dir(), &["check", "metrics"], &page);
        assert!(checked.status.success() && said(&checked).is_empty(), "{}", said(&checked));
        every_query_has_data(&prometheus).await;
        // Two replicas show the same: a dashboard shows it once.
        let funds =
            prometheus.until_data("max by (account, currency) (noshi_available_funds{account=\"broke\"})").await;
        assert_eq!(funds, [(json!({"account": "broke", "currency": "USD"}), 0.0)]);
        assert_eq!(prometheus.until_data("count(noshi_available_funds{account=\"broke\"})").await[0].1, 2.0);
        let (open, odd) = ("unresolved", "needs_attention");
        for state in [open, odd] {
            let query = format!("max by (state) (noshi_rewards_in_state{{account=\"main\",state=\"{state}\"}})");
            assert_eq!(prometheus.until_data(&query).await, [(json!({"state": state}), 1.0)]);
        }
    };
    let looked = std::panic::AssertUnwindSafe(looked).catch_unwind().map(|looked| {
        stop.store(true, Relaxed);
        looked
    });
    let (looked, ()) = tokio::join!(looked, steady_traffic(&app, &stop));
    looked.unwrap();
    // By the day in the settings both ages of the key are passed. The days after the one that was reconciled are due. The
    // other account's funds went without a reason, which is believed after some minutes.
    // That account has no low_balance either. A caller's key ends in ten days.
    let mut stirred = vec![
        "NoshiApiKeyEnding",
        "NoshiBalanceUnwatched",
        "NoshiReconciliationDaysOpen",
        "NoshiBreakerOpen",
        "NoshiBudgetNearlyUsed",
        "NoshiNeedsAttention",
        "NoshiCredentialOld",
        "NoshiCredentialEnding",
    ];
    alerts_are(&prometheus, &stirred).await;
    other.kill();
    stirred.push("NoshiReplicaDown");
    alerts_are(&prometheus, &stirred).await;
    app.end().await;
}

/// Prometheus makes nothing of a series that begins: by `increase` the first reward would be 0. So this one was bought before
/// anybody looked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_money_panel_shows_the_first_reward() {
    let app = App::spawn(Backend::Sqlite).await;
    let program = json!({"id": "prg_first", "name": "First", "account_id": "main", "limits": [{"span": "total", "hard": "100.00"}]});
    assert_eq!(app.post("/v1/programs", program).await.status, 201);
    let (status, reward) = charge(&app, "first", "15.00", Some("prg_first"), "main").await;
    assert_eq!(status, 201, "{reward}");
    let prometheus = Prometheus::start(&app.http, &[&app.admin]);
    let dashboard = queries(&dashboard("finance"));
    let panels = dashboard.iter().filter(|(_title, expression)| expression.contains("currency"));
    let mut shown = BTreeSet::new();
    for (title, expression) in panels {
        let Some(expected) = first_reward_in(title, expression) else { continue };
        let series = prometheus.until_data(&filled_in(expression)).await;
        let numbers: Vec<f64> = series.iter().map(|(_labels, number)| *number).collect();
        assert!(numbers.contains(&expected), "{title}: {expression} is {series:?} and not {expected}");
        shown.insert(title.as_str());
    }
    let promised = [
        "Given back in an hour",
        "Issued in an hour",
        "Last month",
        "Left of each budget",
        "Released in an hour",
        "Spent today, by program",
        "This month",
        "Today",
        "Used of each budget",
    ];
    assert_eq!(shown, BTreeSet::from(promised));
    assert_eq!(app.cancel(reward["id"].as_str().unwrap()).await.status, 200);
    for (window, net) in [("hour", 0.0), ("day", 0.0), ("month", 0.0)] {
        for (metric, expected) in [("issued", 15.0), ("canceled", 15.0), ("net", net)] {
            let asked = format!("max(noshi_ledger_{metric}{{window=\"{window}\"}})");
            until(&format!("{asked} is {expected}"), async || {
                prometheus.query(&asked).await.iter().any(|(_labels, number)| *number == expected)
            })
            .await;
        }
    }
    app.end().await;
}

/// What a query of this panel shows after one reward of 15.00, of a budget of 100.00; `None` for what Amazon says, which is not
/// about spending.
fn first_reward_in(title: &str, expression: &str) -> Option<f64> {
    let spent =
        if ["canceled", "released", "last_month"].iter().any(|word| expression.contains(word)) { 0.0 } else { 15.0 };
    match title {
        "Available" | "Balance" | "Difference to Amazon" | "Reserved" | "Runway" | "Unexplained" => None,
        "Used of each budget" => Some(0.15),
        "Left of each budget" => Some(85.0),
        _ => Some(spent),
    }
}
