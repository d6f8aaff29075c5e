//! The metrics page: every metric by its name, type and labels, and a number of series that has an end.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::support::{Answer, App, Backend, Shape, on_each_backend, order, wait::until, with_json};

/// Every metric of ours, as dashboards and alerts know them: name, type, labels.
pub(super) const METRICS: &[(&str, &str, &[&str])] = &[
    ("http_server_request_duration_seconds", "histogram", &["method", "route", "status"]),
    ("noshi_audit_broken", "gauge", &[]),
    ("noshi_audit_records", "gauge", &["action"]),
    ("noshi_audit_verified_timestamp_seconds", "gauge", &[]),
    ("noshi_api_keys_ending", "gauge", &["state"]),
    ("noshi_available_funds", "gauge", &["account", "currency"]),
    ("noshi_available_funds_reported_timestamp_seconds", "gauge", &["account"]),
    ("noshi_available_funds_updated_timestamp_seconds", "gauge", &["account"]),
    ("noshi_backup_refused", "gauge", &[]),
    ("noshi_balance_unexplained", "gauge", &["account", "currency"]),
    ("noshi_batch_item_turns_total", "counter", &["outcome"]),
    ("noshi_batch_items", "gauge", &["state"]),
    ("noshi_batch_stalled_age_seconds", "gauge", &[]),
    ("noshi_batches_open", "gauge", &["state"]),
    ("noshi_breaker_open", "gauge", &["account", "reason"]),
    ("noshi_budget_limit", "gauge", &["currency", "program", "window"]),
    ("noshi_budget_refusals_total", "counter", &["program"]),
    ("noshi_budget_reserved", "gauge", &["currency", "program", "window"]),
    ("noshi_budget_used", "gauge", &["currency", "program", "window"]),
    ("noshi_build_info", "gauge", &["revision", "version"]),
    ("noshi_ceiling_refusals_total", "counter", &["account", "ceiling"]),
    ("noshi_clock_skew_seconds", "gauge", &["account"]),
    ("noshi_connected_strangers", "gauge", &["port"]),
    ("noshi_connections_ended_total", "counter", &["port", "reason"]),
    ("noshi_credential_age_max_seconds", "gauge", &["account"]),
    ("noshi_credential_created_timestamp_seconds", "gauge", &["account", "slot"]),
    ("noshi_database_clock_residual_seconds", "gauge", &[]),
    ("noshi_database_clock_skew_seconds", "gauge", &[]),
    ("noshi_database_lost", "gauge", &[]),
    ("noshi_database_snapshot_timestamp_seconds", "gauge", &[]),
    ("noshi_database_unwritable", "gauge", &[]),
    ("noshi_feed_held_seconds", "gauge", &["feed"]),
    ("noshi_idempotent_requests_total", "counter", &["result"]),
    ("noshi_key_limit_refusals_total", "counter", &["policy"]),
    ("noshi_keys_refused_total", "counter", &["reason"]),
    ("noshi_lease_lost_total", "counter", &[]),
    ("noshi_ledger_canceled", "gauge", &["account", "currency", "window"]),
    ("noshi_ledger_issued", "gauge", &["account", "currency", "window"]),
    ("noshi_ledger_net", "gauge", &["account", "currency", "window"]),
    ("noshi_ledger_released", "gauge", &["account", "currency", "window"]),
    ("noshi_log_lines_lost_total", "counter", &[]),
    ("noshi_membership_consents_total", "counter", &["outcome"]),
    ("noshi_membership_oldest_overdue_seconds", "gauge", &["what"]),
    ("noshi_membership_renewals_total", "counter", &["outcome"]),
    ("noshi_membership_rewards_failed", "gauge", &[]),
    ("noshi_membership_rewards_total", "counter", &["outcome"]),
    ("noshi_memberships", "gauge", &["state"]),
    ("noshi_oldest_unresolved_age_seconds", "gauge", &["account"]),
    ("noshi_reconciliation_backlog", "gauge", &["account", "status"]),
    ("noshi_recovery_heartbeat_timestamp_seconds", "gauge", &[]),
    ("noshi_requests_refused_total", "counter", &[]),
    ("noshi_requests_unrecorded_total", "counter", &[]),
    ("noshi_reserved_funds", "gauge", &["account", "currency"]),
    ("noshi_resolutions_total", "counter", &["outcome"]),
    ("noshi_rewards_in_state", "gauge", &["account", "state"]),
    ("noshi_rewards_parked", "gauge", &["account"]),
    ("noshi_retention_archived_total", "counter", &[]),
    ("noshi_retention_oldest_age_seconds", "gauge", &[]),
    ("noshi_reveal_levels_total", "counter", &["level"]),
    ("noshi_rewards_total", "counter", &["account", "currency", "program", "status"]),
    ("noshi_slots_heartbeat_timestamp_seconds", "gauge", &["account"]),
    ("noshi_tls_certificate_ends_timestamp_seconds", "gauge", &[]),
    ("noshi_tls_certificate_invalid", "gauge", &[]),
    ("noshi_tls_files_unusable", "gauge", &[]),
    ("noshi_trace_spans_dropped_total", "counter", &["reason"]),
    ("noshi_trace_spans_exported_total", "counter", &[]),
    ("noshi_upstream_quota_refused_total", "counter", &["account"]),
    ("noshi_upstream_quota_wait_seconds", "histogram", &["account"]),
    ("noshi_upstream_request_duration_seconds", "histogram", &["operation"]),
    ("noshi_upstream_requests_total", "counter", &["account", "error_code", "operation", "outcome"]),
    ("noshi_webhook_deliveries_total", "counter", &["outcome"]),
    ("noshi_webhook_endpoints", "gauge", &["state"]),
    ("noshi_webhook_endpoints_disabled_total", "counter", &["why"]),
    ("noshi_webhook_oldest_pending_age_seconds", "gauge", &[]),
];
/// Metrics whose series come with what they are about: a key pair that lies in files, a period that was reconciled, a threshold in the settings, a week
/// of spending, an account at Amazon Pay.
pub(super) const COMING: &[(&str, &str, &[&str])] = &[
    ("noshi_credential_state", "gauge", &["account", "slot", "state"]),
    ("noshi_funds_low_threshold", "gauge", &["account", "currency"]),
    ("noshi_funds_runway_seconds", "gauge", &["account", "currency", "outlook"]),
    ("noshi_reconciliation_difference", "gauge", &["account", "currency"]),
    ("noshi_reconciliation_last_success_timestamp_seconds", "gauge", &["account"]),
    ("noshi_reconciliation_unmatched", "gauge", &["account", "side"]),
    ("noshi_pay_notifications_total", "counter", &["account", "result"]),
    ("noshi_pay_upstream_requests_total", "counter", &["account", "operation", "outcome"]),
    ("noshi_payment_declines_total", "counter", &["account", "decline", "kind"]),
    ("noshi_payment_oldest_unproven_age_seconds", "gauge", &["account", "kind"]),
    ("noshi_payments_in_state", "gauge", &["account", "kind", "state"]),
    ("noshi_payments_total", "counter", &["account", "kind", "status"]),
];
/// Programs that have series of their own.
const PROGRAMS_SHOWN: usize = 200;

/// The page, read.
#[derive(Default)]
struct Page {
    help: BTreeMap<String, String>,
    kinds: BTreeMap<String, String>,
    /// The text before each number, and the number.
    series: BTreeMap<String, String>,
}

impl Page {
    async fn of(app: &App) -> Self {
        let mut page = Self::default();
        for line in app.metrics().await.lines() {
            if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
                page.help.insert(name.to_owned(), help.to_owned());
            } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
                page.kinds.insert(name.to_owned(), kind.to_owned());
            } else {
                let (series, number) = line.rsplit_once(' ').unwrap();
                assert!(page.series.insert(series.to_owned(), number.to_owned()).is_none(), "{series} is there twice");
            }
        }
        page
    }

    /// The metric that a series is of: a histogram's have endings.
    fn metric_of(&self, series: &str) -> String {
        let name = series.split('{').next().unwrap();
        let stem = ["_bucket", "_sum", "_count"].into_iter().find_map(|end| name.strip_suffix(end));
        stem.filter(|stem| self.kinds.contains_key(*stem)).unwrap_or(name).to_owned()
    }

    /// The names of a metric's labels, a bucket's bound apart.
    fn labels_of(&self, metric: &str) -> BTreeSet<String> {
        let of = |series: &&String| self.metric_of(series) == metric;
        let labels = self.series.keys().filter(of).flat_map(|series| labels(series).into_keys());
        labels.filter(|label| label != "le").collect()
    }

    fn number(&self, series: &str) -> Option<&str> {
        self.series.get(series).map(String::as_str)
    }

    /// The values that a label has anywhere in a metric.
    fn values(&self, metric: &str, label: &str) -> BTreeSet<String> {
        let of = |series: &&String| self.metric_of(series) == metric;
        self.series.keys().filter(of).filter_map(|series| labels(series).remove(label)).collect()
    }
}

fn labels(series: &str) -> BTreeMap<String, String> {
    let Some((_name, labels)) = series.split_once('{') else { return BTreeMap::new() };
    let pairs = labels.trim_end_matches('}').split("\",");
    let pair = |pair: &str| {
        let (name, value) = pair.split_once("=\"").unwrap();
        (name.to_owned(), value.trim_end_matches('"').to_owned())
    };
    pairs.filter(|pair| !pair.is_empty()).map(pair).collect()
}

fn budget(kind: &str, program: &str, window: &str) -> String {
    format!("noshi_budget_{kind}{{currency=\"USD\",program=\"{program}\",window=\"{window}\"}}")
}

async fn make_program(app: &App, id: &str, limits: serde_json::Value) {
    let body = json!({"id": id, "name": "Spring", "account_id": "main", "limits": limits});
    assert_eq!(app.post("/v1/programs", body).await.status, 201);
}

async fn charge(app: &App, key: &str, amount: &str, program: &str) -> u16 {
    let mut body = order(amount);
    body["program_id"] = json!(program);
    app.issue_body(key, body).await.status
}

/// Asks for a balance to be known, so that every metric has a series.
async fn until_a_balance_is_known(app: &App) {
    until("a balance is known", async || app.metrics().await.contains("\nnoshi_available_funds{")).await;
}

on_each_backend! {
    async fn every_metric_has_the_name_the_type_and_the_labels_that_are_promised(backend: Backend) {
        let shape = Shape::default().with("NOSHI__ACCOUNTS__MAIN__ACCESS_KEY_CREATED", "2026-01-31");
        let app = App::shaped(backend, shape).await;
        make_program(&app, "prg_spring", json!([{"span": "day", "hard": "10.00"}])).await;
        assert_eq!(charge(&app, "one", "4.00", "prg_spring").await, 201);
        until_a_balance_is_known(&app).await;
        let page = Page::of(&app).await;
        let promised: BTreeMap<&str, (&str, &[&str])> =
            METRICS.iter().chain(COMING).map(|(name, kind, labels)| (*name, (*kind, *labels))).collect();
        for (name, kind) in &page.kinds {
            let Some((promised, labels)) = promised.get(name.as_str()) else { panic!("{name} is promised nowhere") };
            assert_eq!(kind, promised, "{name}");
            assert_eq!(page.labels_of(name), labels.iter().map(|label| (*label).to_owned()).collect(), "{name}");
            assert!(page.help.get(name).is_some_and(|help| help.ends_with('.')), "{name} has no sentence of help");
        }
        for (name, _kind, _labels) in METRICS {
            assert!(page.kinds.contains_key(*name), "{name} is missing");
        }
        let created = "noshi_credential_created_timestamp_seconds{account=\"main\",slot=\"primary\"}";
        assert_eq!(page.number(created), Some("1769817600"), "midnight of the day in the settings");
        for window in ["hour", "day", "month"] {
            let issued = format!("noshi_ledger_issued{{account=\"main\",currency=\"USD\",window=\"{window}\"}}");
            assert_eq!(page.number(&issued), Some("4"), "{window}");
        }
        app.end().await;
    }

    async fn budgets_are_shown_as_they_are_now(backend: Backend) {
        let mut app = App::spawn(backend).await;
        // Two at night in UTC: where the account is it is still the day before.
        app.advance((26 * 3600 - app.ambient.now().timestamp() % 86_400) % 86_400);
        let limits = json!([{"span": "day", "hard": "10.00"}, {"span": "reward", "hard": "7.00"}, {"span": "month", "unit": "count", "hard": "9"}]);
        make_program(&app, "prg_spring", limits).await;
        let refusals = "noshi_budget_refusals_total{program=\"prg_spring\"}";
        assert_eq!(Page::of(&app).await.number(refusals), Some("0"), "before the first refusal");
        assert_eq!(charge(&app, "one", "6.50", "prg_spring").await, 201);
        assert_eq!(charge(&app, "two", "6.50", "prg_spring").await, 403);
        let page = Page::of(&app).await;
        assert_eq!(page.number(refusals), Some("1"));
        for (kind, window, number) in [
            ("limit", "day", Some("10")), ("limit", "month", None), ("limit", "total", None),
            ("used", "day", Some("6.5")), ("used", "month", Some("6.5")), ("used", "total", Some("6.5")),
            ("reserved", "day", Some("0")), ("reserved", "month", Some("0")), ("reserved", "total", Some("0")),
        ] {
            assert_eq!(page.number(&budget(kind, "prg_spring", window)), number, "{kind} {window}");
        }
        let patch = app.request("PATCH", "/v1/programs/prg_spring");
        let patched = Answer::of(with_json(patch, &json!({"limits": [{"span": "total", "hard": "20.00"}]}))).await;
        assert_eq!(patched.status, 200);
        app.advance(24 * 3600);
        let page = Page::of(&app).await;
        assert_eq!(page.number(&budget("used", "prg_spring", "day")), Some("0"), "another day");
        assert_eq!(page.number(&budget("used", "prg_spring", "total")), Some("6.5"));
        assert_eq!(page.number(&budget("limit", "prg_spring", "day")), None, "a limit that was taken away is not shown");
        assert_eq!(page.number(&budget("limit", "prg_spring", "total")), Some("20"));
        app.end().await;
    }

    async fn many_programs_do_not_make_series_without_end(backend: Backend) {
        let app = App::spawn(backend).await;
        let before = Page::of(&app).await.series.len();
        for at in 0..PROGRAMS_SHOWN + 10 {
            make_program(&app, &format!("prg_{at:03}"), json!([{"span": "day", "hard": "5.00"}])).await;
        }
        Page::of(&app).await;
        for at in [0, PROGRAMS_SHOWN - 1, PROGRAMS_SHOWN, PROGRAMS_SHOWN + 9] {
            assert_eq!(charge(&app, &format!("first-{at}"), "4.00", &format!("prg_{at:03}")).await, 201);
            assert_eq!(charge(&app, &format!("second-{at}"), "4.00", &format!("prg_{at:03}")).await, 403);
        }
        let page = Page::of(&app).await;
        for metric in ["noshi_budget_used", "noshi_budget_reserved", "noshi_budget_limit"] {
            let programs = page.values(metric, "program");
            assert_eq!(programs.len(), PROGRAMS_SHOWN, "{metric}");
            assert!(programs.contains("prg_000") && !programs.contains("prg_200"), "the first by id: {programs:?}");
        }
        assert_eq!(page.number("noshi_budget_refusals_total{program=\"other\"}"), Some("2"));
        let of = |program| format!("noshi_rewards_total{{account=\"main\",currency=\"USD\",program=\"{program}\",status=\"issued\"}}");
        assert_eq!((page.number(&of("prg_199")), page.number(&of("other"))), (Some("1"), Some("2")));
        let more = page.series.len() - before;
        assert!(more <= PROGRAMS_SHOWN * 20, "{more} series more");
        // One that sorts before all takes the place of the last, and no series of that stays.
        make_program(&app, "prg_0", json!([])).await;
        let page = Page::of(&app).await;
        let programs = page.values("noshi_budget_used", "program");
        assert!(programs.len() == PROGRAMS_SHOWN && programs.contains("prg_0") && !programs.contains("prg_199"));
        app.end().await;
    }

    async fn waits_for_a_slot_are_measured_and_those_without_one_are_counted(backend: Backend) {
        let shape = Shape::default()
            .with("NOSHI__ACCOUNTS__MAIN__REQUESTS_PER_SECOND", 1)
            .with("NOSHI__REWARDS__UPSTREAM_TIMEOUT_SECONDS", 1)
            .with("NOSHI__REWARDS__ANSWER_WITHIN_SECONDS", 2);
        let app = App::shaped(backend, shape).await;
        let keys: Vec<String> = (0..6).map(|at| format!("at-once-{at}")).collect();
        let answers = futures_util::future::join_all(keys.iter().map(|key| app.issue(key, "1.00"))).await;
        let refused = answers.iter().filter(|answer| answer.status == 429).count();
        assert!((1..6).contains(&refused), "{answers:?}");
        let page = Page::of(&app).await;
        let count = page.number("noshi_upstream_quota_refused_total{account=\"main\"}");
        assert_eq!(count, Some(refused.to_string().as_str()));
        let waits = page.number("noshi_upstream_quota_wait_seconds_count{account=\"main\"}").unwrap();
        assert!(waits.parse::<usize>().unwrap() >= 6 - refused, "{waits}");
        app.end().await;
    }

    async fn what_callers_write_is_no_label(backend: Backend) {
        let app = App::spawn(backend).await;
        assert_eq!(charge(&app, "one", "4.00", "prg_zyxwv").await, 403);
        app.get("/v1/zyxwv").await;
        app.issue("zyxwv", "4.00").await;
        let method = reqwest::Method::from_bytes(b"ZYXWV").unwrap();
        Answer::of(app.http.request(method, format!("{}/v1/ping", app.base))).await;
        let page = app.metrics().await.to_lowercase();
        assert!(!page.contains("zyxwv"), "{page}");
        app.end().await;
    }
}
