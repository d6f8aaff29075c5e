//! What the accounts hold, and a month by program.

use serde_json::Value;

use super::run;
use crate::support::{App, Backend, order, wait};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn balances_and_a_month_by_program_are_those_of_the_service() {
    let app = App::spawn(Backend::Sqlite).await;
    app.post("/v1/programs", serde_json::json!({"id": "prg_spring", "name": "Spring", "account_id": "main"})).await;
    let mut charged = order("5.00");
    charged["program_id"] = "prg_spring".into();
    let spring = app.issue_body("spring", charged).await;
    app.issue("plain", "2.00").await;
    app.cancel(spring.id()).await;
    wait::until("the balance is known", async || app.get("/v1/balances/main").await.json["as_of"].is_string()).await;

    let balance = run(&app, &["balance"]).good();
    let known = app.get("/v1/balances/main").await.json;
    let row = balance.lines().find(|line| line.starts_with("main ")).unwrap();
    assert!(row.contains(known["available"]["amount"].as_str().unwrap()), "{row} {known}");
    let one: Value = serde_json::from_str(&run(&app, &["balance", "--account", "main", "--json"]).good()).unwrap();
    assert_eq!(one["account_id"], "main");
    let none = run(&app, &["balance", "--account", "nothing"]);
    assert!(none.code == 3 && none.err.contains("404 not-found"), "{}", none.err);

    let month = app.ambient.now().format("%Y-%m").to_string();
    let report = run(&app, &["report", "month", &month]).good();
    let words = |start: &str| -> Vec<String> {
        let rows = report.lines().map(|row| row.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        rows.into_iter().find(|row| row.get(2).is_some_and(|name| name == start)).unwrap_or_else(|| panic!("{report}"))
    };
    assert_eq!(words("prg_spring")[3..], ["1", "5.00", "1", "5.00", "USD", "0.00", "so", "far"]);
    assert_eq!(words("none")[3..], ["1", "2.00", "0", "0.00", "USD", "2.00", "so", "far"]);
    assert_eq!(words("all")[3..], ["2", "7.00", "1", "5.00", "USD", "2.00", "so", "far"]);
    assert_eq!(run(&app, &["report", "month", &month, "--by", "account"]).good().lines().count(), 2);
    assert_eq!(run(&app, &["report", "month", "2999-01"]).code, 3, "a month that has not begun");
    assert_eq!(run(&app, &["report", "month", "November"]).code, 2);
    app.end().await;
}
