//! The real Prometheus, as Debian has it: started for a test, asked over its API; and its tool.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use reqwest::Url;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Answer, wait::found};

/// Where `tests/run` says that its programs are.
const FOLDER_VARIABLE: &str = "NOSHI_TEST_PROMETHEUS";

/// Absent, these tests fail, as those without PostgreSQL do.
#[expect(clippy::disallowed_methods, reason = "tests/run tells the folder by a variable")]
fn program(name: &str) -> PathBuf {
    let told = std::env::var(FOLDER_VARIABLE).ok();
    let folder = told.unwrap_or_else(|| {
        let found = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/prometheus")).output().unwrap();
        assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
        String::from_utf8(found.stdout).unwrap().trim().to_owned()
    });
    PathBuf::from(folder).join(name)
}

/// A file of `k8s/monitoring`.
pub(super) fn monitoring_file(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("k8s/monitoring").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rules as a plain Prometheus reads them: what is under `spec` of the PrometheusRule. The file says how to do it with
/// sed; this is the same.
pub(super) fn plain_rules() -> String {
    let text = monitoring_file("alerts.yaml");
    let (head, spec) = text.split_once("\nspec:\n").expect("the alerts are a PrometheusRule");
    assert!(head.contains("\napiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\n"), "{head}");
    let lines = spec.lines().map(|line| {
        let inner = line.strip_prefix("  ").unwrap_or_else(|| panic!("nothing comes after the spec: {line}"));
        format!("{inner}\n")
    });
    lines.collect()
}

/// Runs promtool in a folder, with this on its standard input.
pub(super) fn promtool(folder: &std::path::Path, arguments: &[&str], input: &str) -> Output {
    let mut tool = Command::new(program("promtool"));
    tool.args(arguments).current_dir(folder);
    let mut child = tool.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// What promtool said, both ways.
pub(super) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A running Prometheus with our rules. It scrapes every second, and forgets everything at its end.
pub(super) struct Prometheus {
    child: Child,
    base: String,
    http: reqwest::Client,
    _folder: TempDir,
}

impl Prometheus {
    /// Starts it on any port; `targets` are the admin addresses of replicas.
    pub(super) fn start(http: &reqwest::Client, targets: &[&str]) -> Self {
        let targets: Vec<&str> = targets.iter().map(|target| target.trim_start_matches("http://")).collect();
        Self::start_with(http, &serde_json::json!({"job_name": "noshi", "static_configs": [{"targets": targets}]}))
    }

    /// The same, and this one part of its settings says what is scraped.
    pub(super) fn start_with(http: &reqwest::Client, scraped: &Value) -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("noshi.rules.yaml"), plain_rules()).unwrap();
        // JSON is YAML.
        let config = serde_json::json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": ["noshi.rules.yaml"],
            "scrape_configs": [scraped],
        });
        fs::write(folder.path().join("prometheus.yml"), config.to_string()).unwrap();
        let mut command = Command::new(program("prometheus"));
        command
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address=127.0.0.1:0"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (tell, told) = mpsc::channel();
        // Reads to the end, or the program would block on a full pipe.
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some((_before, address)) = line.split_once("msg=\"Listening on\" address=") {
                    drop(tell.send(format!("http://{}", address.trim())));
                }
            }
        });
        let Ok(base) = told.recv_timeout(Duration::from_secs(20)) else {
            child.kill().unwrap();
            panic!("Prometheus does not say where it listens");
        };
        Self { child, base, http: http.clone(), _folder: folder }
    }

    async fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let url = Url::parse_with_params(&format!("{}{path}", self.base), parameters).unwrap();
        let mut last = String::new();
        // It listens before it is ready.
        for _ in 0..100 {
            let answer = Answer::of(self.http.get(url.clone())).await;
            if answer.status != 503 {
                assert_eq!(
                    (answer.status, &answer.json["status"]),
                    (200, &Value::from("success")),
                    "{url}: {}",
                    answer.text
                );
                return answer.json["data"].clone();
            }
            last = answer.text;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("Prometheus is not ready: {last}");
    }

    /// What an expression is now: the labels and the number of each series, those that are no number apart.
    pub(super) async fn query(&self, expression: &str) -> Vec<(Value, f64)> {
        let data = self.ask("/api/v1/query", &[("query", expression)]).await;
        assert_eq!(data["resultType"], "vector", "{expression}");
        let series = data["result"].as_array().unwrap().iter();
        let numbers = series.map(|one| (one["metric"].clone(), one["value"][1].as_str().unwrap().parse().unwrap()));
        numbers.filter(|(_labels, number): &(Value, f64)| !number.is_nan()).collect()
    }

    /// The same, waited for: fails when there is none in 30 s.
    pub(super) async fn until_data(&self, expression: &str) -> Vec<(Value, f64)> {
        found(&format!("{expression} has data"), async || {
            let series = self.query(expression).await;
            (!series.is_empty()).then_some(series)
        })
        .await
    }

    /// Every rule, as Prometheus read it.
    pub(super) async fn rules(&self) -> Vec<Value> {
        let data = self.ask("/api/v1/rules", &[]).await;
        let groups = data["groups"].as_array().unwrap().iter();
        groups.flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
    }

    /// The same once every one was evaluated.
    pub(super) async fn evaluated_rules(&self) -> Vec<Value> {
        found("every rule is evaluated", async || {
            let rules = self.rules().await;
            (!rules.is_empty() && rules.iter().all(|rule| rule["health"] != "unknown")).then_some(rules)
        })
        .await
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
