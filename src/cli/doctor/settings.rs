//! What the settings leave open, and who may read or change the files that they name.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use chrono::{NaiveDate, TimeDelta};

use super::{Diagnosis, Trouble};
use crate::{
    bootstrap::StartError,
    config::{AccountSettings, KeyFiles, Settings, TlsFiles, WebhookSettings},
    kernel::{Chain, LoginHost},
    server::{TlsTerms, Validity, terms},
};

/// How many days before its end a key is worth a warning, as the alert on it has it.
const BEFORE_THE_END: i64 = 30;
/// The same of a certificate, as the alert on it has it.
const CERTIFICATE_DAYS_MIN: i64 = 14;

/// Everything that can be seen without the database and Amazon.
pub(super) fn findings(settings: &Settings, file: Option<&Path>, today: NaiveDate) -> Vec<Diagnosis> {
    let mut findings = Vec::new();
    if settings.accounts.is_empty() {
        let trouble = Trouble {
            what: StartError::NoAccounts.to_string(),
            why: "`noshi serve` ends with the same words: without an account there is nothing to sell".to_owned(),
            way_out: "noshi.example.toml shows the section; with Kubernetes, look whether noshi.toml is mounted"
                .to_owned(),
        };
        findings.push(Diagnosis::broken("accounts", trouble));
    }
    for (id, account) in &settings.accounts {
        findings.extend(of_account(id, account, today));
    }
    findings.extend(settings.server.tls.iter().flat_map(|files| of_tls(files, today)));
    findings.extend(of_webhooks(&settings.webhooks));
    findings.extend(of_files(settings, file));
    findings
}

/// What the settings let webhooks reach besides HTTPS on the public Internet.
fn of_webhooks(webhooks: &WebhookSettings) -> impl Iterator<Item = Diagnosis> {
    let opened = [
        (
            webhooks.allow_private_networks,
            "webhooks.allow_private_networks",
            "endpoints may lie in private networks and on this machine",
            "whoever has the scope webhooks:write can have the service call what only the service reaches",
            "set it to false: it is for tests, and for a service whose keys with webhooks:write are all the operator's own",
        ),
        (
            webhooks.allow_plain_http,
            "webhooks.allow_plain_http",
            "endpoints may use http without TLS",
            "anybody between the service and a receiver can read the events",
            "set it to false, and give each receiver a certificate: http is for tests",
        ),
    ];
    opened.into_iter().filter(|(is_set, ..)| *is_set).map(|(_is_set, place, what, why, way_out)| {
        let trouble = Trouble { what: what.to_owned(), why: why.to_owned(), way_out: way_out.to_owned() };
        Diagnosis::warning(place, trouble)
    })
}

/// The files of TLS: the certificate that callers are shown, and the lists of those of theirs that are revoked.
fn of_tls(files: &TlsFiles, today: NaiveDate) -> Vec<Diagnosis> {
    match terms(files) {
        Ok(TlsTerms { certificate, revocations_end }) => {
            let revocations = revocations_end.map(|ends| of_revocations(ends.date_naive(), today));
            std::iter::once(of_certificate(certificate, today)).chain(revocations).collect()
        }
        Err(error) => {
            let trouble = Trouble {
                what: Chain(&error).to_string(),
                why: "`noshi serve` ends with the same words, and one that runs keeps what it had before".to_owned(),
                way_out: "compare the files with what issued them; with cert-manager, look at the Certificate's events"
                    .to_owned(),
            };
            vec![Diagnosis::broken("server.tls_certificate_file", trouble)]
        }
    }
}

fn of_revocations(ends: NaiveDate, today: NaiveDate) -> Diagnosis {
    let place = "server.tls_client_crl_file";
    if today < ends {
        return Diagnosis::well(place, format!("revoked certificates are refused by lists that hold until {ends}"));
    }
    let trouble = Trouble {
        what: format!("a list is outdated since {ends}"),
        why: "callers whose certificates were revoked since are let in".to_owned(),
        way_out: "fetch the authority's new list: the file is read again without a restart".to_owned(),
    };
    Diagnosis::warning(place, trouble)
}

fn of_certificate(validity: Validity, today: NaiveDate) -> Diagnosis {
    let place = "server.tls_certificate_file";
    let (begins, ends) = (validity.begins.date_naive(), validity.ends.date_naive());
    let left = ends.signed_duration_since(today).num_days();
    let holds_now = (begins..=ends).contains(&today);
    if left >= CERTIFICATE_DAYS_MIN && holds_now {
        return Diagnosis::well(place, format!("callers are shown a certificate that ends on {ends}"));
    }
    let what = match (left < 0, holds_now) {
        (true, _) => format!("ended on {ends}"),
        (false, true) => format!("ends on {ends}, in {left} days"),
        (false, false) => "does not hold yet".to_owned(),
    };
    let trouble = Trouble {
        what,
        why: "no caller connects while it does not hold".to_owned(),
        way_out: "put a new certificate and its key into the files: they are read again without a restart".to_owned(),
    };
    Diagnosis::warning(place, trouble)
}

fn of_account(id: &str, account: &AccountSettings, today: NaiveDate) -> Vec<Diagnosis> {
    let place = format!("accounts.{id}");
    let (marketplace, environment) = (account.marketplace, account.environment);
    let mut findings = vec![Diagnosis::well(
        &place,
        format!(
            "partner {} buys {} at {} ({}, {})",
            account.partner_id,
            marketplace.currency(),
            account.sandbox_gateway.map_or_else(|| marketplace.host(environment).to_owned(), |own| own.to_string()),
            marketplace.region(),
            environment.as_str(),
        ),
    )];
    let usual = LoginHost::of(marketplace);
    if account.login_host != usual {
        let trouble = Trouble {
            what: format!("is another region's than marketplace {}", marketplace.code()),
            why: "a shopper's token is known to the host of its own region only, so that every sign-in would fail"
                .to_owned(),
            way_out: format!("leave it out, or set {}", usual.as_str()),
        };
        findings.push(Diagnosis::warning(&format!("{place}.login_host"), trouble));
    }
    // Our own sandbox has no key that ends and no money.
    if account.sandbox_gateway.is_none() {
        findings.extend(of_keys(&place, account, today));
        if account.low_balance.is_none() {
            let trouble = Trouble {
                what: "is not set: neither an event nor an alert reports that the funds run low".to_owned(),
                why: "the account is prepaid: once it is empty, every new reward is refused".to_owned(),
                way_out: format!(
                    "set it to what is spent in the {} business days that money takes to arrive, and some days more",
                    account.funding_lead_days
                ),
            };
            findings.push(Diagnosis::warning(&format!("{place}.low_balance"), trouble));
        }
    }
    findings
}

fn of_keys(place: &str, account: &AccountSettings, today: NaiveDate) -> Vec<Diagnosis> {
    let exchange = &account.key_exchange;
    let days_max = i64::from(exchange.days_max);
    let why = format!("Amazon asks for a new key at least every {days_max} days");
    let second = exchange.second.as_ref().filter(|files| files.access_key_id.exists());
    let mut keys = vec![("access_key_created", account.access_key_created)];
    if second.is_some() {
        keys.push(("second_access_key_created", exchange.second_created));
    }
    let trouble = |created: Option<NaiveDate>| {
        let Some(created) = created else {
            return Some(Trouble {
                what: "is not set: nobody knows how old the AWS key is".to_owned(),
                why: format!("{why}, and no alert can report the end of this one"),
                way_out: "set the day on which Amazon's portal says that it was made, like \"2026-01-31\"".to_owned(),
            });
        };
        let age = today.signed_duration_since(created).num_days();
        if age < 0 {
            return Some(Trouble {
                what: format!("{created} has not come yet"),
                why: format!("{why}, and the alert on this one would come too late"),
                way_out: "compare it with Amazon's portal".to_owned(),
            });
        }
        let ends = created.checked_add_signed(TimeDelta::try_days(days_max)?)?;
        (age > days_max - BEFORE_THE_END).then(|| Trouble {
            what: format!("the AWS key is {age} days old, and ends on {ends}"),
            why: why.clone(),
            way_out: "exchange it: k8s/README.md, \"Exchanging Amazon's key pair\"".to_owned(),
        })
    };
    let finding = |(key, created): (&str, Option<NaiveDate>)| {
        Some(Diagnosis::warning(&format!("{place}.{key}"), trouble(created)?))
    };
    keys.into_iter().filter_map(finding).collect()
}

/// A file that holds a secret, and the setting that names it.
struct SecretFile {
    setting: String,
    path: PathBuf,
}

fn secret_files(settings: &Settings) -> Vec<SecretFile> {
    let mut files = Vec::new();
    let mut add = |setting: String, path: &Path| files.push(SecretFile { setting, path: path.to_owned() });
    if let Some(path) = &settings.store.url_file {
        add("store.url_file".to_owned(), path);
    }
    if let Some(TlsFiles { private_key, .. }) = &settings.server.tls {
        add("server.tls_private_key_file".to_owned(), private_key);
    }
    if let Some(path) = &settings.server.admin_token_file {
        add("server.admin_token_file".to_owned(), path);
    }
    for key in &settings.sealing.keys {
        add(format!("sealing.keys ({})", key.id), &key.file);
    }
    for (id, account) in &settings.accounts {
        if let Some(path) = &account.secret_access_key_file {
            add(format!("accounts.{id}.secret_access_key_file"), path);
        }
        if let Some(KeyFiles { secret_access_key, .. }) = &account.key_exchange.second {
            add(format!("accounts.{id}.second_secret_access_key_file"), secret_access_key);
        }
    }
    files
}

fn of_files(settings: &Settings, file: Option<&Path>) -> Vec<Diagnosis> {
    let mut files = secret_files(settings);
    if let Some(path) = file.filter(|path| holds_a_secret(path)) {
        files.push(SecretFile { setting: "--config".to_owned(), path: path.to_owned() });
    }
    if let Some(path) = settings.store.url.file() {
        files.push(SecretFile { setting: "store.url".to_owned(), path: path.to_owned() });
    }
    files.iter().filter_map(of_file).collect()
}

/// Whether a file of settings has a secret of its own. What comes from the environment is not in it, and a sandbox's secrets are
/// known to everyone.
fn holds_a_secret(file: &Path) -> bool {
    let read = || fs::read_to_string(file).ok()?.parse::<toml::Table>().ok();
    let Some(file) = read() else { return false };
    let of = |section: &str| file.get(section).and_then(toml::Value::as_table);
    let is_secret = |(_id, account): (&String, &toml::Value)| {
        account.get("secret_access_key").is_some() && account.get("sandbox_gateway").is_none()
    };
    of("server").is_some_and(|server| server.contains_key("admin_token"))
        || of("accounts").is_some_and(|accounts| accounts.iter().any(is_secret))
}

/// What others may do with a file. One that is not there, or may not be looked at, is somebody else's finding.
fn of_file(file: &SecretFile) -> Option<Diagnosis> {
    let mode = fs::metadata(&file.path).ok()?.permissions().mode() & 0o777;
    let what = match (mode & 0o004 != 0, mode & 0o022 != 0) {
        (false, false) => return None,
        (true, false) => "may be read by everyone on this machine",
        (false, true) => "may be changed by others than its owner",
        (true, true) => "may be read by everyone on this machine, and changed by others than its owner",
    };
    let path = file.path.display();
    let trouble = Trouble {
        what: format!("{path} has the mode {mode:04o}: it {what}"),
        why: "it holds a secret: who reads it can spend the account, and who changes it can stop the service"
            .to_owned(),
        way_out: format!("chmod 600 {path}; with Kubernetes, defaultMode: 0440 on the Secret's volume"),
    };
    Some(Diagnosis::warning(&file.setting, trouble))
}
