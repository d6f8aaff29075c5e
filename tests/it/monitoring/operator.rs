//! What the Prometheus Operator makes of our ServiceMonitor: its relabelling, given to the real Prometheus beside a real page.
//! Alerts and dashboards ask for a job, and the operator names jobs by rules of its own.

use std::{collections::BTreeMap, fs, path::PathBuf};

use serde_json::{Value, json};

use super::prometheus::{Prometheus, monitoring_file};
use crate::{
    process::Served,
    support::{App, Backend, Shape, wait::until},
};

fn k8s_file(name: &str) -> String {
    fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("k8s").join(name)).unwrap()
}

/// The value of a key that stands once in a text of YAML.
fn value<'a>(yaml: &'a str, key: &str) -> Option<&'a str> {
    let start = format!("{key}: ");
    let mut found = yaml.lines().filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix(&start));
    let first = found.next();
    assert_eq!(found.next(), None, "{key} is there twice:\n{yaml}");
    first
}

/// The lines below a key, as keys and values.
fn map_below(yaml: &str, key: &str) -> BTreeMap<String, String> {
    let start = format!("{key}:");
    let mut lines = yaml.lines().skip_while(|line| line.trim() != start);
    let depth = |line: &str| line.len() - line.trim_start().len();
    let above = depth(lines.next().unwrap_or_else(|| panic!("no {key} in\n{yaml}")));
    let below = lines.take_while(|line| depth(line) > above).filter_map(|line| line.trim().split_once(": "));
    below.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The admin Service of `k8s/base`, which the monitor selects.
fn admin_service() -> String {
    let services = k8s_file("base/services.yaml");
    let admin = services.split("\n---\n").find(|one| one.contains("\n  name: noshi-admin\n"));
    admin.unwrap().to_owned()
}

/// A label of Kubernetes as Prometheus writes it.
fn sanitized(label: &str) -> String {
    label.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// What discovery says of a pod behind the Service, before anything is relabelled.
fn discovered() -> BTreeMap<String, String> {
    let service = admin_service();
    let mut labels: BTreeMap<String, String> = [
        ("__meta_kubernetes_namespace", "noshi"),
        ("__meta_kubernetes_service_name", "noshi-admin"),
        ("__meta_kubernetes_endpoint_port_name", "admin"),
        ("__meta_kubernetes_endpoint_address_target_kind", "Pod"),
        ("__meta_kubernetes_endpoint_address_target_name", "noshi-0"),
        ("__meta_kubernetes_pod_name", "noshi-0"),
        ("__meta_kubernetes_pod_container_name", "noshi"),
        ("__meta_kubernetes_pod_phase", "Running"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    for (name, value) in map_below(&service, "labels") {
        labels.insert(format!("__meta_kubernetes_service_label_{}", sanitized(&name)), value);
        labels.insert(format!("__meta_kubernetes_service_labelpresent_{}", sanitized(&name)), "true".to_owned());
    }
    labels
}

/// The rules that the operator (0.7x and 0.8x) writes for a ServiceMonitor with one port, in its order.
fn relabelling(monitor: &str) -> Vec<Value> {
    let port = value(monitor, "port").unwrap();
    let mut rules = vec![json!({"source_labels": ["job"], "target_label": "__tmp_prometheus_job_name"})];
    for (name, wanted) in map_below(monitor, "matchLabels") {
        let name = sanitized(&name);
        let (label, present) = (
            format!("__meta_kubernetes_service_label_{name}"),
            format!("__meta_kubernetes_service_labelpresent_{name}"),
        );
        rules.push(json!({"action": "keep", "source_labels": [label, present], "regex": format!("({wanted});true")}));
    }
    rules.push(json!({"action": "keep", "source_labels": ["__meta_kubernetes_endpoint_port_name"], "regex": port}));
    let target = ["__meta_kubernetes_endpoint_address_target_kind", "__meta_kubernetes_endpoint_address_target_name"];
    for (kind, label) in [("Node", "node"), ("Pod", "pod")] {
        let regex = format!("{kind};(.*)");
        rules.push(json!({"source_labels": target, "separator": ";", "regex": regex, "replacement": "${1}", "target_label": label}));
    }
    for (from, to) in [
        ("namespace", "namespace"),
        ("service_name", "service"),
        ("pod_name", "pod"),
        ("pod_container_name", "container"),
    ] {
        rules.push(json!({"source_labels": [format!("__meta_kubernetes_{from}")], "target_label": to}));
    }
    let ended =
        json!({"action": "drop", "source_labels": ["__meta_kubernetes_pod_phase"], "regex": "(Failed|Succeeded)"});
    rules.push(ended);
    let service =
        json!({"source_labels": ["__meta_kubernetes_service_name"], "target_label": "job", "replacement": "${1}"});
    rules.push(service);
    if let Some(label) = value(monitor, "jobLabel") {
        let label = format!("__meta_kubernetes_service_label_{}", sanitized(label));
        rules.push(json!({"source_labels": [label], "target_label": "job", "regex": "(.+)", "replacement": "${1}"}));
    }
    rules.push(json!({"target_label": "endpoint", "replacement": port}));
    rules
}

/// What the operator scrapes by our monitor, where these addresses are the pods.
fn scraped(targets: &[&str]) -> Value {
    let monitor = monitoring_file("service-monitor.yaml");
    let targets: Vec<&str> = targets.iter().map(|target| target.trim_start_matches("http://")).collect();
    json!({
        "job_name": "serviceMonitor/noshi/noshi/0",
        "honor_labels": false,
        "metrics_path": value(&monitor, "path").unwrap(),
        "sample_limit": value(&monitor, "sampleLimit").unwrap().parse::<u64>().unwrap(),
        "static_configs": [{"targets": targets, "labels": discovered()}],
        "relabel_configs": relabelling(&monitor),
    })
}

/// The state of an alert: `inactive`, `pending` or `firing`.
async fn state(prometheus: &Prometheus, alert: &str) -> Value {
    let rules = prometheus.evaluated_rules().await;
    rules.into_iter().find(|rule| rule["name"] == alert).unwrap()["state"].take()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_the_operators_relabelling_alerts_find_the_replicas_and_report_one_that_is_gone() {
    let app = App::shaped(Backend::Postgres, Shape::default()).await;
    let other = Served::start(app.environment());
    let prometheus = Prometheus::start_with(&app.http, &scraped(&[&app.admin, &other.admin]));
    let up = prometheus.until_data("count(up == 1) == 2").await;
    assert_eq!(up.len(), 1);
    let jobs = prometheus.query("count by (job, namespace, service, pod, endpoint) (up)").await;
    let labels =
        json!({"job": "noshi", "namespace": "noshi", "service": "noshi-admin", "pod": "noshi-0", "endpoint": "admin"});
    assert_eq!(jobs, [(labels, 2.0)], "alerts and dashboards ask for the job noshi");
    // A label of ours that the operator sets as well would be renamed, and no alert would find it.
    let page = prometheus.query("count({__name__=~\"(noshi|http_server)_.+\"})").await;
    assert!(page[0].1 > 20.0, "{page:?}");
    for label in ["job", "instance", "namespace", "service", "pod", "container", "endpoint", "node"] {
        assert_eq!(prometheus.query(&format!("{{exported_{label}!=\"\"}}")).await, [], "{label}");
    }
    until("no alert on the processes stirs", async || {
        let states = [state(&prometheus, "NoshiAbsent").await, state(&prometheus, "NoshiReplicaDown").await];
        states.iter().all(|state| state == "inactive")
    })
    .await;
    other.kill();
    until("one is missing", async || {
        state(&prometheus, "NoshiReplicaDown").await == "pending"
            && state(&prometheus, "NoshiAbsent").await == "inactive"
    })
    .await;
    app.end().await;
}

/// Until they are set, alerts fire: an operator finds them where the rest is filled in.
#[test]
fn the_overlays_offer_the_settings_that_alerts_wait_for() {
    for overlay in ["postgres", "sqlite"] {
        let file = k8s_file(&format!("overlays/{overlay}/noshi.toml"));
        for key in ["low_balance", "access_key_created"] {
            assert!(file.lines().any(|line| line.starts_with(&format!("# {key} = \""))), "{overlay}: {key}");
        }
        for alert in ["NoshiBalanceUnwatched", "NoshiCredentialUndated"] {
            assert!(file.contains(alert) && monitoring_file("alerts.yaml").contains(&format!("- alert: {alert}\n")));
        }
    }
}
