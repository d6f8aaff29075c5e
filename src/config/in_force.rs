//! Settings as operators may see them: TOML with the keys of the file, in the order of the sample, without secrets. Where a file
//! holds one, a comment names it: a wrong mount shows.
//!
//! Written by hand: a serde view would name each key twice, and a new secret would be shown until someone skips it. Here a
//! key is shown only after someone wrote its line.

use std::{collections::BTreeMap, path::Path, time::Duration};

use toml::Value;

use super::{
    AccountSettings, PayAccountSettings, PayDriverSettings, RewardSettings, Settings, TlsFiles, ceilings::written,
};

const HIDDEN: &str = "[hidden]";

pub(super) fn render(settings: &Settings) -> String {
    let Settings { server, store, log, traces, rewards, balances, reconciliation, webhooks, sealing, accounts, pay } =
        settings;
    let mut page = SettingsText::default();
    page.section("server");
    page.text("listen", &server.listen.to_string());
    page.text("admin_listen", &server.admin_listen.to_string());
    if server.admin_token.is_some() {
        page.kept_in("admin_token", HIDDEN, server.admin_token_file.as_deref());
    }
    page.plain("console", server.console);
    if let Some(TlsFiles { certificate, private_key, client_ca, client_crl }) = &server.tls {
        page.text("tls_certificate_file", &certificate.display().to_string());
        page.text("tls_private_key_file", &private_key.display().to_string());
        if let Some(path) = client_ca {
            page.text("tls_client_ca_file", &path.display().to_string());
        }
        if let Some(path) = client_crl {
            page.text("tls_client_crl_file", &path.display().to_string());
        }
    }
    page.plain("workers", server.workers);
    page.plain("connections_max", server.connections_max);
    page.seconds("head_timeout_seconds", server.head_timeout);
    page.seconds("body_timeout_seconds", server.body_timeout);
    page.seconds("idle_timeout_seconds", server.idle_timeout);
    page.seconds("unread_timeout_seconds", server.unread_timeout);
    page.seconds("drain_delay_seconds", server.drain_delay);
    page.seconds("drain_timeout_seconds", server.drain_timeout);
    page.plain("key_reads_per_minute", server.key_reads_per_minute);
    page.plain("key_writes_per_minute", server.key_writes_per_minute);
    page.plain("key_reveals_per_minute", server.key_reveals_per_minute);
    page.plain("key_requests_at_once", server.key_requests_at_once);
    page.section("store");
    page.kept_in("url", &store.url.to_string(), store.url_file.as_deref());
    page.plain("connections_max", store.connections_max);
    page.plain("migrate_on_start", store.migrate_on_start);
    page.plain("create_on_start", store.create_on_start);
    page.seconds("lock_wait_seconds", store.lock_wait);
    page.section("log");
    page.text("format", log.format.as_str());
    page.text("filter", &log.filter);
    page.section("traces");
    page.text("endpoint", traces.endpoint.as_deref().unwrap_or_default());
    page.plain("sample_ratio", traces.sample_ratio);
    page.text("service_name", &traces.service_name);
    page.text("resource_attributes", &traces.resource_attributes_text());
    page.rewards(rewards);
    page.section("balances");
    page.seconds("poll_seconds", balances.poll);
    page.seconds("stale_after_seconds", balances.stale_after);
    page.seconds("confirm_seconds", balances.confirm);
    page.section("reconciliation");
    page.plain("daily", reconciliation.daily);
    page.plain("hour", reconciliation.hour);
    page.seconds("page_spacing_seconds", reconciliation.page_spacing);
    page.section("webhooks");
    page.plain("allow_private_networks", webhooks.allow_private_networks);
    page.plain("allow_plain_http", webhooks.allow_plain_http);
    page.section("sealing");
    let keys = sealing.keys.iter().map(|key| format!("{{ id = \"{}\", file = {} }}", key.id, path(&key.file)));
    page.plain("keys", format!("[{}]", keys.collect::<Vec<_>>().join(", ")));
    for (id, account) in accounts {
        page.section(&format!("accounts.{id}"));
        page.account(account);
    }
    for (id, account) in pay {
        page.section(&format!("pay.{id}"));
        page.pay_account(account);
    }
    page.text
}

/// The same, each setting under its section's name and its own.
pub(super) fn by_name(settings: &Settings) -> BTreeMap<String, String> {
    let (mut all, mut section) = (BTreeMap::new(), String::new());
    for line in render(settings).lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            name.clone_into(&mut section);
        } else if let Some((name, value)) = line.split_once(" = ") {
            all.insert(format!("{section}.{name}"), value.to_owned());
        }
    }
    all
}

/// A path as TOML writes it.
fn path(path: &Path) -> Value {
    Value::from(path.display().to_string())
}

const fn hours(duration: Duration) -> u64 {
    duration.as_secs() / 3600
}

/// The text so far.
#[derive(Default)]
struct SettingsText {
    text: String,
}

impl SettingsText {
    fn section(&mut self, name: &str) {
        let gap = if self.text.is_empty() { "" } else { "\n" };
        self.text.push_str(&format!("{gap}[{name}]\n"));
    }

    fn plain(&mut self, key: &str, value: impl ToString) {
        self.text.push_str(&format!("{key} = {}\n", value.to_string()));
    }

    fn text(&mut self, key: &str, value: &str) {
        self.plain(key, Value::from(value));
    }

    /// A value that may be in a file of its own.
    fn kept_in(&mut self, key: &str, value: &str, file: Option<&Path>) {
        let kept = file.map_or_else(String::new, |file| format!(" # {key}_file = {}", path(file)));
        self.plain(key, format!("{}{kept}", Value::from(value)));
    }

    fn seconds(&mut self, key: &str, value: Duration) {
        self.plain(key, value.as_secs());
    }
    fn rewards(&mut self, rewards: &RewardSettings) {
        self.section("rewards");
        self.plain("in_flight_max", rewards.in_flight_max);
        self.plain("replay_age_limit_days", hours(rewards.replay_age_limit) / 24);
        self.plain("redelivery_hours", hours(rewards.redelivery));
        self.plain("redelivery_max", rewards.redelivery_max);
        self.plain("reveals_per_hour", rewards.reveals_per_hour);
        self.seconds("lease_seconds", rewards.lease);
        self.seconds("answer_within_seconds", rewards.answer_within);
        self.plain("replay_while_waited", rewards.replay_while_waited);
        self.seconds("upstream_timeout_seconds", rewards.upstream_timeout);
        self.seconds("breaker_seconds", rewards.breaker);
        self.plain("recovery_poll_milliseconds", rewards.recovery_poll.as_millis());
        self.plain("retention_days", rewards.retention.map_or(0, hours) / 24);
    }

    fn pay_account(&mut self, account: &PayAccountSettings) {
        self.text("region", account.region.as_str());
        self.text("environment", account.environment.as_str());
        if let Some(gateway) = account.sandbox_gateway {
            self.text("sandbox_gateway", &gateway.to_string());
        }
        if let Some(proxy) = &account.https_proxy {
            self.text("https_proxy", &proxy.to_string());
        }
        match &account.driver {
            PayDriverSettings::CheckoutV2 {
                public_key_id,
                private_key: _,
                private_key_file,
                merchant_id,
                store_id,
            } => {
                self.text("driver", "checkout_v2");
                self.text("public_key_id", public_key_id);
                self.kept_in("private_key", HIDDEN, private_key_file.as_deref());
                for (name, id) in [("merchant_id", merchant_id), ("store_id", store_id)] {
                    if let Some(id) = id {
                        self.text(name, id);
                    }
                }
            }
            PayDriverSettings::Mws { seller_id, access_key_id, secret_access_key: _, secret_access_key_file } => {
                self.text("driver", "mws");
                self.text("seller_id", seller_id);
                self.text("access_key_id", access_key_id);
                self.kept_in("secret_access_key", HIDDEN, secret_access_key_file.as_deref());
            }
        }
        if let Some(topic) = &account.notification_topic {
            self.text("notification_topic", topic.as_str());
        }
        self.text("currency", account.currency.code());
        self.text("charge_maximum", &account.charge_maximum.to_string());
    }

    fn account(&mut self, account: &AccountSettings) {
        self.text("partner_id", &account.partner_id);
        self.text("marketplace", account.marketplace.code());
        self.text("environment", account.environment.as_str());
        if let Some(gateway) = account.sandbox_gateway {
            self.text("sandbox_gateway", &gateway.to_string());
        }
        if let Some(proxy) = &account.https_proxy {
            self.text("https_proxy", &proxy.to_string());
        }
        self.kept_in("access_key_id", HIDDEN, account.access_key_id_file.as_deref());
        self.kept_in("secret_access_key", HIDDEN, account.secret_access_key_file.as_deref());
        if let Some(date) = account.access_key_created {
            self.text("access_key_created", &date.to_string());
        }
        if let Some(files) = &account.key_exchange.second {
            self.text("second_access_key_id_file", &files.access_key_id.display().to_string());
            self.text("second_secret_access_key_file", &files.secret_access_key.display().to_string());
        }
        if let Some(date) = account.key_exchange.second_created {
            self.text("second_access_key_created", &date.to_string());
        }
        self.plain("access_key_days", account.key_exchange.days_max);
        self.plain("activate_keys_by_hand", account.key_exchange.by_hand);
        self.text("time_zone", account.time_zone.name());
        self.plain("kinds", Value::from(account.kinds.clone()));
        let create = &account.create;
        if let Some(program) = &create.program_id {
            self.text("amazon_program_id", program);
        }
        let programs = create.programs.iter().map(|(ours, theirs)| {
            format!("{{ program_id = \"{ours}\", amazon_program_id = {} }}", Value::from(theirs.as_str()))
        });
        self.plain("amazon_programs", format!("[{}]", programs.collect::<Vec<_>>().join(", ")));
        self.plain("product_types", Value::from(create.product_types.clone()));
        self.plain("external_reference", create.external_reference);
        self.plain("print_on_receipt", create.print_on_receipt);
        self.text("reward_minimum", &account.reward_minimum.to_string());
        self.text("reward_maximum", &account.reward_maximum.to_string());
        self.text("client_day_maximum", &written(account.ceilings.client_day_maximum));
        self.text("client_day_rewards", &written(account.ceilings.client_day_rewards));
        self.text("account_day_maximum", &written(account.ceilings.account_day_maximum));
        if let Some(floor) = account.ceilings.funds_floor {
            self.text("funds_floor", &floor.to_string());
        }
        if let Some(low) = account.low_balance {
            self.text("low_balance", &low.to_string());
        }
        self.plain("validate_loads", account.validate_loads);
        if let Some(client_id) = &account.login_client_id {
            self.text("login_client_id", client_id);
        }
        self.text("login_host", account.login_host.as_str());
        self.plain("funding_lead_days", account.funding_lead_days);
        self.plain("requests_per_second", account.requests_per_second);
    }
}
