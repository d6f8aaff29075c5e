//! What lies in `k8s/monitoring`: every alert has its runbook and is shown to fire and not to; every panel says what it
//! shows; and neither names a metric that is not there, or adds up what every replica shows.

use std::{collections::BTreeSet, fs};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    page::{COMING, METRICS},
    prometheus::{Prometheus, monitoring_file, plain_rules, promtool, said},
};
use crate::support::http_client;

/// Gauges that each replica has of its own; every other gauge is the same at all of them.
pub(super) const OWN: [&str; 16] = [
    "noshi_audit_broken",
    "noshi_audit_verified_timestamp_seconds",
    "noshi_backup_refused",
    "noshi_build_info",
    "noshi_clock_skew_seconds",
    "noshi_connected_strangers",
    "noshi_credential_created_timestamp_seconds",
    "noshi_credential_state",
    "noshi_database_clock_residual_seconds",
    "noshi_database_clock_skew_seconds",
    "noshi_database_lost",
    "noshi_database_unwritable",
    "noshi_recovery_heartbeat_timestamp_seconds",
    "noshi_tls_certificate_ends_timestamp_seconds",
    "noshi_tls_certificate_invalid",
    "noshi_tls_files_unusable",
];
/// The schema of Grafana's dashboards that ours are written in; later ones read it.
const GRAFANA_SCHEMA: u64 = 39;

pub(super) const DASHBOARDS: [&str; 2] = ["finance", "operation"];

pub(super) fn dashboard(name: &str) -> Value {
    serde_json::from_str(&monitoring_file(&format!("dashboards/{name}.json"))).unwrap()
}

/// Every query of a dashboard, with the title of its panel.
pub(super) fn queries(dashboard: &Value) -> Vec<(String, String)> {
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let of_panel = |panel: &Value| {
        let title = panel["title"].as_str().unwrap().to_owned();
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        let expressions = targets.into_iter().map(|target| target["expr"].as_str().unwrap().to_owned());
        expressions.map(|expression| (title.clone(), expression)).collect::<Vec<_>>()
    };
    panels.flat_map(of_panel).collect()
}

/// The metrics that an expression names, without the endings of histograms.
pub(super) fn metrics_in(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|word| word.starts_with("noshi_") || word.starts_with("http_server_"));
    let histograms: Vec<&str> = METRICS.iter().filter(|(_, kind, _)| *kind == "histogram").map(|one| one.0).collect();
    let stem = |word: &str| {
        let ends = ["_bucket", "_sum", "_count"].into_iter().find_map(|end| word.strip_suffix(end));
        ends.filter(|stem| histograms.contains(stem)).unwrap_or(word).to_owned()
    };
    ours.map(stem).collect()
}

/// What is wrong with an expression, whoever asks it.
fn wrong_in(expression: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    // What begins at 15.00 grows by nothing.
    if expression.contains("currency") && ["rate(", "increase(", "delta("].iter().any(|f| expression.contains(f)) {
        wrong.push(format!("money is read from a gauge of the ledger: {expression}"));
    }
    for metric in metrics_in(expression) {
        let Some((_, kind, _)) = METRICS.iter().chain(COMING).find(|(name, _, _)| *name == metric) else {
            wrong.push(format!("there is no {metric}: {expression}"));
            continue;
        };
        let shared = *kind == "gauge" && !OWN.contains(&metric.as_str());
        if shared && (expression.contains("sum") || expression.contains("avg")) {
            wrong.push(format!("every replica shows the same {metric}: {expression}"));
        }
        if *kind != "gauge" && !["rate(", "increase("].iter().any(|f| expression.contains(f)) {
            wrong.push(format!("{metric} is counted from a process's start: {expression}"));
        }
    }
    wrong
}

fn nothing(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// The anchors of a Markdown text's headings, as the usual renderers make them.
fn anchors(markdown: &str) -> BTreeSet<String> {
    let headings =
        markdown.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let kept = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    headings.map(|text| text.to_lowercase().replace(' ', "-").chars().filter(|c| kept(*c)).collect()).collect()
}

#[test]
fn the_expressions_that_would_be_wrong_are_found() {
    assert_eq!(wrong_in("max by (account, currency) (noshi_available_funds)"), [""; 0]);
    assert_eq!(wrong_in("sum(rate(noshi_upstream_quota_wait_seconds_bucket[5m]))"), [""; 0]);
    for bad in [
        "sum by (account) (noshi_available_funds)",
        "max(noshi_availble_funds)",
        "max(noshi_rewards_total)",
        "sum by (account, currency) (increase(noshi_rewards_total[1h]))",
    ] {
        assert_eq!(wrong_in(bad).len(), 1, "{bad}");
    }
    assert!(anchors("# A\n\n## NoshiBalanceLow\ntext\n").contains("noshibalancelow"));
}

#[test]
fn the_rules_are_as_promtool_wants_them_and_every_alert_fires_when_it_should_only() {
    let folder = TempDir::new().unwrap();
    let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let rules = plain_rules();
    put("noshi.rules.yaml", &rules);
    let done = promtool(folder.path(), &["check", "rules", "noshi.rules.yaml"], "");
    assert!(done.status.success(), "{}", said(&done));
    // Each case asks for its own alert alone. The tool evaluates every rule that it is given, so it is given that one.
    let cases = monitoring_file("alerts_test.yaml");
    let (head, cases) = cases.split_once("  - name: ").unwrap();
    let files: Vec<String> = cases
        .split("\n  - name: ")
        .map(|case| {
            let name = case.lines().next().unwrap();
            put(&format!("{name}.rules.yaml"), &rule_of(&rules, name));
            let file = format!("{name}.yaml");
            let head = head.replace("noshi.rules.yaml", &format!("{name}.rules.yaml"));
            put(&file, &format!("{head}  - name: {case}\n"));
            file
        })
        .collect();
    let test: Vec<&str> = ["test", "rules"].into_iter().chain(files.iter().map(String::as_str)).collect();
    let done = promtool(folder.path(), &test, "");
    assert!(done.status.success(), "{}", said(&done));
    // The tool does find what is wrong: the first case, on a rule that it is not about any more.
    put("NoshiBalanceStale.rules.yaml", &rule_of(&rules, "NoshiBalanceStale").replacen("> 900", "> 9000", 1));
    let done = promtool(folder.path(), &["test", "rules", "NoshiBalanceStale.yaml"], "");
    assert!(!done.status.success() && said(&done).contains("NoshiBalanceStale"), "{}", said(&done));
}

/// A rules file with this alert alone.
fn rule_of(rules: &str, name: &str) -> String {
    const RULE: &str = "      - alert: ";
    let (_before, rule) = rules.split_once(&format!("{RULE}{name}\n")).unwrap_or_else(|| panic!("no alert {name}"));
    let lines = rule.lines().take_while(|line| !line.starts_with(RULE) && !line.starts_with("  - name: "));
    let rule: String = lines.map(|line| format!("{line}\n")).collect();
    format!("groups:\n  - name: one\n    rules:\n{RULE}{name}\n{rule}")
}

#[tokio::test]
async fn every_alert_says_what_it_means_how_bad_it_is_and_what_to_do() {
    let prometheus = Prometheus::start(&http_client(), &[]);
    let rules = prometheus.rules().await;
    assert!(rules.len() > 25, "{} rules", rules.len());
    let (runbook, tests) = (monitoring_file("RUNBOOK.md"), monitoring_file("alerts_test.yaml"));
    let anchors = anchors(&runbook);
    let mut wrong = Vec::new();
    let mut names = BTreeSet::new();
    for rule in &rules {
        let name = rule["name"].as_str().unwrap();
        let mut must = |holds: bool, what: &str| {
            if !holds {
                wrong.push(format!("{name}: {what}"))
            }
        };
        must(names.insert(name), "is there twice");
        must(rule["type"] == "alerting" && name.starts_with("Noshi"), "is no alert of ours");
        must(rule["duration"].as_f64().unwrap() > 0.0, "fires at once: one odd scrape would wake someone");
        let severity = rule["labels"]["severity"].as_str().unwrap_or("");
        must(["page", "warning"].contains(&severity), "has no severity");
        for text in ["summary", "description"] {
            must(rule["annotations"][text].as_str().is_some_and(|text| text.len() > 10), text);
        }
        let url = rule["annotations"]["runbook_url"].as_str().unwrap_or("");
        let anchor = url.rsplit_once("/k8s/monitoring/RUNBOOK.md#").map(|(_host, anchor)| anchor);
        must(anchor == Some(name.to_lowercase().as_str()), "its runbook_url is another alert's");
        must(anchor.is_some_and(|anchor| anchors.contains(anchor)), "has no section in the runbook");
        let case = format!("count(ALERTS{{alertname=\"{name}\",alertstate=\"firing\",severity=\"{severity}\"}})'");
        let times = tests.lines().filter(|line| line.contains(&case));
        let fires: Vec<bool> = times.map(|line| line.contains("exp_samples")).collect();
        must(fires == [false, true, false], "must be shown before it fires, while it does, and once it has cleared");
        wrong.extend(wrong_in(rule["query"].as_str().unwrap()).iter().map(|why| format!("{name}: {why}")));
    }
    // And nothing in the runbook is about an alert that is gone.
    let alerts = names.iter().map(|name| name.to_lowercase()).collect::<BTreeSet<_>>();
    let gone = anchors.iter().filter(|anchor| anchor.starts_with("noshi") && !alerts.contains(*anchor));
    wrong.extend(gone.map(|anchor| format!("the runbook explains {anchor}, which is no alert")));
    nothing(&wrong);
}

/// A metric that nothing looks at may as well not be there.
#[tokio::test]
async fn every_metric_is_looked_at() {
    let rules = Prometheus::start(&http_client(), &[]).rules().await;
    let mut seen: BTreeSet<String> =
        rules.iter().flat_map(|rule| metrics_in(rule["query"].as_str().unwrap())).collect();
    for name in DASHBOARDS {
        seen.extend(queries(&dashboard(name)).iter().flat_map(|(_title, expression)| metrics_in(expression)));
    }
    let all = METRICS.iter().chain(COMING).map(|(name, _, _)| (*name).to_owned()).collect();
    assert_eq!(seen, all);
}

#[test]
fn every_panel_has_a_title_a_unit_and_a_description() {
    for name in DASHBOARDS {
        let dashboard = dashboard(name);
        assert_eq!(dashboard["schemaVersion"], GRAFANA_SCHEMA);
        let variables: Vec<(&Value, &Value)> =
            dashboard["templating"]["list"].as_array().unwrap().iter().map(|v| (&v["name"], &v["type"])).collect();
        assert!(variables.contains(&(&Value::from("datasource"), &Value::from("datasource"))), "{variables:?}");
        let (mut ids, mut wrong, mut places) = (BTreeSet::new(), Vec::new(), BTreeSet::new());
        for panel in dashboard["panels"].as_array().unwrap() {
            let title = panel["title"].as_str().unwrap_or("");
            let mut must = |holds: bool, what: &str| {
                if !holds {
                    wrong.push(format!("{name}, {title}: {what}"))
                }
            };
            must(!title.is_empty(), "has no title");
            must(ids.insert(panel["id"].as_u64()), "has another's id");
            must(places.insert((panel["gridPos"]["x"].as_u64(), panel["gridPos"]["y"].as_u64())), "lies on another");
            if panel["type"] == "row" {
                continue;
            }
            must(panel["description"].as_str().is_some_and(|text| text.ends_with('.')), "says not what it is");
            must(panel["fieldConfig"]["defaults"]["unit"].is_string(), "has no unit");
            let source = serde_json::json!({"type": "prometheus", "uid": "${datasource}"});
            must(panel["datasource"] == source, "asks another source than the one chosen");
            let targets = panel["targets"].as_array().cloned().unwrap_or_default();
            must(!targets.is_empty(), "asks nothing");
            let references: BTreeSet<&str> = targets.iter().filter_map(|target| target["refId"].as_str()).collect();
            must(references.len() == targets.len(), "its queries have no names of their own");
            must(targets.iter().all(|target| target["datasource"] == source), "a query asks another source");
        }
        wrong.extend(queries(&dashboard).iter().flat_map(|(_title, expression)| wrong_in(expression)));
        nothing(&wrong);
    }
}
