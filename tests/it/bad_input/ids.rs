//! Paths that can name nothing: the answer says what the path takes, on every route with an id in it.

use super::{CANARY, access::ROUTES};
use crate::{
    reach::routes::{Route, of_source},
    support::{Answer, App, Backend, Shape, with_json},
};
use serde_json::json;

/// What a path takes in a place: the collection and the place's name, and words of the answer. The account's comes before the month's.
const TAKES: &[(&str, &str, &str)] = &[
    ("rewards", "{id}", "no id: expected rwd_ and 32 digits of 0-9 and a-f, as an answer has it"),
    ("batches", "{id}", "no id: expected bat_ and 32 digits of 0-9 and a-f, as an answer has it"),
    ("reconciliations", "{id}", "no id: expected rec_ and 32 digits of 0-9 and a-f, as an answer has it"),
    ("webhook-endpoints", "{id}", "no id: expected whe_ and 32 digits of 0-9 and a-f, as an answer has it"),
    ("webhook-endpoints", "{delivery}", "no id: expected whd_ and a number, as an answer has it"),
    ("checkout-sessions", "{id}", "Amazon knows no such session of this account"),
    ("orders", "{id}", "no id: expected Amazon's id of a consent, as C03-1234567-1234567"),
    ("agreements", "{id}", "no id: expected Amazon's id of a consent, as C03-1234567-1234567"),
    ("notifications", "{account}", "no notifications are taken for an account of that name"),
    ("charges", "{id}", "no id: expected pmt_ and 32 digits of 0-9 and a-f, as an answer has it"),
    ("refunds", "{id}", "no id: expected pmt_ and 32 digits of 0-9 and a-f, as an answer has it"),
    ("membership", "{id}", "no id: expected pln_ and 32 digits of 0-9 and a-f, as an answer has it"),
    ("memberships", "{id}", "no id: expected mbr_ and 32 digits of 0-9 and a-f, as an answer has it"),
    ("programs", "{id}", "no id: expected prg_ and 1 to 40 characters of a-z, 0-9 and underscore"),
    ("balances", "{account_id}", "there is no account of that id"),
    ("key-pairs", "{account_id}", "there is no account of that id"),
    ("key-pairs", "{slot}", "no slot: expected primary or second"),
    ("statements", "{account_id}", "there is no account of that id"),
    ("statements", "{month}", "no month: expected YYYY-MM, as in 2026-10"),
];

/// The path of a route with a text in one place, and what [`ROUTES`] has in the others.
fn with(route: &Route, place: &str, text: &str) -> String {
    let parts: Vec<&str> = route.pattern.split('/').collect();
    let fits = |target: &str| {
        let there: Vec<&str> = target.split('/').collect();
        there.len() == parts.len() && parts.iter().zip(&there).all(|(part, mine)| part.starts_with('{') || part == mine)
    };
    let (sample, _methods) = ROUTES.iter().find(|(target, _methods)| fits(target)).unwrap();
    let filled = parts.iter().zip(sample.split('/')).map(|(part, mine)| if *part == place { text } else { mine });
    filled.collect::<Vec<_>>().join("/")
}

async fn ask(app: &App, route: &Route, path: &str) -> Answer {
    let request = app.request(&route.method, path).header("Idempotency-Key", "ids");
    let body = match route.pattern.rsplit('/').next().unwrap() {
        "reveal" | "cancel" => json!({"reason": "test"}),
        "activate" => json!({"key": "a"}),
        "complete" => json!({"value": {"amount": "980", "currency_code": "JPY"}}),
        "change_plan" => json!({"plan_id": "pln_00000000000070008000000000000000"}),
        "replay" => json!({"from": app.ambient.now().to_rfc3339()}),
        _ => json!({}),
    };
    Answer::of(if route.method == "GET" { request } else { with_json(request, &body) }).await
}

#[tokio::test]
async fn a_path_that_can_name_nothing_is_answered_with_what_it_takes() {
    let mut app = App::shaped(Backend::Sqlite, Shape { sells: true, ..Shape::default() }).await;
    app.key = app.mint_key("operator", noshi::identity::Scopes::new(noshi::server::scopes())).await.1;
    let (mut asked, mut known) = (0, 0);
    for route in of_source().iter().filter(|route| route.method != "HEAD") {
        let collection =
            route.pattern.trim_start_matches("/v1/pay").trim_start_matches("/v1").split('/').nth(1).unwrap();
        for place in route.pattern.split('/').filter(|part| part.starts_with('{')) {
            let takes = TAKES.iter().find(|(of, name, _said)| (*of, *name) == (collection, place));
            let (_of, _name, said) = takes.unwrap_or_else(|| panic!("{route}: {place} has no row"));
            let answer = ask(&app, route, &with(route, place, CANARY)).await;
            answer.is_problem(404, "not-found");
            assert_eq!(answer.json["detail"], *said, "{route}: {place}");
            asked += 1;
        }
        known += usize::from(route.pattern.contains('{'));
    }
    assert!(asked > known && known > 30, "{asked} places of {known} routes");

    let coming = app.get("/v1/statements/main/2099-01").await;
    coming.is_problem(404, "not-found");
    assert_eq!(coming.json["detail"], "the month has not begun, by the account's time zone");
    // Whoever may not know of accounts learns nothing of the kind.
    let words = ["key_pairs:read"].map(crate::support::scope);
    app.key = app.mint_key("other", noshi::identity::Scopes::new(words)).await.1;
    let hidden = app.get("/v1/key-pairs/zqcanary").await;
    hidden.is_problem(404, "not-found");
    assert!(hidden.json["detail"].is_null(), "{}", hidden.text);
    app.end().await;
}
