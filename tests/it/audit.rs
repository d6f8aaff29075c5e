//! Who did it: each act by hand leaves a record in its own transaction, and what becomes of a record afterwards is found.

mod tamper;
mod written;

use noshi::audit::{AuditHead, sql};
use serde_json::Value;

use crate::{process::noshi, support::App};

/// A command on the service's database: its exit code, and what it wrote.
pub(crate) fn command(app: &App, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = noshi().args(arguments).envs(app.environment().iter().cloned()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim().to_owned();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn done(app: &App, arguments: &[&str]) -> String {
    let (code, out, error) = command(app, arguments);
    assert_eq!(code, Some(0), "{arguments:?}: {error}");
    out
}

/// The records, as `noshi audit list --json` shows them.
fn records(app: &App, filters: &[&str]) -> Vec<Value> {
    let out = done(app, &[&["audit", "list", "--json"], filters].concat());
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn actions(records: &[Value]) -> Vec<&str> {
    records.iter().map(|record| record["action"].as_str().unwrap()).collect()
}

async fn head(app: &App) -> AuditHead {
    let store = app.open_store().await;
    let head = sql::head(&store).await.unwrap();
    store.close().await;
    head
}
