//! Reads each section into its checked type, and refuses combinations that would put money at risk.
//!
//! A wrong value is recorded and replaced by the default, so that reading goes on. `Settings::load` returns nothing then.

use std::{collections::BTreeMap, net::SocketAddr, ops::RangeInclusive, str::FromStr, time::Duration};

use chrono::NaiveDate;
use chrono_tz::Tz;
use secrecy::SecretString;
use tracing_subscriber::EnvFilter;

use super::{
    AccountSettings, BalanceSettings, DatabaseKind, DatabaseUrl, KeyFiles, KnownKind, LogFormat, LogSettings,
    ReconciliationSettings, RewardSettings, ServerSettings, Settings, StoreSettings, ceilings,
    create::create,
    key_files::key_exchange,
    pay,
    retention::retention,
    sealing::sealing,
    source::{RawSettings, Section},
    tls::tls_files,
    traces::traces,
    way::{environment, named, way_to_amazon},
    webhooks::webhooks,
};
use crate::kernel::{Currency, Environment, LoginHost, Marketplace, Money, calendar};

/// Amazon's advice for one call, and our promise to the caller.
const UPSTREAM_SECONDS_MAX: u64 = 6;
const ANSWER_SECONDS_MAX: u64 = 10;

/// What a lease must cover besides the call: connecting, waiting for quota, settling, and skew between clocks.
const LEASE_MARGIN: Duration = Duration::from_secs(10);

/// A stop waits for a call that has just begun and for the one that may follow it, with the longest time-out allowed.
const DRAIN_SECONDS: RangeInclusive<u64> = 2 * UPSTREAM_SECONDS_MAX..=600;

/// What a process does after its drain: it ends its loops and closes the database.
const CLOSE_MARGIN: Duration = Duration::from_secs(5);

/// Amazon allows one page of the activity report a minute, and may block a partner that asks more often.
const PAGE_SPACING_SECONDS: u64 = 60;
const PARTNER_ID_LENGTH_MAX: usize = 8;
/// Characters of the admin port's token: enough that nobody guesses it.
const ADMIN_TOKEN_LENGTH: RangeInclusive<usize> = 24..=256;
/// Requests of one API key in a minute.
const KEY_RATE: RangeInclusive<u32> = 1..=1_000_000;
const CREDENTIAL_LENGTH_MAX: usize = 256;
/// Characters of the longest word that is quoted. An AWS secret key has 40.
const KIND_LENGTH_MAX: usize = 32;

/// Reads all settings. Wrong values are recorded in `source`, and replaced by defaults.
pub(super) fn settings(source: &mut RawSettings, kinds: Option<&[KnownKind]>) -> Settings {
    let sealing = sealing(source.section("sealing"));
    // A key that is listed wrongly was reported for that.
    let can_seal = !sealing.keys.is_empty() || source.has_mistake("sealing.keys");
    let kinds = kinds.map(|known| KindRules { known, can_seal });
    let server = server(source.section("server"));
    let creation_is_set = source.section("store").is_set("create_on_start");
    let mut settings = Settings {
        store: store(source.section("store"), lock_wait(&server)),
        server,
        log: log(source.section("log")),
        traces: traces(source),
        rewards: rewards(source.section("rewards")),
        balances: balances(source.section("balances")),
        reconciliation: reconciliation(source.section("reconciliation")),
        webhooks: webhooks(source.section("webhooks")),
        sealing,
        accounts: accounts(source, kinds),
        pay: pay::accounts(source),
    };
    let environments = settings.accounts.values().map(|account| account.environment);
    let mut environments = environments.chain(settings.pay.values().map(|account| account.environment));
    let production = environments.any(|environment| environment == Environment::Production);
    // Where money is at stake, a database that is not there was lost, and its successor is a person's decision.
    settings.store.create_on_start &= creation_is_set || !production;
    if production && settings.reconciliation.page_spacing.as_secs() < PAGE_SPACING_SECONDS {
        let why = format!("must be at least {PAGE_SPACING_SECONDS} where an account's environment is \"production\"");
        source.section("reconciliation").refuse("page_spacing_seconds", &why);
    }
    settings
}

fn server(mut section: Section<'_>) -> ServerSettings {
    let listen = section.text("listen", address).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080)));
    let admin_listen =
        section.text("admin_listen", address).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 9090)));
    // The admin API must not be reachable for callers. Port 0 is a new port each time.
    if listen.port() == admin_listen.port() && listen.port() != 0 {
        section.refuse("admin_listen", "must be another port than server.listen");
    }
    let tls = tls_files(&mut section);
    // TLS holds more for each connection (`server::door::memory`).
    let connections_max = if tls.is_some() { 256 } else { 512 };
    ServerSettings {
        admin_token_file: section.file_of("admin_token"),
        admin_token: section.secret("admin_token", admin_token),
        console: section.flag("console").unwrap_or(false),
        listen,
        admin_listen,
        tls,
        workers: section.number("workers", 2, 1..=64),
        connections_max: section.number("connections_max", connections_max, 1..=65_536),
        head_timeout: section.seconds("head_timeout_seconds", 5, 1..=60),
        body_timeout: section.seconds("body_timeout_seconds", 5, 1..=60),
        idle_timeout: section.seconds("idle_timeout_seconds", 15, 1..=3600),
        unread_timeout: section.seconds("unread_timeout_seconds", 10, 1..=60),
        drain_delay: section.seconds("drain_delay_seconds", 0, 0..=60),
        drain_timeout: section.seconds("drain_timeout_seconds", 20, DRAIN_SECONDS),
        key_reads_per_minute: section.number("key_reads_per_minute", 12_000, KEY_RATE),
        key_writes_per_minute: section.number("key_writes_per_minute", 6_000, KEY_RATE),
        key_reveals_per_minute: section.number("key_reveals_per_minute", 600, KEY_RATE),
        // As many as one caller may have of rewards.in_flight_max.
        key_requests_at_once: section.number("key_requests_at_once", 192, 1..=65_536),
    }
}

/// It is compared as it is, so that a blank in it is most likely a mistake.
fn admin_token(text: &str) -> Result<SecretString, String> {
    if ADMIN_TOKEN_LENGTH.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(SecretString::from(text));
    }
    let (least, most) = ADMIN_TOKEN_LENGTH.into_inner();
    Err(format!("must be {least} to {most} printable ASCII characters without blanks"))
}

/// The process before this one drains under the same settings, and closes its database after that.
const fn lock_wait(server: &ServerSettings) -> Duration {
    server.drain_delay.saturating_add(server.drain_timeout).saturating_add(CLOSE_MARGIN)
}

fn store(mut section: Section<'_>, lock_wait: Duration) -> StoreSettings {
    let url_file = section.file_of("url");
    let url = section.secret("url", DatabaseUrl::parse).unwrap_or_else(DatabaseUrl::beside_us);
    let migrates_itself = match url.kind() {
        DatabaseKind::Sqlite => true,
        // Replicas start together, and the role that serves should not be able to change the schema.
        DatabaseKind::Postgres => false,
    };
    StoreSettings {
        connections_max: section.number("connections_max", 8, 1..=200),
        migrate_on_start: section.flag("migrate_on_start").unwrap_or(migrates_itself),
        create_on_start: section.flag("create_on_start").unwrap_or(true),
        lock_wait: section.seconds("lock_wait_seconds", lock_wait.as_secs(), 0..=700),
        url,
        url_file,
    }
}

fn log(mut section: Section<'_>) -> LogSettings {
    let format = section.text("format", |text| match text {
        "json" => Ok(LogFormat::Json),
        "human" => Ok(LogFormat::Human),
        _other => Err("must be json or human".to_owned()),
    });
    let filter = section.text("filter", |text| match EnvFilter::builder().with_regex(false).parse(text) {
        Ok(_filter) => Ok(text.to_owned()),
        Err(_error) => Err("must be a level, or directives like info,noshi=debug".to_owned()),
    });
    LogSettings { format: format.unwrap_or(LogFormat::Human), filter: filter.unwrap_or_else(|| "info".to_owned()) }
}

fn rewards(mut section: Section<'_>) -> RewardSettings {
    let rewards = RewardSettings {
        in_flight_max: section.number("in_flight_max", 256, 1..=400),
        // Amazon was seen to remember an id for 54 days.
        replay_age_limit: days(section.number("replay_age_limit_days", 30, 1..=50)),
        // A code that is shown for longer, or more often, is a larger leak when an API key leaks: both have an upper limit.
        redelivery: hours(section.number("redelivery_hours", 24, 1..=24)),
        redelivery_max: section.number("redelivery_max", 20, 0..=20),
        reveals_per_hour: section.number("reveals_per_hour", 500, 1..=1_000_000),
        lease: section.seconds("lease_seconds", 20, 1..=300),
        answer_within: section.seconds("answer_within_seconds", ANSWER_SECONDS_MAX, 1..=ANSWER_SECONDS_MAX),
        replay_while_waited: section.flag("replay_while_waited").unwrap_or(true),
        upstream_timeout: section.seconds("upstream_timeout_seconds", UPSTREAM_SECONDS_MAX, 1..=UPSTREAM_SECONDS_MAX),
        breaker: section.seconds("breaker_seconds", 30, 0..=600),
        recovery_poll: Duration::from_millis(section.number("recovery_poll_milliseconds", 500, 50..=60_000)),
        retention: retention(&mut section),
    };
    if rewards.lease < rewards.upstream_timeout.saturating_add(LEASE_MARGIN) {
        let why = format!("must be at least rewards.upstream_timeout_seconds + {}", LEASE_MARGIN.as_secs());
        section.refuse("lease_seconds", &format!("{why}: a second worker would take over a call that still runs"));
    }
    if rewards.answer_within <= rewards.upstream_timeout {
        let why = "must be more than rewards.upstream_timeout_seconds: no answer of Amazon would reach the caller";
        section.refuse("answer_within_seconds", why);
    }
    rewards
}

const fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours.saturating_mul(3600))
}

const fn days(days: u64) -> Duration {
    hours(days.saturating_mul(24))
}

fn reconciliation(mut section: Section<'_>) -> ReconciliationSettings {
    ReconciliationSettings {
        daily: section.flag("daily").unwrap_or(true),
        // From 01:00 on, the last hour of the day before has been over for an hour.
        hour: section.number("hour", 6, 1..=23),
        page_spacing: section.seconds("page_spacing_seconds", PAGE_SPACING_SECONDS, 0..=3600),
    }
}

fn balances(mut section: Section<'_>) -> BalanceSettings {
    let balances = BalanceSettings {
        // Amazon allows one question a second; half of that is kept for operators.
        poll: section.seconds("poll_seconds", 60, 2..=3600),
        stale_after: section.seconds("stale_after_seconds", 300, 3..=86_400),
        confirm: section.seconds("confirm_seconds", 300, 1..=3600),
    };
    if balances.stale_after <= balances.poll {
        section.refuse("stale_after_seconds", "must be more than balances.poll_seconds");
    }
    balances
}

fn accounts(source: &mut RawSettings, kinds: Option<KindRules<'_>>) -> BTreeMap<String, AccountSettings> {
    let mut accounts: BTreeMap<String, AccountSettings> = BTreeMap::new();
    for id in source.names_under("accounts") {
        named(source, "accounts", &id);
        let Some(account) = account(source.section(&format!("accounts.{id}")), kinds) else { continue };
        let same = |other: &AccountSettings| {
            (&other.partner_id, other.environment, other.marketplace)
                == (&account.partner_id, account.environment, account.marketplace)
        };
        if let Some((twin, _account)) = accounts.iter().find(|(_id, other)| same(other)) {
            let why = format!(
                "is the same account at Amazon as accounts.{twin}: each would count half of the balance and rate"
            );
            source.refuse(&format!("accounts.{id}"), &why);
        }
        let partner = accounts.iter().find(|(_id, other)| other.is_of_the_same_partner(&account));
        if let Some((first, other)) = partner
            && other.requests_per_second != account.requests_per_second
        {
            let why = format!("must be that of accounts.{first}: the two are one partner at Amazon and share its rate");
            source.refuse(&format!("accounts.{id}.requests_per_second"), &why);
        }
        accounts.insert(id, account);
    }
    accounts
}

/// Reads an account; `None` if anything about it is wrong.
fn account(mut section: Section<'_>, kind_rules: Option<KindRules<'_>>) -> Option<AccountSettings> {
    for key in ["partner_id", "marketplace", "environment", "access_key_id", "secret_access_key"] {
        section.require(key);
    }
    let partner_id = section.text("partner_id", partner_id);
    let environment = section.text("environment", environment);
    let marketplace = section.text("marketplace", |text| {
        Marketplace::from_str(text)
            .map_err(|unknown| format!("{unknown}; there are {}", Marketplace::ALL.map(Marketplace::code).join(" ")))
    });
    let way = way_to_amazon(&mut section, environment);
    let (access_key_id_file, secret_access_key_file) =
        (section.file_of("access_key_id"), section.file_of("secret_access_key"));
    let key_files = access_key_id_file.clone().zip(secret_access_key_file.clone());
    let access_key_id = section.secret("access_key_id", access_key_id);
    let secret_access_key = section.secret("secret_access_key", secret_access_key);
    let access_key_created = section.text("access_key_created", date);
    let key_files = key_files.map(|(access_key_id, secret_access_key)| KeyFiles { access_key_id, secret_access_key });
    let key_exchange = key_exchange(&mut section, key_files.as_ref());
    let kinds = kinds(&mut section, kind_rules);
    let create = create(&mut section);
    let login = login(&mut section);
    let limits = match marketplace {
        Some(marketplace) => reward_limits(&mut section, marketplace),
        // Without a currency amounts cannot be read. That the marketplace is missing was recorded above.
        None => {
            section.skip(&["reward_minimum", "reward_maximum", "low_balance"]);
            section.skip(&ceilings::AMOUNTS);
            None
        }
    };
    let low_balance = section.text("low_balance", |text| match marketplace {
        Some(marketplace) => amount(text, marketplace.currency()),
        None => Err("cannot be read without a marketplace".to_owned()),
    });
    // A bank transfer in Japan: the next business day.
    let funding_lead_days = section.number("funding_lead_days", 1, 0..=30);
    // Amazon's contract: 10 a second for each partner account.
    let requests_per_second = section.number("requests_per_second", 10, 0..=1000);
    if requests_per_second == 0 && environment == Some(Environment::Production) {
        section.refuse("requests_per_second", "may be 0, unlimited, in environment = \"sandbox\" only");
    }
    let time_zone = time_zone(&mut section, marketplace);
    let (reward_minimum, reward_maximum) = limits?;
    let reports_funds = way.sandbox_gateway.is_some() || environment != Some(Environment::Sandbox);
    let ceilings = ceilings::read(&mut section, reward_maximum, reports_funds);
    Some(AccountSettings {
        partner_id: partner_id?,
        marketplace: marketplace?,
        environment: environment?,
        sandbox_gateway: way.sandbox_gateway,
        https_proxy: way.https_proxy,
        access_key_id: access_key_id?,
        secret_access_key: secret_access_key?,
        access_key_id_file,
        secret_access_key_file,
        create,
        key_files,
        access_key_created,
        key_exchange,
        kinds,
        reward_minimum,
        time_zone,
        reward_maximum,
        ceilings,
        low_balance,
        funding_lead_days,
        validate_loads: login.validate_loads,
        login_client_id: login.client_id,
        login_host: login.host.unwrap_or(LoginHost::of(marketplace?)),
        requests_per_second,
    })
}

/// What every partner may buy; a contract may allow more.
const KIND: &str = "gift_code";
/// What a client id at Login with Amazon begins with.
const LOGIN_CLIENT_PREFIX: &str = "amzn1.application-oa2-client.";

/// What an account's kinds are compared with.
#[derive(Clone, Copy)]
struct KindRules<'a> {
    known: &'a [KnownKind],
    /// Something can be sealed.
    can_seal: bool,
}

impl KindRules<'_> {
    /// What is wrong with a word in an account's list.
    fn mistake(self, word: &str) -> Option<String> {
        let Some(kind) = self.known.iter().find(|kind| kind.word == word) else {
            let known = self.known.iter().map(|kind| kind.word).collect::<Vec<_>>().join(" ");
            // Whatever is not shaped like a kind's word may be a secret in the wrong place.
            let quoted =
                word.len() <= KIND_LENGTH_MAX && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            let which = if quoted { format!("kind {word}") } else { "such kind as one of those listed".to_owned() };
            return Some(format!("there is no {which}; there are {known}"));
        };
        let sealed = self.can_seal || !kind.acts;
        (!sealed).then(|| format!("{word} acts on something: list a key in sealing.keys"))
    }
}

/// The kinds that an account deals in.
fn kinds(section: &mut Section<'_>, rules: Option<KindRules<'_>>) -> Vec<String> {
    let kinds = section.texts("kinds").unwrap_or_else(|| vec![KIND.to_owned()]);
    let twice = |(at, kind): (usize, &String)| kinds.iter().take(at).any(|other| other == kind);
    if kinds.is_empty() || kinds.iter().enumerate().any(twice) {
        section.refuse("kinds", "must list at least one kind of reward, and each once");
    }
    for mistake in kinds.iter().filter_map(|word| rules?.mistake(word)) {
        section.refuse("kinds", &mistake);
    }
    kinds
}

/// What loads of balances need besides.
struct LoadSettings {
    validate_loads: bool,
    client_id: Option<String>,
    host: Option<LoginHost>,
}

fn login(section: &mut Section<'_>) -> LoadSettings {
    LoadSettings {
        validate_loads: section.flag("validate_loads").unwrap_or(false),
        client_id: section.text("login_client_id", login_client_id),
        host: section.text("login_host", |text| {
            let known = LoginHost::ALL.map(LoginHost::as_str).join(", ");
            LoginHost::named(text).ok_or_else(|| format!("must be one of {known}"))
        }),
    }
}

fn login_client_id(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix(LOGIN_CLIENT_PREFIX).unwrap_or_default();
    let fits = (1..=128).contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_alphanumeric());
    fits.then(|| text.to_owned()).ok_or_else(|| {
        format!("must be {LOGIN_CLIENT_PREFIX} and letters and digits, as the console of Login with Amazon shows it")
    })
}

/// Where the account's days begin: where it buys, unless the settings say otherwise.
fn time_zone(section: &mut Section<'_>, marketplace: Option<Marketplace>) -> Tz {
    let named = section.text("time_zone", |text| {
        text.parse().map_err(|_unknown| "must be a name of the IANA time zone database, like Asia/Tokyo".to_owned())
    });
    named.or_else(|| marketplace?.time_zone().parse().ok()).unwrap_or(Tz::UTC)
}

/// The smallest and the largest reward of an account. A partner's contract may say other figures than Amazon publishes.
fn reward_limits(section: &mut Section<'_>, marketplace: Marketplace) -> Option<(Money, Money)> {
    let currency = marketplace.currency();
    if marketplace.maximum().is_none() {
        section.require("reward_maximum");
    }
    let minimum =
        section.text("reward_minimum", |text| amount(text, currency)).unwrap_or_else(|| marketplace.minimum());
    let maximum = section.text("reward_maximum", |text| amount(text, currency)).or(marketplace.maximum())?;
    if minimum.minor() > maximum.minor() {
        section.refuse("reward_minimum", "is more than reward_maximum");
    }
    Some((minimum, maximum))
}

pub(super) fn amount(text: &str, currency: Currency) -> Result<Money, String> {
    match Money::parse(text, currency) {
        Ok(money) if money.minor() > 0 => Ok(money),
        Ok(_nothing) => Err("must be more than nothing".to_owned()),
        Err(error) => Err(format!("{error} ({currency} has {})", currency.exponent())),
    }
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_error| "must be an address with a port, like 127.0.0.1:8080".to_owned())
}

pub(super) fn date(text: &str) -> Result<NaiveDate, String> {
    calendar::day(text).ok_or_else(|| "must be a date in quotes, like \"2026-01-31\"".to_owned())
}

fn partner_id(text: &str) -> Result<String, String> {
    if (1..=PARTNER_ID_LENGTH_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(text.to_owned());
    }
    Err(format!("must be 1 to {PARTNER_ID_LENGTH_MAX} ASCII letters and digits"))
}

/// Allows no separator of the `Authorization` header.
pub(super) fn access_key_id(text: &str) -> Result<SecretString, String> {
    if text.starts_with("ASIA") {
        return Err("is a temporary key, which needs a session token; Amazon Incentives takes lasting keys".to_owned());
    }
    credential(text, "ASCII letters, digits, _ and -", |byte| {
        byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
    })
}

pub(super) fn secret_access_key(text: &str) -> Result<SecretString, String> {
    credential(text, "printable ASCII characters without blanks", |byte| byte.is_ascii_graphic())
}

/// White space means that a credential was pasted wrongly. It would sign, and Amazon would refuse it much later.
fn credential(text: &str, expected: &str, allowed: impl Fn(u8) -> bool) -> Result<SecretString, String> {
    if (1..=CREDENTIAL_LENGTH_MAX).contains(&text.len()) && text.bytes().all(allowed) {
        return Ok(SecretString::from(text));
    }
    Err(format!("must be 1 to {CREDENTIAL_LENGTH_MAX} {expected}"))
}
