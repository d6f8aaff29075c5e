//! Settings: one TOML file, every key also as `NOSHI__SECTION__KEY`, secrets as a value or as `KEY_file`.
//!
//! What [`Settings::load`] returns needs no further check: every number is inside its limits, every address and amount is
//! parsed, and combinations that would put money at risk are refused. An error lists all mistakes at once, each with its key
//! and none with its value: a value may be a secret. Only what can be a kind's word is quoted.
//!
//! `noshi.example.toml` documents each key; tests keep it equal to the code. Only `bootstrap` and the CLI load settings;
//! every other room receives the part that concerns it.

mod ceilings;
mod check;
pub(crate) mod client;
mod create;
mod database;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod in_force;
mod key_files;
mod pay;
mod retention;
mod sealing;
mod source;
mod tls;
mod traces;
mod way;
mod webhooks;

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use chrono::NaiveDate;
use chrono_tz::Tz;
use secrecy::SecretString;

pub use self::{
    ceilings::Ceilings,
    create::CreateSettings,
    database::{DatabaseKind, DatabaseUrl},
    key_files::{KeyExchange, KeyFiles},
    pay::{PayAccountSettings, PayDriverSettings},
    sealing::{KEY_BYTES, KeyId, MalformedKeyId, Sealing, SealingKey},
    tls::TlsFiles,
    traces::{Ratio, TraceSettings},
    webhooks::WebhookSettings,
};
use crate::kernel::{Environment, HttpsProxy, LoginHost, Marketplace, Money};

/// Everything that is set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The two HTTP servers.
    pub server: ServerSettings,
    /// The database.
    pub store: StoreSettings,
    /// What is logged, and how.
    pub log: LogSettings,
    /// Where spans are sent.
    pub traces: TraceSettings,
    /// How rewards are bought, recovered and shown again.
    pub rewards: RewardSettings,
    /// How Amazon's balances are watched.
    pub balances: BalanceSettings,
    /// When and how Amazon's books are compared with ours.
    pub reconciliation: ReconciliationSettings,
    /// Where messages to callers may go.
    pub webhooks: WebhookSettings,
    /// The keys that seal what a reward acts on.
    pub sealing: Sealing,
    /// Accounts at Amazon, by our name for them (`[a-z0-9_-]`, at most 32 characters). May be empty.
    pub accounts: BTreeMap<String, AccountSettings>,
    /// Sellers' accounts at Amazon Pay, by their names.
    pub pay: BTreeMap<String, PayAccountSettings>,
}

/// The two HTTP servers.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Where the API is served.
    pub listen: SocketAddr,
    /// Where metrics, probes and the admin API are served; never the port of the API.
    pub admin_listen: SocketAddr,
    /// Whoever has it may change the process by the admin port; without one nobody may.
    pub admin_token: Option<SecretString>,
    /// The file that holds it, if a file does.
    pub admin_token_file: Option<PathBuf>,
    /// Whether the admin port serves the console.
    pub console: bool,
    /// How the API's port speaks TLS; without it, it speaks plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Threads that parse requests and write responses.
    pub workers: usize,
    /// Connections open at once, over all workers.
    pub connections_max: usize,
    /// How long the head of a request may take.
    pub head_timeout: Duration,
    /// How long its body may take.
    pub body_timeout: Duration,
    /// How long a connection may idle on which somebody has shown a key.
    pub idle_timeout: Duration,
    /// For how long a caller may take nothing of an answer.
    pub unread_timeout: Duration,
    /// How long a stopping service is not ready, but still accepts connections.
    pub drain_delay: Duration,
    /// How long a stop waits for running work; at least twice the longest call to Amazon.
    pub drain_timeout: Duration,
    /// Requests of one API key in a minute at this replica: those that change nothing.
    pub key_reads_per_minute: u32,
    /// Those that change something.
    pub key_writes_per_minute: u32,
    /// Those that have a code shown again.
    pub key_reveals_per_minute: u32,
    /// How many of one key are answered at once.
    pub key_requests_at_once: u32,
}

/// The database.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    /// SQLite file or PostgreSQL server.
    pub url: DatabaseUrl,
    /// The file that holds the address, if a file does.
    pub url_file: Option<PathBuf>,
    /// Connections of this replica.
    pub connections_max: u32,
    /// Whether `serve` migrates the schema. By default it does on SQLite, and a job of its own does on PostgreSQL.
    pub migrate_on_start: bool,
    /// Whether `serve` makes a SQLite file that is not there. By default not where an account is in production: a database that
    /// is not there was lost.
    pub create_on_start: bool,
    /// How long a start waits for the process before it to let go of a SQLite file: as long as a drain may take.
    pub lock_wait: Duration,
}

/// What is logged, and how.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// The shape of a line.
    pub format: LogFormat,
    /// Valid directives for `tracing_subscriber::EnvFilter`. Targets that could print secrets stay muted whatever they say.
    pub filter: String,
}

/// The shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line, for collectors.
    Json,
    /// For people at a terminal.
    Human,
}

impl LogFormat {
    /// The word in settings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Human => "human",
        }
    }
}

/// How rewards are bought, recovered and shown again.
#[derive(Debug, Clone)]
pub struct RewardSettings {
    /// Rewards that this replica works on at once.
    pub in_flight_max: usize,
    /// The age after which a request id is not replayed: Amazon may have forgotten it, and would sell a second card.
    pub replay_age_limit: Duration,
    /// How long after its issue a claim code may be shown again.
    pub redelivery: Duration,
    /// How often a claim code may be shown again.
    pub redelivery_max: u32,
    /// How many codes an API key may have shown again in an hour.
    pub reveals_per_hour: u32,
    /// How long a replica owns a reward that it works on; longer than any call to Amazon within that time.
    pub lease: Duration,
    /// When the caller gets an answer, even if the outcome is unknown; longer than one call to Amazon.
    pub answer_within: Duration,
    /// Whether an attempt without a proven outcome is repeated while the caller still waits.
    pub replay_while_waited: bool,
    /// How long one call to Amazon may take, from DNS to the last byte.
    pub upstream_timeout: Duration,
    /// How long new rewards are refused after Amazon refused the account, until one may try again; zero turns that off.
    pub breaker: Duration,
    /// How often the worker looks for rewards that are due.
    pub recovery_poll: Duration,
    /// How long after its last change a settled reward is archived; `None` for never.
    pub retention: Option<Duration>,
}

/// How Amazon's balances are watched.
#[derive(Debug, Clone)]
pub struct BalanceSettings {
    /// How often Amazon is asked for each.
    pub poll: Duration,
    /// The age at which a balance is stale; more than one poll.
    pub stale_after: Duration,
    /// How long observations must agree before anything is booked.
    pub confirm: Duration,
}

/// When and how Amazon's books are compared with ours.
#[derive(Debug, Clone)]
pub struct ReconciliationSettings {
    /// Whether the service reconciles each day by itself.
    pub daily: bool,
    /// The hour (UTC) from which on the day before is due.
    pub hour: u32,
    /// The time between two pages of Amazon's report, over all replicas; zero for sandbox accounts only.
    pub page_spacing: Duration,
}

/// A partner account at Amazon.
#[derive(Debug, Clone)]
pub struct AccountSettings {
    /// Amazon's id of the partner: at most 8 ASCII letters and digits.
    pub partner_id: String,
    /// The one marketplace that it buys in, which decides host, signing region and currency.
    pub marketplace: Marketplace,
    /// Sandbox or real money.
    pub environment: Environment,
    /// Our own sandbox in place of Amazon's: a loopback address, and only where `environment` is the sandbox.
    pub sandbox_gateway: Option<SocketAddr>,
    /// Through whom Amazon and Login with Amazon are reached; directly, if it is not set.
    pub https_proxy: Option<HttpsProxy>,
    /// The AWS access key's id.
    pub access_key_id: SecretString,
    /// The AWS access key's secret.
    pub secret_access_key: SecretString,
    /// The file that holds the id, if a file does.
    pub access_key_id_file: Option<PathBuf>,
    /// The file that holds the secret, if a file does.
    pub secret_access_key_file: Option<PathBuf>,
    /// The files of both, if both are in files: then the pair may be exchanged while the service runs.
    pub key_files: Option<KeyFiles>,
    /// When the key was made, for the alert on its age.
    pub access_key_created: Option<NaiveDate>,
    /// How the pair is exchanged for another.
    pub key_exchange: KeyExchange,
    /// The kinds of rewards that it deals in, by their words, each once; none that `incentives` does not know is served.
    pub kinds: Vec<String>,
    /// The smallest reward, in the marketplace's currency, as the contract says; more than zero.
    pub reward_minimum: Money,
    /// What a create says besides its value.
    pub create: CreateSettings,
    /// Decides when its days and months begin.
    pub time_zone: Tz,
    /// The largest reward, as the contract says; at least `reward_minimum`.
    pub reward_maximum: Money,
    /// What may be bought with it on a day.
    pub ceilings: Ceilings,
    /// Below this the event `balance.low` is sent; more than zero.
    pub low_balance: Option<Money>,
    /// How many business days money takes from the bank to Amazon.
    pub funding_lead_days: u32,
    /// Whether Amazon is asked before each load of a balance whether the account could be loaded.
    pub validate_loads: bool,
    /// Our client id at Login with Amazon: the only one whose access tokens are taken.
    pub login_client_id: Option<String>,
    /// Where Login with Amazon is asked.
    pub login_host: LoginHost,
    /// Requests that the account's partner may send in any second, over all replicas; 0 is unlimited, for a sandbox only.
    pub requests_per_second: u32,
}

impl AccountSettings {
    /// Whether Amazon counts the requests of both together.
    #[must_use]
    pub fn is_of_the_same_partner(&self, other: &Self) -> bool {
        (&self.partner_id, self.environment) == (&other.partner_id, other.environment)
    }
}

/// A kind of reward that the program knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownKind {
    /// Its word.
    pub word: &'static str,
    /// Whether it acts on something, which only a sealing key can keep.
    pub acts: bool,
}

/// The settings cannot be used. The text lists every mistake, a line each: the key, what is wrong, where it was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    mistakes: Vec<String>,
}

impl ConfigError {
    /// Every mistake, as `key: what is wrong`. None quotes a value, except what can be a kind's word.
    #[must_use]
    pub fn mistakes(&self) -> &[String] {
        &self.mistakes
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the settings cannot be used:")?;
        self.mistakes.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
    }
}

impl std::error::Error for ConfigError {}

impl Settings {
    /// Reads the settings: the environment over the file over the defaults; then the files of secrets, with paths relative to
    /// the working directory.
    ///
    /// # Errors
    /// [`ConfigError`] lists everything that is wrong.
    pub fn load(
        path: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        Self::read(path, environment, None)
    }

    /// The same, and every account must list kinds that the program knows.
    ///
    /// # Errors
    /// [`ConfigError`] lists everything that is wrong, the kinds of all accounts included.
    pub fn load_for(
        kinds: &[KnownKind],
        path: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        Self::read(path, environment, Some(kinds))
    }

    fn read(
        path: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        kinds: Option<&[KnownKind]>,
    ) -> Result<Self, ConfigError> {
        let mut source = source::RawSettings::default();
        if let Some(path) = path {
            source.add_file(path);
        }
        source.add_environment(environment);
        Self::checked(source, kinds)
    }

    fn checked(mut source: source::RawSettings, kinds: Option<&[KnownKind]>) -> Result<Self, ConfigError> {
        let settings = check::settings(&mut source, kinds);
        source.refuse_what_is_left();
        match source.into_mistakes() {
            mistakes if mistakes.is_empty() => Ok(settings),
            mistakes => Err(ConfigError { mistakes }),
        }
    }

    /// All settings in force as TOML. Secrets are `"[hidden]"`, with the files that they were read from; the database is shown
    /// without its password.
    #[must_use]
    pub fn in_force(&self) -> String {
        in_force::render(self)
    }

    /// Each setting in force by its name, as `server.workers`; secrets hidden in the same way.
    #[must_use]
    pub fn by_name(&self) -> BTreeMap<String, String> {
        in_force::by_name(self)
    }
}

/// Our variables of the process's environment, and the OpenTelemetry variables that we know, for [`Settings::load`]. No other
/// place reads the environment.
///
/// # Errors
/// One of them is not UTF-8. Other programs' variables may hold anything.
pub fn process_environment() -> Result<Vec<(String, String)>, ConfigError> {
    #[expect(clippy::disallowed_methods, reason = "this is the one home of reading the environment")]
    let variables = std::env::vars_os();
    let (mut ours, mut mistakes) = (Vec::new(), Vec::new());
    for (name, value) in variables {
        let standard = source::STANDARD.iter().any(|known| name == *known);
        if !standard && !name.as_encoded_bytes().starts_with(source::PREFIX.as_bytes()) {
            continue;
        }
        match (name.into_string(), value.into_string()) {
            (Ok(name), Ok(value)) => ours.push((name, value)),
            (Ok(name), Err(_value)) => mistakes.push(format!("{name:?}: is not UTF-8")),
            (Err(name), _value) => mistakes.push(format!("{name:?}: no such setting (environment)")),
        }
    }
    if mistakes.is_empty() { Ok(ours) } else { Err(ConfigError { mistakes }) }
}

/// The variables that name other root certificates than this machine's to the libraries of TLS, as far as they are set.
#[must_use]
pub fn trust_variables() -> Vec<(&'static str, PathBuf)> {
    #[expect(clippy::disallowed_methods, reason = "this is the one home of reading the environment")]
    let set = |name: &'static str| std::env::var_os(name).map(|path| (name, PathBuf::from(path)));
    ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().filter_map(set).collect()
}

/// The failpoint at which a debug build dies, for the tests of crashes. Not a setting: a release build does not read it.
#[cfg(debug_assertions)]
pub(crate) fn failpoint() -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "this is the one home of reading the environment")]
    std::env::var("NOSHI_FAILPOINT").ok()
}

#[cfg(test)]
mod tests;
