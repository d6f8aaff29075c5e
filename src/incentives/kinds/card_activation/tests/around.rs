//! What is around a service under test: the gateway, the clock, the folder of its database, its log, and its caller.

use std::{
    fs, io,
    net::SocketAddr,
    path::Path,
    sync::{Mutex, OnceLock, PoisonError},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tracing_subscriber::fmt::MakeWriter;

use crate::{
    ambient::Ambient,
    bootstrap::{self, Service},
    config::{LogFormat, LogSettings, Settings},
    identity::{
        Scopes, clients,
        keys::{self, ApiKey, mint},
    },
    kernel::RewardId,
    sandbox::{AccessKey, Fault, FaultRule, Operation, PartnerAccount, Received, Sandbox, SandboxOptions},
    server,
    store::migrate::migrate,
};

pub(super) const PARTNER: &str = "Cards";
pub(super) const CARD: &str = "1400000005567585358";
pub(super) const OTHER_CARD: &str = "1400000005567586149";

/// What this process logs, at `trace`, as production formats and mutes it.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct LogWriter;

impl io::Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for LogWriter {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        Self
    }
}

fn capture_log() {
    static BEGUN: OnceLock<()> = OnceLock::new();
    BEGUN.get_or_init(|| {
        let settings = LogSettings { format: LogFormat::Json, filter: "trace".to_owned() };
        let dispatch = crate::telemetry::dispatch(&settings, LogWriter).unwrap();
        assert!(tracing::dispatcher::set_global_default(dispatch).is_ok(), "somebody logs already");
    });
}

/// An answer of the service.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) json: Value,
    pub(super) text: String,
}

impl Reply {
    pub(super) fn reward(&self) -> RewardId {
        self.json["id"].as_str().unwrap_or_else(|| panic!("{}", self.text)).parse().unwrap()
    }
}

/// The gateway, the clock, and the folder of the database: what outlives a service.
pub(super) struct Around {
    pub(super) folder: TempDir,
    pub(super) sandbox: Sandbox,
    pub(super) ambient: Ambient,
    key: String,
}

impl Around {
    pub(super) async fn new() -> Self {
        capture_log();
        let account = PartnerAccount {
            partner_id: PARTNER.to_owned(),
            keys: vec![AccessKey::active("AKIDCARDS", "SECRET")],
            currency: Some("USD".to_owned()),
            funds: 1_000.into(),
            ..PartnerAccount::default()
        };
        let sandbox = Sandbox::start(SandboxOptions { throttle: false, ..SandboxOptions::on_any_port(vec![account]) })
            .await
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        for (name, byte) in [("2026-05", 5_u8), ("2026-11", 11)] {
            let bytes: String = (0..32).map(|at: u8| format!("{:02x}", at ^ byte)).collect();
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        let mut around = Self { folder, sandbox, ambient: Ambient::movable(7), key: String::new() };
        around.key = around.mint_key().await;
        around
    }

    pub(super) fn settings(&self, keys: &[&str]) -> Settings {
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        let listed = keys.iter().map(|key| format!("{{ id = \"{key}\", file = \"{}\" }}", file(key)));
        let settings = [
            ("SERVER__LISTEN", "127.0.0.1:0".to_owned()),
            ("SERVER__ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
            ("STORE__URL", format!("sqlite://{}", file("noshi.db"))),
            ("REWARDS__RECOVERY_POLL_MILLISECONDS", "50".to_owned()),
            ("RECONCILIATION__DAILY", "false".to_owned()),
            ("SEALING__KEYS", format!("[{}]", listed.collect::<Vec<_>>().join(", "))),
            ("ACCOUNTS__MAIN__PARTNER_ID", PARTNER.to_owned()),
            ("ACCOUNTS__MAIN__MARKETPLACE", "US".to_owned()),
            ("ACCOUNTS__MAIN__ENVIRONMENT", "sandbox".to_owned()),
            ("ACCOUNTS__MAIN__SANDBOX_GATEWAY", self.sandbox.gateway_addr().to_string()),
            ("ACCOUNTS__MAIN__ACCESS_KEY_ID", "AKIDCARDS".to_owned()),
            ("ACCOUNTS__MAIN__SECRET_ACCESS_KEY", "SECRET".to_owned()),
            ("ACCOUNTS__MAIN__REQUESTS_PER_SECOND", "0".to_owned()),
            ("ACCOUNTS__MAIN__KINDS", "[\"gift_code\", \"card_activation\"]".to_owned()),
        ];
        Settings::load(None, settings.map(|(name, value)| (format!("NOSHI__{name}"), value))).unwrap()
    }

    pub(super) async fn start(&self, keys: &[&str]) -> Service {
        bootstrap::start(&self.settings(keys), self.ambient.clone()).await.unwrap()
    }

    /// As `noshi keys create` does.
    async fn mint_key(&self) -> String {
        let store = bootstrap::open_store(&self.settings(&[]).store, bootstrap::Opening::Migrate).await.unwrap();
        migrate(&store).await.unwrap();
        let (now, minted) = (self.ambient.now(), mint(&self.ambient).unwrap());
        let mut tx = store.begin().await.unwrap();
        let key = ApiKey {
            id: minted.id,
            client: clients::find_or_make(&mut tx, "cards", None, now).await.unwrap(),
            client_name: String::new(),
            name: "cards".to_owned(),
            secret_sha256: minted.secret_sha256,
            scopes: Scopes::new(server::scopes()),
            created_at: now,
            expires_at: None,
            revoked_at: None,
            program: None,
            replaces: None,
        };
        keys::insert(&mut tx, &key).await.unwrap();
        tx.commit(()).await.unwrap();
        store.close().await;
        minted.text.to_string()
    }

    /// One exchange over a connection of its own.
    pub(super) async fn ask(&self, service: SocketAddr, line: &str, idempotency_key: &str, body: &Value) -> Reply {
        let body = body.to_string();
        let request = format!(
            "{line} HTTP/1.1\r\nHost: {service}\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
             Idempotency-Key: {idempotency_key}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.key,
            body.len()
        );
        let mut stream = TcpStream::connect(service).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Reply { status, json: serde_json::from_str(body).unwrap_or_default(), text: answer }
    }

    pub(super) async fn issue(&self, service: SocketAddr, key: &str, card: &str) -> Reply {
        let value = json!({"amount": "25.00", "currency_code": "USD"});
        let body = json!({"kind": "card_activation", "value": value, "target": {"card_number": card}});
        self.ask(service, "POST /v1/rewards", key, &body).await
    }

    pub(super) async fn read(&self, service: SocketAddr, reward: &Reply) -> Reply {
        self.ask(service, &format!("GET /v1/rewards/{}", reward.reward()), "none", &Value::Null).await
    }

    /// What the gateway was asked about cards, oldest first.
    pub(super) fn received(&self) -> Vec<Received> {
        let mut requests = self.sandbox.control().requests();
        requests.retain(|request| request.operation != "GetAvailableFunds");
        requests
    }

    pub(super) fn operations(&self) -> Vec<String> {
        self.received().into_iter().map(|request| request.operation).collect()
    }

    pub(super) fn script(&self, operation: &str, fault: Fault, times: Option<u32>) {
        let operation = Some(Operation::named(operation).unwrap());
        let rule = FaultRule { operation, times, ..FaultRule::always(fault) };
        self.sandbox.control().script(rule).unwrap();
    }

    pub(super) fn advance(&self, seconds: i64) {
        self.ambient.advance(chrono::TimeDelta::seconds(seconds));
        let control = self.sandbox.control();
        control.advance_clock(seconds).unwrap();
        control.set_signature_skew(control.clock().signature_skew_seconds + seconds).unwrap();
    }

    /// Fails when a card's number is in a file of the database, in the log, or in one of these answers.
    pub(super) fn nothing_shows_a_card(&self, answers: &[&Reply]) {
        assert!(files(self.folder.path()).iter().any(|(name, bytes)| name == "noshi.db-wal" && !bytes.is_empty()));
        assert!(log().contains("noshi is serving"), "the log was not captured");
        assert_eq!(self.places_of(&[CARD, OTHER_CARD], answers), [""; 0]);
    }

    /// Where one of these numbers is, in whatever form.
    pub(super) fn places_of(&self, cards: &[&str], answers: &[&Reply]) -> Vec<String> {
        let mut places = files(self.folder.path());
        places.push(("the log".to_owned(), log().into_bytes()));
        places.extend(answers.iter().map(|answer| ("an answer".to_owned(), answer.text.clone().into_bytes())));
        let mut found = Vec::new();
        for card in cards {
            let hex: String = card.bytes().map(|byte| format!("{byte:02x}")).collect();
            let listed = card.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(", ");
            let base64 = data_encoding::BASE64_NOPAD.encode(card.as_bytes());
            for (form, text) in [
                ("text", card.get(..12).unwrap()),
                ("hex", &hex),
                ("list", &listed),
                ("base64", base64.get(..24).unwrap()),
            ] {
                let is_there =
                    |bytes: &[u8]| bytes.windows(text.len()).any(|part| part.eq_ignore_ascii_case(text.as_bytes()));
                found.extend(
                    places.iter().filter(|(_name, bytes)| is_there(bytes)).map(|(name, _)| format!("{name} as {form}")),
                );
            }
        }
        found
    }
}

/// All that this process has logged.
pub(super) fn log() -> String {
    String::from_utf8(LOG.lock().unwrap_or_else(PoisonError::into_inner).clone()).unwrap()
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    // SQLite removes its log when the last connection is closed, which may be between the list and the read.
    let read = |path: &Path| match fs::read(path) {
        Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => None,
        read => Some(read.unwrap()),
    };
    entries.filter_map(|entry| Some((entry.file_name().into_string().unwrap(), read(&entry.path())?))).collect()
}
