//! What a key may do: every route with every scope, and with the key of whom it concerns, of a stranger, of a bound key, of an operator.
//! The cells are made from the routes of the source. A route without a row here fails.

mod ceilings;
mod keys;
mod memberships;
mod owners;
mod pay;
mod reveals;
pub(crate) mod routes;
mod rows;
mod support_desk;
mod turned_away;
mod who;

use std::collections::BTreeSet;

use noshi::identity::{Scope, Scopes};
use serde_json::{Value, json};

pub(crate) use self::rows::{ROWS, Subject};
use self::{
    memberships::MembershipCells,
    pay::Payments,
    routes::{Route, of_callers},
};
use crate::{
    process::noshi,
    support::{Answer, App, Backend, Shape, on_each_backend, order, scope, with_json},
    webhooks,
};

fn row(route: &Route) -> Option<(&'static str, Subject)> {
    let method = if route.method == "HEAD" { "GET" } else { &route.method };
    let found = ROWS.iter().find(|(of, pattern, ..)| (*of, *pattern) == (method, route.pattern.as_str()));
    found.map(|(_method, _pattern, scope, subject)| (*scope, *subject))
}

#[test]
fn every_route_has_a_row_and_one_that_is_added_without_one_is_found() {
    let without = |routes: &BTreeSet<Route>| -> Vec<String> {
        routes.iter().filter(|route| row(route).is_none()).map(Route::to_string).collect()
    };
    let mut routes = of_callers();
    assert_eq!(without(&routes), Vec::<String>::new());
    let reads = routes.iter().filter(|route| route.method != "HEAD").count();
    assert_eq!(reads, ROWS.len(), "a row has no route any more");
    let added = r#".service(resource("/v1/rewards/{id}/export", "GET, HEAD", [read().to(export)]))"#;
    routes.extend(routes::of_text(added));
    assert_eq!(without(&routes), ["GET /v1/rewards/{id}/export", "HEAD /v1/rewards/{id}/export"]);
}

/// Whose key asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    /// The client's whom it concerns.
    Own,
    /// Another client's.
    Foreign,
    /// The same client's, bound to the program that it concerns.
    Bound,
    /// The same client's, bound to another program.
    Elsewhere,
    /// Another client's, with `clients:all` and `rewards:all`.
    Operator,
}

const HOLDERS: [Holder; 5] = [Holder::Foreign, Holder::Elsewhere, Holder::Operator, Holder::Own, Holder::Bound];

/// Three rewards of the client `mine`, of two programs and of none, and one of `theirs`. A program is nobody's. Whatever a day's
/// reconciliation compared was missing at Amazon.
struct World {
    app: App,
    keys: Vec<(Holder, String)>,
    /// The labels of rewards, by their ids.
    rewards: Vec<(&'static str, String)>,
    run: String,
    days: (String, String),
    /// An endpoint for the program that it concerns, and the folder of the key that seals its secret.
    endpoint: String,
    /// A batch that is charged to it.
    batch: String,
    payments: Payments,
    memberships: MembershipCells,
    _folder: tempfile::TempDir,
}

/// Runs a command beside the service: its exit code, stdout and stderr.
fn command(app: &App, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = noshi().args(arguments).envs(app.environment().iter().cloned()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Without what reaches beyond the client.
fn every_scope_of_a_client() -> Scopes {
    Scopes::new(noshi::server::scopes().into_iter().filter(|scope| !scope.as_str().ends_with(":all")))
}

impl World {
    async fn make(backend: Backend) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shape = webhooks::shape(&folder).with("NOSHI__ACCOUNTS__MAIN__TIME_ZONE", "UTC");
        let shape = Shape { sells: true, ..shape };
        let mut app = App::shaped(backend, shape).await;
        let (_client, own) = app.mint_key("mine", every_scope_of_a_client()).await;
        let (_client, foreign) = app.mint_key("theirs", every_scope_of_a_client()).await;
        let (_client, operator) = app.mint_key("finance", Scopes::new(noshi::server::scopes())).await;
        let mut rewards = Vec::new();
        for (key, id) in [(&own, "prg_spring"), (&own, "prg_autumn"), (&own, "prg_shared"), (&foreign, "prg_theirs")] {
            app.key.clone_from(key);
            let made = app.post("/v1/programs", json!({"id": id, "name": "Gifts", "account_id": "main"})).await;
            assert_eq!(made.status, 201, "{}", made.text);
        }
        app.database.execute("UPDATE programs SET client_id = NULL WHERE id = 'prg_shared'").await.unwrap();
        for (label, key, program) in [
            ("spring", &own, Some("prg_spring")),
            ("autumn", &own, Some("prg_autumn")),
            ("plain", &own, None),
            ("theirs", &foreign, Some("prg_theirs")),
        ] {
            app.key.clone_from(key);
            let mut body = charged(program);
            if label == "spring" {
                body["external_id"] = json!(TAKEN);
            }
            let issued = app.issue_body(label, body).await;
            assert_eq!(issued.status, 201, "{}", issued.text);
            rewards.push((label, issued.id().to_owned()));
        }
        let (_client, bound) = app.mint_bound_key("mine", "prg_spring").await;
        let (_client, elsewhere) = app.mint_bound_key("mine", "prg_autumn").await;
        let mut endpoint = String::new();
        for (key, label) in [(&own, "plain"), (&bound, "spring")] {
            app.key.clone_from(key);
            endpoint = app.post("/v1/webhook-endpoints", at_nobody(label)).await.id().to_owned();
        }
        assert_eq!(app.post(&format!("/v1/webhook-endpoints/{endpoint}/test"), json!({})).await.json["id"], "whd_1");
        let batch = batches_of_nothing(&mut app, &own).await;
        let payments = Payments::make(&mut app, &own, &foreign).await;
        let memberships = MembershipCells::make(&mut app, &own).await;
        app.key = operator.clone();
        app.control.edit_activity(|records| records.clear());
        let day = app.ambient.now().date_naive().to_string();
        app.advance(2 * 24 * 3600);
        let asked = json!({"account_id": "main", "from": day, "to": day});
        let run = app.post("/v1/reconciliations", asked).await.id().to_owned();
        app.until_number("SELECT COUNT(*) FROM reconciliations WHERE state = 'finished'", 1).await;
        let keys = vec![
            (Holder::Own, own),
            (Holder::Foreign, foreign),
            (Holder::Bound, bound),
            (Holder::Elsewhere, elsewhere),
            (Holder::Operator, operator),
        ];
        let days = (day.clone(), day);
        Self { app, keys, rewards, run, days, endpoint, batch, payments, memberships, _folder: folder }
    }

    async fn ask(&self, holder: Holder, route: &Route, at: usize) -> Answer {
        let (_holder, key) = self.keys.iter().find(|(of, _key)| *of == holder).unwrap();
        let doomed = match (route.method.as_str(), route.pattern.as_str()) {
            ("DELETE", "/v1/webhook-endpoints/{id}") => {
                let (_holder, bound) = self.keys.iter().find(|(of, _key)| *of == Holder::Bound).unwrap();
                let request = self.app.anonymous("POST", "/v1/webhook-endpoints").bearer_auth(bound);
                Some(Answer::of(with_json(request, &at_nobody(&format!("doomed-{at}")))).await.id().to_owned())
            }
            _ => None,
        };
        let id = match route.pattern.split('/').nth(2).unwrap() {
            "webhook-endpoints" => doomed.as_ref().unwrap_or(&self.endpoint),
            "rewards" => &self.rewards[0].1,
            "batches" => &self.batch,
            "pay" => self.payments.named_by(route),
            "membership" | "memberships" => self.memberships.named_by(route),
            "programs" => "prg_spring",
            "balances" | "key-pairs" | "statements" => "main",
            _ => &self.run,
        };
        let mut path = route.pattern.replace("{id}", id).replace("{account_id}", id).replace("{slot}", "primary");
        path = path.replace("{delivery}", "whd_1");
        path = path.replace("{month}", self.days.0.rsplit_once('-').unwrap().0);
        if path == "/v1/reconciliation-days" {
            path.push_str("?account_id=main");
        }
        let method = reqwest::Method::from_bytes(route.method.as_bytes()).unwrap();
        let request = self.app.http.request(method, format!("{}{path}", self.app.base)).bearer_auth(key);
        let (from, to) = &self.days;
        let body = match (route.method.as_str(), route.pattern.as_str()) {
            ("GET" | "HEAD", _) => return Answer::of(request).await,
            (_, pattern) if pattern.starts_with("/v1/pay/") => self.payments.asked(route),
            (_, pattern) if pattern.starts_with("/v1/membership") => self.memberships.asked(route, at),
            (_, "/v1/batches") => batch_of_nothing(Some("prg_spring"), "spring"),
            (_, "/v1/rewards" | "/v1/rewards/validate") => charged(Some("prg_spring")),
            (_, "/v1/rewards/{id}/reveal" | "/v1/rewards/{id}/cancel") => json!({"reason": "test"}),
            (_, "/v1/key-pairs/{account_id}/{slot}/activate") => json!({"key": "a"}),
            (_, "/v1/programs") => json!({"id": format!("prg_new_{at}"), "name": "New", "account_id": "main"}),
            (_, "/v1/reconciliations") => json!({"account_id": "main", "from": from, "to": to}),
            (_, "/v1/webhook-endpoints") => at_nobody(&format!("new-{at}")),
            (_, "/v1/webhook-endpoints/{id}/replay") => json!({"from": self.app.ambient.now().to_rfc3339()}),
            _ => json!({}),
        };
        Answer::of(with_json(request.header("Idempotency-Key", format!("cell-{at}")), &body)).await
    }

    /// What a list shows, in words that do not change from run to run.
    fn labels(&self, subject: Subject, answer: &Answer) -> BTreeSet<String> {
        let data = answer.json["data"].as_array().unwrap_or_else(|| panic!("{}", answer.text));
        let text = |entry: &Value, member: &str| entry[member].as_str().unwrap_or("account").to_owned();
        let label = |id: String| {
            let known = self.rewards.iter().find(|(_label, reward)| *reward == id);
            known.map_or(id, |(label, _id)| (*label).to_owned())
        };
        let name = |entry: &Value| match subject {
            Subject::Rewards => label(text(entry, "id")),
            Subject::Programs => text(entry, "id"),
            Subject::Events => text(entry, "subject"),
            Subject::Entries | Subject::Items => label(text(entry, "reward_id")),
            Subject::Batches => text(entry, "name"),
            Subject::Endpoints => text(entry, "url").rsplit('/').next().unwrap().to_owned(),
            Subject::Anyone
            | Subject::Reward
            | Subject::Program
            | Subject::Charge
            | Subject::NewProgram
            | Subject::KeyPairs
            | Subject::Endpoint
            | Subject::NewEndpoint
            | Subject::Batch
            | Subject::OwnBatch
            | Subject::Payment
            | Subject::NewPayment
            | Subject::Payments
            | Subject::Consent
            | Subject::Memberships
            | Subject::Statement
            | Subject::Totals => panic!("{subject:?} is no list"),
        };
        // The cells themselves send batches, and change memberships.
        let of_cells = |kind: &str| kind == "batch.finished" || kind.starts_with("membership.");
        data.iter().filter(|entry| !entry["type"].as_str().is_some_and(of_cells)).map(name).collect()
    }
}

/// The external id of a reward that is there: an item of this name is refused, so that a batch of it buys nothing.
const TAKEN: &str = "order-taken";

fn batch_of_nothing(program: Option<&str>, name: &str) -> Value {
    let value = json!({"amount": "1.00", "currency_code": "USD"});
    let mut body = json!({"name": name, "items": [{"external_id": TAKEN, "value": value}]});
    if let Some(program) = program {
        body["program_id"] = json!(program);
    }
    body
}

/// Sends a batch of no program and one of `prg_spring`; the id of the second.
async fn batches_of_nothing(app: &mut App, key: &str) -> String {
    app.key = key.to_owned();
    let mut id = String::new();
    for (program, name) in [(None, "plain"), (Some("prg_spring"), "spring")] {
        let request = app.request("POST", "/v1/batches").header("Idempotency-Key", name);
        id = Answer::of(with_json(request, &batch_of_nothing(program, name))).await.id().to_owned();
    }
    app.until_number("SELECT COUNT(*) FROM batches WHERE state = 'finished'", 2).await;
    id
}

/// An endpoint where nobody listens.
fn at_nobody(label: &str) -> Value {
    json!({"url": format!("http://127.0.0.1:1024/{label}")})
}

fn charged(program: Option<&str>) -> Value {
    let mut body = order("1.00");
    if let Some(program) = program {
        body["program_id"] = json!(program);
    }
    body
}

/// What the key of a holder is to be shown in a list.
fn shown(subject: Subject, holder: Holder) -> BTreeSet<String> {
    let all = match (subject, holder) {
        (Subject::Rewards, Holder::Operator) => "spring autumn plain theirs",
        (Subject::Rewards | Subject::Entries | Subject::Items, Holder::Own) => "spring autumn plain",
        (Subject::Rewards | Subject::Entries | Subject::Items, Holder::Foreign) => "theirs",
        (Subject::Rewards | Subject::Entries | Subject::Items, Holder::Bound) => "spring",
        (Subject::Rewards | Subject::Entries | Subject::Items, Holder::Elsewhere) => "autumn",
        (Subject::Entries, Holder::Operator) => "spring autumn plain theirs account",
        (Subject::Items, Holder::Operator) => "spring autumn plain theirs",
        (Subject::Statement, Holder::Own) => "prg_spring:1 prg_autumn:1 none:1",
        (Subject::Statement, Holder::Foreign) => "prg_theirs:1",
        (Subject::Statement, Holder::Bound) => "prg_spring:1",
        (Subject::Statement, Holder::Elsewhere) => "prg_autumn:1",
        (Subject::Statement, Holder::Operator) => "prg_spring:1 prg_autumn:1 none:1 prg_theirs:1",
        (Subject::Programs | Subject::Events, Holder::Own) => "prg_spring prg_autumn prg_shared",
        (Subject::Programs | Subject::Events, Holder::Foreign) => "prg_theirs prg_shared",
        (Subject::Programs | Subject::Events, Holder::Bound) => "prg_spring",
        (Subject::Programs | Subject::Events, Holder::Elsewhere) => "prg_autumn",
        (Subject::Programs | Subject::Events, Holder::Operator) => "prg_spring prg_autumn prg_shared prg_theirs",
        (Subject::Batches, Holder::Own | Holder::Operator) => "plain spring",
        (Subject::Batches, Holder::Bound) => "spring",
        (Subject::Batches, Holder::Foreign | Holder::Elsewhere) => "",
        (Subject::Endpoints, Holder::Own) => "plain spring",
        (Subject::Endpoints, Holder::Bound) => "spring",
        (Subject::Endpoints, Holder::Foreign | Holder::Elsewhere | Holder::Operator) => "",
        (one, _holder) => panic!("{one:?} is no list"),
    };
    all.split_whitespace().map(str::to_owned).collect()
}

/// The programs of a statement, each with what it bought: every reward is of 1.00.
fn statement_lines(answer: &Answer) -> BTreeSet<String> {
    let lines = answer.json["programs"].as_array().unwrap_or_else(|| panic!("{}", answer.text));
    let line = |line: &Value| format!("{}:{}", line["program_id"].as_str().unwrap_or("none"), line["issued_count"]);
    lines.iter().map(line).collect()
}

/// Fails unless the answer is what this holder's key is to get.
fn judge(world: &World, (subject, holder): (Subject, Holder), route: &Route, answer: &Answer) {
    let cell = format!("{route} by {holder:?}: {} {}", answer.status, answer.text);
    let reached = !matches!(answer.status, 401 | 403 | 404);
    match subject {
        Subject::Payment | Subject::NewPayment | Subject::Payments | Subject::Consent => {
            return world.payments.judge(holder, route, answer);
        }
        Subject::Memberships => return world.memberships.judge(holder, route, answer),
        Subject::Anyone => assert!(reached, "{cell}"),
        Subject::OwnBatch => assert_eq!(reached, matches!(holder, Holder::Own | Holder::Bound), "{cell}"),
        Subject::Endpoint => assert_eq!(reached, matches!(holder, Holder::Own | Holder::Bound), "{cell}"),
        Subject::NewEndpoint => assert_eq!(answer.status, 201, "{cell}"),
        Subject::Reward | Subject::Program | Subject::Batch => {
            assert_eq!(reached, matches!(holder, Holder::Own | Holder::Bound | Holder::Operator), "{cell}");
        }
        Subject::Charge => {
            let charges = matches!(holder, Holder::Own | Holder::Bound);
            let status = match route.pattern.as_str() {
                "/v1/rewards" => 201,
                "/v1/batches" => 202,
                _ => 200,
            };
            assert_eq!(answer.status, if charges { status } else { 403 }, "{cell}");
            assert!(charges || answer.json["code"] == "program-forbidden", "{cell}");
        }
        // A bound key can make only the program that it is bound to.
        Subject::NewProgram => {
            let makes = !matches!(holder, Holder::Bound | Holder::Elsewhere);
            assert_eq!(answer.status, if makes { 201 } else { 404 }, "{cell}");
        }
        // The pair of this account is in no file: an operator learns that, and nobody else.
        Subject::KeyPairs => {
            let known = if route.method == "POST" { 409 } else { 200 };
            assert_eq!(answer.status, if holder == Holder::Operator { known } else { 404 }, "{cell}");
        }
        Subject::Totals => {
            assert!(reached, "{cell}");
            let totals = ["difference", "theirs", "records", "balance"];
            let told = totals.iter().any(|member| answer.text.contains(&format!("\"{member}\"")));
            assert_eq!(told && route.method != "HEAD", holder == Holder::Operator && route.method != "HEAD", "{cell}");
        }
        Subject::Statement => {
            assert_eq!(answer.status, 200, "{cell}");
            if route.method != "HEAD" {
                let funds = ["opening", "initial_balance", "deposits", "adjustments", "closing"];
                let told = funds.iter().filter(|member| answer.json[**member].is_string()).count();
                assert_eq!(told, if holder == Holder::Operator { 5 } else { 0 }, "{cell}");
                assert_eq!(statement_lines(answer), shown(subject, holder), "{cell}");
            }
        }
        Subject::Rewards
        | Subject::Programs
        | Subject::Entries
        | Subject::Events
        | Subject::Items
        | Subject::Batches
        | Subject::Endpoints => {
            assert_eq!(answer.status, 200, "{cell}");
            if route.method != "HEAD" {
                assert_eq!(world.labels(subject, answer), shown(subject, holder), "{cell}");
            }
        }
    }
    if !reached && route.method != "HEAD" {
        answer.is_problem(answer.status, if answer.status == 404 { "not-found" } else { "program-forbidden" });
    }
}

on_each_backend! {
    async fn a_key_deals_with_what_is_its_own_on_every_route(backend: Backend) {
        let world = World::make(backend).await;
        // What only reads comes first: a list then shows what was made for it.
        let (mut routes, mut cells): (Vec<Route>, usize) = (of_callers().into_iter().collect(), 0);
        routes.sort_by_key(|route| (route.method != "GET", route.pattern.ends_with("/suspend")));
        for route in &routes {
            let (_scope, subject) = row(route).unwrap();
            for holder in HOLDERS {
                let running = "SELECT COUNT(*) FROM reconciliations WHERE state = 'running'";
                world.app.until_number(running, 0).await;
                let answer = world.ask(holder, route, cells).await;
                judge(&world, (subject, holder), route, &answer);
                cells += 1;
            }
        }
        assert_eq!(cells, of_callers().len() * HOLDERS.len());
        world.app.end().await;
    }
}

/// A key with one scope opens the routes of that scope. On every other it learns which scope it lacks, and nothing else: not even whether
/// its body was good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scope_opens_its_own_routes_and_no_other() {
    let app = App::shaped(Backend::Sqlite, Shape { sells: true, ..Shape::default() }).await;
    let (scopes, mut cells): (Vec<Scope>, usize) = (noshi::server::scopes(), 0);
    for held in &scopes {
        let (_client, key) = app.mint_key("narrow", Scopes::new([*held])).await;
        for route in &of_callers() {
            let (needed, _subject) = row(route).unwrap();
            let path = route.pattern.replace("{id}", "nothing").replace("{account_id}", "nothing");
            let method = reqwest::Method::from_bytes(route.method.as_bytes()).unwrap();
            let answer = Answer::of(app.http.request(method, format!("{}{path}", app.base)).bearer_auth(&key)).await;
            let opens = needed.is_empty() || scope(needed) == *held;
            assert_eq!(answer.status == 403, !opens, "{route} with {held}: {} {}", answer.status, answer.text);
            if !opens {
                let challenge = format!("Bearer realm=\"noshi\", error=\"insufficient_scope\", scope=\"{needed}\"");
                assert_eq!(answer.header("www-authenticate"), challenge, "{route} with {held}");
            }
            cells += 1;
        }
    }
    assert_eq!(cells, of_callers().len() * scopes.len());
    assert_eq!(app.database.number("SELECT COUNT(*) FROM rewards").await, 0);
    app.end().await;
}
