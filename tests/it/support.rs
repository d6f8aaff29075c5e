//! A whole Noshi in a test: sandbox gateway, database, service, HTTP client. The clock is movable, nothing is mocked.

pub(crate) mod books;
pub(crate) mod database;
pub(crate) mod described;
pub(crate) mod faults;
mod keys;
pub(crate) mod look;
pub(crate) mod partners;
pub(crate) mod refused;
pub(crate) mod rounds;
pub(crate) mod seller;
mod shape;
pub(crate) mod trap;
pub(crate) mod wait;

use std::{net::SocketAddr, time::Duration};

use chrono::TimeDelta;
use noshi::{
    ambient::Ambient,
    audit::{AuditActor, Scribe},
    bootstrap::{self, Service},
    config::{LogFormat, LogSettings, Settings},
    kernel::ClientId,
    sandbox::{AccessKey, Card, CardState, Control, PartnerAccount, Received, Sandbox, SandboxOptions},
    store::Store,
};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use tokio::{sync::oneshot, task::JoinHandle};

pub(crate) use database::{Backend, Database};
pub(crate) use keys::{but_for_all_rewards, scope};
pub(crate) use shape::Shape;

/// The partner account of every test.
pub(crate) const PARTNER: &str = "Awssb";
/// Its credentials. The secret is a canary: it must turn up nowhere.
pub(crate) const ACCESS_KEY_ID: &str = "AKIDCANARY0000000001";
pub(crate) const SECRET_ACCESS_KEY: &str = "canary+secret/access+key/0123456789abcdef";

/// A second pair that Amazon accepts as well: what the first is exchanged for.
pub(crate) const NEXT_ACCESS_KEY_ID: &str = "AKIDCANARY0000000002";
pub(crate) const NEXT_SECRET_ACCESS_KEY: &str = "canary+next/secret/key+9876543210fedcba";

/// Runs a test once on SQLite and once on PostgreSQL.
macro_rules! on_each_backend {
    ($($(#[$doc:meta])* async fn $name:ident($backend:ident: Backend) $body:block)+) => {
        $(
            mod $name {
                use super::*;
                $(#[$doc])*
                async fn run($backend: Backend) $body
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn sqlite() { run(Backend::Sqlite).await }
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn postgres() { run(Backend::Postgres).await }
            }
        )+
    };
}
pub(crate) use on_each_backend;

/// The service under test and everything around it.
pub(crate) struct App {
    pub(crate) control: Control,
    pub(crate) ambient: Ambient,
    pub(crate) http: reqwest::Client,
    pub(crate) base: String,
    pub(crate) admin: String,
    /// The text of a key that may do everything.
    pub(crate) key: String,
    pub(crate) database: Database,
    pub(crate) client: ClientId,
    sandbox: Sandbox,
    environment: Vec<(String, String)>,
    pub(crate) settings: Settings,
    shape: Shape,
    /// What was put in: the funds at the start, and what a test added since.
    opening: Decimal,
    moved: i64,
    running: Option<(oneshot::Sender<()>, JoinHandle<bool>)>,
}

impl App {
    pub(crate) async fn spawn(backend: Backend) -> Self {
        Self::shaped(backend, Shape::default()).await
    }

    pub(crate) async fn shaped(backend: Backend, shape: Shape) -> Self {
        Self::on(Database::migrated(backend).await, shape).await
    }

    /// On a database of the test's own making.
    pub(crate) async fn on(database: Database, shape: Shape) -> Self {
        let mut app = Self::not_started(database, shape).await;
        app.start().await;
        app.mint_own_key().await;
        app
    }

    /// All but the service and the key: the database has not been migrated yet.
    pub(crate) async fn not_started(database: Database, shape: Shape) -> Self {
        show_log();
        let key = AccessKey::active(ACCESS_KEY_ID, SECRET_ACCESS_KEY);
        let next = AccessKey::active(NEXT_ACCESS_KEY_ID, NEXT_SECRET_ACCESS_KEY);
        let account = PartnerAccount {
            partner_id: PARTNER.to_owned(),
            keys: vec![key, next],
            currency: Some(partners::currency(&shape)),
            funds: shape.funds.into(),
            ..PartnerAccount::default()
        };
        let accounts: Vec<PartnerAccount> = std::iter::once(account).chain(partners::accounts(&shape)).collect();
        let mut options = SandboxOptions::on_any_port(accounts);
        options.throttle = false;
        let sandbox = Sandbox::start(options).await.unwrap();
        partners::register(&shape, &sandbox.control());
        let environment = environment(&shape, &database, &sandbox.gateway_addr().to_string());
        let settings = Settings::load(None, environment.clone()).unwrap();
        let ambient = Ambient::movable(seed());
        Self {
            control: sandbox.control(),
            ambient,
            http: http_client(),
            base: String::new(),
            admin: String::new(),
            key: String::new(),
            database,
            client: ClientId::new(uuid::Uuid::nil()),
            sandbox,
            environment,
            settings,
            opening: shape.all_funds(),
            shape,
            moved: 0,
            running: None,
        }
    }

    /// Starts the service on the same database; a stopped one is started again.
    pub(crate) async fn start(&mut self) {
        let service = bootstrap::start(&self.settings, self.ambient.clone()).await.unwrap();
        self.base = format!("http://{}", service.api_address());
        self.admin = format!("http://{}", service.admin_address());
        self.running = Some(run(service));
    }

    /// Stops the service as SIGTERM does; says whether everything ended in time.
    pub(crate) async fn stop(&mut self) -> bool {
        let Some((stop, ended)) = self.running.take() else { return true };
        stop.send(()).unwrap_or_else(|()| panic!("the service ended by itself"));
        ended.await.unwrap()
    }

    /// Stops the service and starts it on the same database with one setting changed.
    pub(crate) async fn restart_with(&mut self, name: &str, value: &str) {
        self.restart_in(self.shape.clone().with(name, value)).await;
    }

    /// Stops the service and starts it on the same database in another shape.
    pub(crate) async fn restart_in(&mut self, shape: Shape) {
        assert!(self.stop().await, "something was still running");
        self.shape = shape;
        self.environment = environment(&self.shape, &self.database, &self.gateway().to_string());
        self.settings = Settings::load(None, self.environment.clone()).unwrap();
        self.start().await;
    }

    /// The service's database, through our code.
    pub(crate) async fn open_store(&self) -> Store {
        bootstrap::open_store(&self.settings.store, bootstrap::Opening::Use).await.unwrap()
    }

    /// Writes down what a test does by hand.
    pub(crate) fn scribe(&self) -> Scribe {
        bootstrap::scribe(&self.settings, AuditActor::command(None)).unwrap()
    }

    /// Where the sandbox listens.
    pub(crate) fn gateway(&self) -> SocketAddr {
        self.sandbox.gateway_addr()
    }

    /// Amazon's id of the usual client's key, before anything is sent: for faults that strike one reward only.
    pub(crate) fn amazon_id(&self, key: &str) -> String {
        self.amazon_id_of(PARTNER, key)
    }

    /// Sets what the account has left at Amazon.
    pub(crate) fn set_funds(&mut self, left: i64) {
        let live: Decimal = self.live_cards().iter().map(|card| card.amount).sum();
        self.control.set_funds(PARTNER, left.into()).unwrap();
        self.opening = live + Decimal::from(left);
    }

    /// Moves every clock: ours, the sandbox's, and the one that signatures are checked against.
    pub(crate) fn advance(&mut self, seconds: i64) {
        self.moved += seconds;
        self.ambient.advance(TimeDelta::seconds(seconds));
        self.control.advance_clock(seconds).unwrap();
        self.control.set_signature_skew(self.moved).unwrap();
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.anonymous(method, path).bearer_auth(&self.key)
    }

    /// A request without a key.
    pub(crate) fn anonymous(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        self.http.request(method, format!("{}{path}", self.base))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request("GET", path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        Answer::of(with_json(self.request("POST", path), &body)).await
    }

    /// The settings as a process takes them.
    pub(crate) fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    /// Asks for a gift code of a service that may die meanwhile; `None` when it did.
    pub(crate) async fn try_issue(&self, key: &str, amount: &str) -> Option<Answer> {
        self.try_issue_at(&self.base, key, amount).await
    }

    /// The same of a service at this address.
    pub(crate) async fn try_issue_at(&self, base: &str, key: &str, amount: &str) -> Option<Answer> {
        let request = self.http.post(format!("{base}/v1/rewards")).bearer_auth(&self.key);
        Answer::try_of(with_json(request.header("Idempotency-Key", key), &order(amount))).await
    }

    /// Asks for a gift code under this idempotency key.
    pub(crate) async fn issue(&self, key: &str, amount: &str) -> Answer {
        self.issue_body(key, order(amount)).await
    }

    pub(crate) async fn issue_body(&self, key: &str, body: Value) -> Answer {
        let request = self.request("POST", "/v1/rewards").header("Idempotency-Key", quoted(key));
        Answer::of(with_json(request, &body)).await
    }

    pub(crate) async fn cancel(&self, id: &str) -> Answer {
        self.post(&format!("/v1/rewards/{id}/cancel"), json!({"reason": "test"})).await
    }

    pub(crate) async fn reveal(&self, id: &str) -> Answer {
        self.post(&format!("/v1/rewards/{id}/reveal"), json!({"reason": "test"})).await
    }

    /// Waits until a reward has this status.
    pub(crate) async fn until(&self, id: &str, status: &str) -> Value {
        let mut last = Value::Null;
        wait::until(&format!("{id} is {status}"), async || {
            last = self.get(&format!("/v1/rewards/{id}")).await.json;
            last["status"] == status
        })
        .await;
        last
    }

    /// The kinds of a reward's timeline, in order.
    pub(crate) async fn events(&self, id: &str) -> Vec<String> {
        let events = self.get(&format!("/v1/rewards/{id}/events")).await;
        let kind = |event: &Value| event["kind"].as_str().unwrap().to_owned();
        events.json["data"].as_array().unwrap().iter().map(kind).collect()
    }

    /// What is stored of a reward, as callers see it.
    pub(crate) async fn read(&self, id: &str) -> Value {
        let answer = self.get(&format!("/v1/rewards/{id}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json
    }

    /// The metrics page.
    pub(crate) async fn metrics(&self) -> String {
        Answer::of(self.http.get(format!("{}/metrics", self.admin))).await.text
    }

    /// The live cards in the sandbox's book.
    pub(crate) fn live_cards(&self) -> Vec<Card> {
        self.control.book().into_iter().filter(|card| card.state == CardState::Live).collect()
    }

    /// How many requests that spend or show money the gateway received.
    pub(crate) fn money_calls(&self) -> usize {
        self.received("Create").len() + self.received("Cancel").len()
    }

    /// Requests that the gateway received for this operation.
    pub(crate) fn received(&self, operation: &str) -> Vec<Received> {
        let of = |received: &Received| format!("{:?}", received.operation).contains(operation);
        self.control.requests().into_iter().filter(of).collect()
    }

    /// Everything else stops too. Tests that do not call it leave that to the process's end.
    pub(crate) async fn end(mut self) {
        assert!(self.stop().await, "something was still running");
        self.sandbox.stop().await;
        self.database.remove().await;
    }
}

/// The usual order.
pub(crate) fn order(amount: &str) -> Value {
    let currency = if amount.contains('.') { "USD" } else { "JPY" };
    json!({"kind": "gift_code", "value": {"amount": amount, "currency_code": currency}})
}

/// A key as a header's value: in quotes where it has to be.
fn quoted(key: &str) -> String {
    if key.starts_with('"') || !key.contains(',') {
        return key.to_owned();
    }
    format!("\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Puts a JSON body on a request.
pub(crate) fn with_json(request: reqwest::RequestBuilder, body: &Value) -> reqwest::RequestBuilder {
    request.header("Content-Type", "application/json").body(body.to_string())
}

/// An HTTP answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
    pub(crate) json: Value,
}

impl Answer {
    pub(crate) async fn of(request: reqwest::RequestBuilder) -> Self {
        Self::try_of(request).await.expect("the service answers")
    }

    #[expect(clippy::disallowed_methods, reason = "tests are clients of ours, not of Amazon's")]
    pub(crate) async fn try_of(request: reqwest::RequestBuilder) -> Option<Self> {
        let (client, request) = request.build_split();
        let request = request.unwrap();
        let (method, path) = (request.method().to_string(), request.url().path().to_owned());
        let answer = client.execute(request).await.ok()?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await.ok()?;
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        // The admin port's answers have no id, and are none of the API.
        let of_api = headers.contains_key("x-request-id");
        let missing = described::undescribed(&method, &path, status, &json).filter(|_missing| of_api);
        assert!(missing.is_none(), "the description of the API has {} for {method} {path}: {text}", missing.unwrap());
        Some(Self { status, headers, text, json })
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Whether the caller is asked to come back in so many seconds, or a little later.
    pub(crate) fn is_spread_over(&self, least: u64) -> bool {
        let most = least + (least / 2).clamp(2, 60);
        self.header("retry-after").parse().is_ok_and(|seconds: u64| (least..=most).contains(&seconds))
    }

    pub(crate) fn id(&self) -> &str {
        self.json["id"].as_str().unwrap_or_else(|| panic!("no id in {}", self.text))
    }

    pub(crate) fn code(&self) -> &str {
        self.json["claim_code"].as_str().unwrap_or_else(|| panic!("no claim code in {}", self.text))
    }

    /// Fails unless it is this problem, in the shape of every problem.
    pub(crate) fn is_problem(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.json["code"].as_str()), (status, Some(code)), "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.json["status"], status);
        assert_eq!(self.json["request_id"], self.header("x-request-id"));
        for member in ["type", "title", "instance", "retryable", "retry", "money_moved"] {
            assert!(!self.json[member].is_null(), "{member} is missing in {}", self.text);
        }
        assert_eq!(self.json["retryable"], self.json["retry"] != "never", "{}", self.text);
    }

    /// Fails unless it is this problem, because Amazon refused the create for good with this errorCode and errorType:
    /// nothing was bought, and there is no code.
    pub(crate) fn is_refusal(&self, status: u16, code: &str, (error_code, error_type): (&str, &str)) {
        self.is_problem(status, code);
        let upstream = json!({"operation": "CreateGiftCard", "error_code": error_code, "error_type": error_type});
        assert_eq!(self.json["upstream"], upstream, "{}", self.text);
        assert_eq!(self.json["money_moved"], "no", "{}", self.text);
        assert_eq!(self.json["retryable"], error_code == "F300", "{}", self.text);
        assert_eq!(self.is_spread_over(1), status == 503, "{:?}", self.headers);
        assert!(!self.text.contains("claim_code"), "{}", self.text);
    }

    /// The reward that a problem speaks of.
    pub(crate) fn reward_id(&self) -> &str {
        self.json["reward_id"].as_str().unwrap_or_else(|| panic!("no reward_id in {}", self.text))
    }

    /// Fails unless it is an answer without a final outcome and without a code.
    pub(crate) fn is_accepted(&self) {
        assert_eq!(self.status, 202, "{}", self.text);
        assert!(self.is_spread_over(1), "{:?}", self.headers);
        assert!(self.json["claim_code"].is_null(), "{}", self.text);
    }
}

fn run(service: Service) -> (oneshot::Sender<()>, JoinHandle<bool>) {
    let (stop, stopped) = oneshot::channel();
    #[expect(clippy::disallowed_methods, reason = "the test is this task's owner")]
    let ended = tokio::spawn(service.run_until(async move { drop(stopped.await) }));
    (stop, ended)
}

fn environment(shape: &Shape, database: &Database, gateway: &str) -> Vec<(String, String)> {
    let mut environment: Vec<(String, String)> = [
        ("NOSHI__SERVER__LISTEN", "127.0.0.1:0"),
        ("NOSHI__SERVER__ADMIN_LISTEN", "127.0.0.1:0"),
        ("NOSHI__STORE__URL", database.url()),
        ("NOSHI__STORE__MIGRATE_ON_START", "true"),
        ("NOSHI__REWARDS__RECOVERY_POLL_MILLISECONDS", "100"),
        // Rate and breakers have tests of their own; the others would wait for them.
        ("NOSHI__ACCOUNTS__MAIN__REQUESTS_PER_SECOND", "0"),
        ("NOSHI__REWARDS__BREAKER_SECONDS", "0"),
        // Days are reconciled when a test says so, and no test waits a minute for a page.
        ("NOSHI__RECONCILIATION__DAILY", "false"),
        ("NOSHI__RECONCILIATION__PAGE_SPACING_SECONDS", "0"),
        // Most look at a reward after its first attempt.
        ("NOSHI__REWARDS__REPLAY_WHILE_WAITED", "false"),
        ("NOSHI__ACCOUNTS__MAIN__PARTNER_ID", PARTNER),
        ("NOSHI__ACCOUNTS__MAIN__MARKETPLACE", shape.marketplace),
        ("NOSHI__ACCOUNTS__MAIN__ENVIRONMENT", "sandbox"),
        ("NOSHI__ACCOUNTS__MAIN__SANDBOX_GATEWAY", gateway),
        ("NOSHI__ACCOUNTS__MAIN__ACCESS_KEY_ID", ACCESS_KEY_ID),
        ("NOSHI__ACCOUNTS__MAIN__SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    environment.extend(partners::environment(shape, gateway));
    environment.extend(shape.settings.iter().cloned());
    // What a test puts into a file stands nowhere else.
    environment.retain(|(name, _)| shape.settings.iter().all(|(set, _)| *set != format!("{name}_FILE")));
    environment
}

#[expect(clippy::disallowed_methods, reason = "tests are clients of ours, not of Amazon's")]
pub(crate) fn http_client() -> reqwest::Client {
    noshi::provider::incentives::install_tls_provider();
    // It speaks with this machine alone, without TLS. To read the certificates that the machine trusts takes a fifth of a short
    // test's processor time.
    let trusting_nobody = reqwest::Client::builder().no_proxy().tls_certs_only([]);
    trusting_nobody.timeout(Duration::from_secs(20)).build().unwrap()
}

/// With TEST_LOG set, the service's log goes to standard error.
#[expect(clippy::disallowed_methods, reason = "a switch for whoever runs the tests")]
fn show_log() {
    if let Ok(filter) = std::env::var("TEST_LOG") {
        drop(noshi::telemetry::init(&LogSettings { format: LogFormat::Human, filter }));
    }
}

/// Different for every service of a run, so that a restarted one makes other ids than the one before.
fn seed() -> u64 {
    let mut bytes = [0; 8];
    Ambient::system().fill_random(&mut bytes).unwrap();
    u64::from_le_bytes(bytes)
}
