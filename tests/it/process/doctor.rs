//! `noshi doctor` and what `noshi check` warns of: each finding has a place, a reason and a way out, and the exit code is one that
//! a pipeline can use.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Output};

use noshi::sandbox::{Fault, FaultRule, Operation};
use serde_json::Value;
use tempfile::TempDir;

use super::noshi;
use crate::support::{ACCESS_KEY_ID, App, Backend, PARTNER, SECRET_ACCESS_KEY};

/// A finding, as text, and how the command ended.
struct Found {
    code: Option<i32>,
    report: Value,
    text: String,
}

impl Found {
    fn of(output: &Output) -> Self {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let report = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr)));
        assert!(!text.contains(SECRET_ACCESS_KEY) && !text.contains("[hidden]"), "{text}");
        Self { code: output.status.code(), report, text }
    }

    /// The findings of a state.
    fn in_state(&self, state: &str) -> Vec<&Value> {
        let all = self.report["findings"].as_array().unwrap().iter();
        let found: Vec<&Value> = all.filter(|finding| finding["state"] == state).collect();
        for finding in &found {
            for part in ["place", "what", "why", "way_out"] {
                let told = finding[part].as_str().is_some_and(|text| !text.is_empty());
                assert!(told || state == "well", "{finding} has no {part}");
            }
        }
        found
    }

    /// The only finding that is broken.
    fn broken(&self) -> &Value {
        let broken = self.in_state("broken");
        assert_eq!((self.code, broken.len(), &self.report["state"]), (Some(1), 1, &"broken".into()), "{}", self.text);
        broken[0]
    }

    fn is_well(&self, place: &str) -> bool {
        self.in_state("well").iter().any(|finding| finding["place"] == place)
    }
}

fn doctor(app: &App, more: &[(&str, &str)]) -> Found {
    let mut command = noshi();
    command.args(["doctor", "--json"]).envs(app.environment().iter().cloned()).envs(more.iter().copied());
    Found::of(&command.output().unwrap())
}

async fn stopped(backend: Backend) -> App {
    let mut app = App::spawn(backend).await;
    assert!(app.stop().await);
    app
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_well_is_said_to_be_beside_a_service_that_runs() {
    let app = App::spawn(Backend::Sqlite).await;
    let found = doctor(&app, &[]);
    assert_eq!((found.code, &found.report["state"]), (Some(0), &"well".into()), "{}", found.text);
    for place in ["store", "schema", "durability", "writes", "accounts.main"] {
        assert!(found.is_well(place), "{place}: {}", found.text);
    }
    assert!(found.text.contains("our clock is Amazon's") && found.text.contains("Amazon takes the key pair; funds "));
    assert_eq!(app.issue("after", "1.00").await.status, 201, "nothing is left held");
    app.end().await;
}

/// One answer of Amazon's, and words of what the doctor makes of it.
struct Refused {
    fault: Fault,
    what: &'static str,
    way_out: &'static str,
}

fn code(code: &str, error_type: &str, what: &'static str, way_out: &'static str) -> Refused {
    let fault = Fault::FCode { code: code.to_owned(), error_type: error_type.to_owned(), after_work: false };
    Refused { fault, what, way_out }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_refusal_of_amazons_is_explained() {
    let app = stopped(Backend::Sqlite).await;
    let refusals = [
        code("F200", "InvalidPartnerId", "the partner id is not that of the key pair", "partner_id, environment"),
        code("F300", "AccessDenied", "no contract for this", "partner support"),
        code("F300", "CustomerAccountBlocked", "blocked", "partner support"),
        code("F300", "NobodyKnowsThis", "a problem at Amazon", "partner support"),
        code("F200", "NobodyKnowsThis", "invalid", "partner_id Awssb"),
        code("F100", "GeneralError", "no answer that can be understood (F100)", "again"),
        Refused { fault: Fault::DropBeforeWork, what: "(connection_lost)", way_out: "firewall" },
    ];
    for Refused { fault, what, way_out } in refusals {
        let rule = FaultRule { operation: Some(Operation::GetAvailableFunds), ..FaultRule::once(fault.clone()) };
        app.control.script(rule).unwrap();
        let found = doctor(&app, &[]);
        let broken = found.broken();
        assert_eq!(broken["place"], "accounts.main", "{fault:?}");
        assert!(broken["what"].as_str().unwrap().contains(what), "{fault:?}: {broken}");
        assert!(broken["way_out"].as_str().unwrap().contains(way_out), "{fault:?}: {broken}");
    }
    let rule = FaultRule { operation: Some(Operation::GetAvailableFunds), ..FaultRule::once(Fault::Throttle) };
    app.control.script(rule).unwrap();
    let found = doctor(&app, &[]);
    assert_eq!((found.code, found.in_state("warning").len()), (Some(0), 1), "{}", found.text);

    let wrong = doctor(&app, &[("NOSHI__ACCOUNTS__MAIN__SECRET_ACCESS_KEY", "not-the-secret-of-this-key")]);
    assert!(wrong.broken()["what"].as_str().unwrap().contains("refuses the signature"), "{}", wrong.text);
    app.control.set_key_active(ACCESS_KEY_ID, false).unwrap();
    let inactive = doctor(&app, &[]);
    assert!(inactive.broken()["what"].as_str().unwrap().contains("does not know the access key"), "{}", inactive.text);
    app.control.set_key_active(ACCESS_KEY_ID, true).unwrap();
    let gone = doctor(&app, &[("NOSHI__ACCOUNTS__MAIN__SANDBOX_GATEWAY", "127.0.0.1:1")]);
    let broken = gone.broken();
    assert!(broken["what"].as_str().unwrap().contains("no connection to http://127.0.0.1:1"), "{broken}");
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_not_amazons_and_funds_that_are_low_are_warnings() {
    let app = stopped(Backend::Sqlite).await;
    app.control.set_signature_skew(3_600).unwrap();
    app.control.set_funds(PARTNER, 5.into()).unwrap();
    let low = ("NOSHI__ACCOUNTS__MAIN__LOW_BALANCE", "10.00");
    let found = doctor(&app, &[low]);
    let warnings = found.in_state("warning");
    let texts: Vec<&str> = warnings.iter().map(|warning| warning["what"].as_str().unwrap()).collect();
    assert_eq!((found.code, texts.len()), (Some(0), 2), "{}", found.text);
    assert!(texts[0].contains(" s behind Amazon's") && texts[1].contains("funds 5.00 USD are below low_balance 10.00"));
    let mut strict = noshi();
    strict.args(["doctor", "--strict"]).envs(app.environment().iter().cloned()).envs([low]);
    assert_eq!(strict.output().unwrap().status.code(), Some(1));
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_takes_no_writes_is_found_and_so_is_one_that_is_not_there() {
    let app = stopped(Backend::Postgres).await;
    let url = app.database.url().to_owned();
    let role = format!("{}_reading", url.rsplit_once('/').unwrap().1);
    app.database.execute(&format!("CREATE ROLE {role} LOGIN")).await.unwrap();
    app.database.execute(&format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")).await.unwrap();
    let reading = url.replace("//noshi@", &format!("//{role}@"));
    let found = doctor(&app, &[("NOSHI__STORE__URL", &reading)]);
    assert_eq!(found.broken()["place"], "writes", "{}", found.text);
    assert!(found.is_well("schema"), "{}", found.text);
    app.database.execute(&format!("DROP OWNED BY {role}")).await.unwrap();
    app.database.execute(&format!("DROP ROLE {role}")).await.unwrap();

    let away = doctor(&app, &[("NOSHI__STORE__URL", "postgres://noshi:hunter2@127.0.0.1:1/noshi")]);
    let broken = away.broken();
    assert!(broken["what"].as_str().unwrap().starts_with("PostgreSQL does not answer at 127.0.0.1:1: "), "{broken}");
    assert!(!away.text.contains("hunter2"), "{}", away.text);
    assert_eq!(away.in_state("warning")[0]["place"], "amazon", "its rate is in the database");
    let mut served = noshi();
    served.arg("serve").envs(app.environment().iter().cloned());
    served.env("NOSHI__STORE__URL", "postgres://noshi:hunter2@127.0.0.1:1/noshi");
    let refused = String::from_utf8(served.output().unwrap().stderr).unwrap();
    assert!(refused.contains("127.0.0.1:1: ") && !refused.contains("hunter2"), "{refused}");
    app.end().await;
}

fn written(folder: &Path, name: &str, text: &str, mode: u32) -> String {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path.display().to_string()
}

#[test]
fn check_warns_of_what_the_settings_leave_open_and_a_pipeline_may_stop_at_it() {
    let folder = TempDir::new().unwrap();
    let account = [
        ("PARTNER_ID", PARTNER.to_owned()),
        ("MARKETPLACE", "US".to_owned()),
        ("ENVIRONMENT", "production".to_owned()),
        ("ACCESS_KEY_ID", ACCESS_KEY_ID.to_owned()),
        ("SECRET_ACCESS_KEY_FILE", written(folder.path(), "secret", SECRET_ACCESS_KEY, 0o664)),
    ];
    let check = |more: &[(&str, &str)], words: &[&str]| {
        let mut command = noshi();
        let name = |key: &str| format!("NOSHI__ACCOUNTS__US__{key}");
        command.args(words).current_dir(folder.path());
        command.envs(account.iter().map(|(key, value)| (name(key), value)));
        command.envs(more.iter().map(|(key, value)| (name(key), value))).output().unwrap()
    };
    let warned = check(&[], &["check"]);
    let err = String::from_utf8_lossy(&warned.stderr).into_owned();
    assert_eq!(warned.status.code(), Some(0), "{err}");
    let places: Vec<&str> = err.lines().filter_map(|line| line.strip_prefix("warning  ")).collect();
    let expected = ["access_key_created", "low_balance", "secret_access_key_file"];
    let named = |(place, key): (&&str, &str)| place.starts_with(&format!("accounts.us.{key}: "));
    assert!(places.len() == 3 && places.iter().zip(expected).all(named), "{err}");
    assert!(
        err.contains("has the mode 0664: it may be read by everyone on this machine, and changed by others"),
        "{err}"
    );
    assert_eq!((err.matches("\n         why: ").count(), err.matches("\n         do: ").count()), (3, 3), "{err}");
    assert!(String::from_utf8_lossy(&warned.stdout).contains("[accounts.us]"));
    assert_eq!(check(&[], &["check", "--strict"]).status.code(), Some(1));

    written(folder.path(), "secret", SECRET_ACCESS_KEY, 0o440);
    let filled = [("LOW_BALANCE", "100.00"), ("ACCESS_KEY_CREATED", "2026-01-31")];
    let aged = check(&filled, &["check", "--strict"]);
    let err = String::from_utf8_lossy(&aged.stderr).into_owned();
    assert!(
        aged.status.code() == Some(1) && err.contains("the AWS key is ") && err.contains("ends on 2026-07-30"),
        "{err}"
    );
    let long = [filled[0], filled[1], ("ACCESS_KEY_DAYS", "3650")];
    let well = check(&long, &["check", "--strict"]);
    assert_eq!((well.status.code(), well.stderr.len()), (Some(0), 0), "{}", String::from_utf8_lossy(&well.stderr));
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["secret"], "a look makes no file");
}

#[test]
fn check_warns_of_webhooks_that_are_let_into_private_networks_and_go_without_tls() {
    let folder = TempDir::new().unwrap();
    let account = format!(
        "[accounts.us]\npartner_id = \"{PARTNER}\"\nmarketplace = \"US\"\nenvironment = \"sandbox\"\nsandbox_gateway = \"127.0.0.1:8081\"\n\
         access_key_id = \"{ACCESS_KEY_ID}\"\nsecret_access_key = \"{SECRET_ACCESS_KEY}\"\n"
    );
    let check = |set: &str| {
        let file = written(folder.path(), "noshi.toml", &format!("{account}[webhooks]\n{set}"), 0o600);
        let checked = noshi().args(["check", "--strict", "--config", &file]).output().unwrap();
        (checked.status.code(), String::from_utf8(checked.stderr).unwrap())
    };
    assert_eq!(check("allow_private_networks = false\nallow_plain_http = false\n"), (Some(0), String::new()));
    for (setting, opened) in [
        (
            "allow_private_networks",
            "endpoints may lie in private networks and on this machine\n         why: whoever has the scope webhooks:write",
        ),
        ("allow_plain_http", "endpoints may use http without TLS\n         why: anybody between"),
    ] {
        let (code, err) = check(&format!("{setting} = true\n"));
        assert_eq!((code, err.matches("warning").count()), (Some(1), 1), "{err}");
        assert!(err.contains(&format!("warning  webhooks.{setting}: {opened}")) && err.contains("for tests"), "{err}");
    }
}

#[test]
fn the_mode_of_the_settings_file_matters_where_it_holds_a_secret() {
    let folder = TempDir::new().unwrap();
    let account = format!(
        "[accounts.us]\npartner_id = \"{PARTNER}\"\nmarketplace = \"US\"\nenvironment = \"production\"\n\
         access_key_id = \"{ACCESS_KEY_ID}\"\n"
    );
    let check = |text: &str, environment: &[(&str, &str)]| {
        let file = written(folder.path(), "noshi.toml", text, 0o644);
        let command = noshi().args(["check", "--config", &file]).envs(environment.iter().copied()).output().unwrap();
        String::from_utf8(command.stderr).unwrap()
    };
    let inline = format!("{account}secret_access_key = \"{SECRET_ACCESS_KEY}\"\n");
    assert!(check(&inline, &[]).contains("--config: "), "{}", check(&inline, &[]));
    let from_outside = check(&account, &[("NOSHI__ACCOUNTS__US__SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)]);
    assert!(from_outside.contains("low_balance") && !from_outside.contains("--config: "), "{from_outside}");
    let token = written(folder.path(), "token", "a-token-of-the-admin-port-0123456789", 0o644);
    let with_token = check(&format!("[server]\nadmin_token_file = \"{token}\"\n{inline}"), &[]);
    assert!(with_token.contains("warning  server.admin_token_file: "), "{with_token}");
}

/// A certificate that ends on this day, and its key.
fn issued(year: i32, month: u8, day: u8) -> (String, String) {
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(year, month, day);
    let key = rcgen::KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[test]
fn check_names_each_tls_file_that_cannot_be_used_and_a_certificate_that_ends() {
    let folder = TempDir::new().unwrap();
    let text = format!(
        "[server]\ntls_certificate_file = \"{0}/tls.crt\"\ntls_private_key_file = \"{0}/tls.key\"\n[accounts.us]\n\
         partner_id = \"{PARTNER}\"\nmarketplace = \"US\"\nenvironment = \"sandbox\"\nsandbox_gateway = \"127.0.0.1:8081\"\n\
         access_key_id = \"{ACCESS_KEY_ID}\"\nsecret_access_key = \"{SECRET_ACCESS_KEY}\"\n",
        folder.path().display()
    );
    let settings = written(folder.path(), "noshi.toml", &text, 0o600);
    let check = |certificate: &str, key: &str| {
        written(folder.path(), "tls.crt", certificate, 0o600);
        written(folder.path(), "tls.key", key, 0o600);
        let checked = noshi().args(["check", "--config", &settings]).output().unwrap();
        (checked.status.code(), String::from_utf8(checked.stderr).unwrap())
    };
    let (certificate, key) = issued(2040, 1, 1);
    let (_other, other_key) = issued(2040, 1, 1);
    assert_eq!(check(&certificate, &key), (Some(0), String::new()));
    for (certificate, key, found) in [
        ("", key.as_str(), "tls.crt holds no certificate in PEM"),
        (&key, &key, "tls.crt holds no certificate in PEM"),
        (&certificate, "", "tls.key holds no private key in PEM"),
        (&certificate, &certificate, "tls.key holds no private key in PEM"),
        (&certificate, &other_key, "tls.key is not the private key of the certificate in "),
    ] {
        let (code, err) = check(certificate, key);
        assert!(
            code == Some(1) && err.contains("server.tls_certificate_file: ") && err.contains(found),
            "{found}: {err}"
        );
    }
    let (code, err) = check(&issued(2021, 5, 31).0, &key);
    assert!(code == Some(1) && err.contains("is not the private key"), "{err}");
    let (ended, its_key) = issued(2021, 5, 31);
    let (code, err) = check(&ended, &its_key);
    assert!(code == Some(0) && err.contains("server.tls_certificate_file: ended on 2021-05-31"), "{err}");
    fs::remove_file(folder.path().join("tls.key")).unwrap();
    let gone = noshi().args(["check", "--config", &settings]).output().unwrap();
    let err = String::from_utf8(gone.stderr).unwrap();
    assert!(gone.status.code() == Some(1) && err.contains("tls.key: No such file"), "{err}");
}

#[test]
fn check_without_an_account_ends_as_serve_would() {
    let folder = TempDir::new().unwrap();
    let run = |words: &[&str]| noshi().args(words).current_dir(folder.path()).output().unwrap();
    let said = "the settings name no account: add an [accounts.NAME] section";
    for words in [["check"].as_slice(), &["check", "--online"], &["doctor"], &["serve"]] {
        let output = run(words);
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "{words:?}: {text}");
        assert!(text.contains(said), "{words:?}: {text}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn migrate_says_which_file_it_made_and_says_it_once() {
    let folder = TempDir::new().unwrap();
    let migrate = || noshi().arg("migrate").current_dir(folder.path()).output().unwrap();
    let made = migrate();
    let file = folder.path().canonicalize().unwrap().join("noshi.db");
    let err = String::from_utf8_lossy(&made.stderr).into_owned();
    assert!(made.status.success() && file.exists(), "{err}");
    assert_eq!(err, format!("made the database file {}\n", file.display()));
    assert!(migrate().stderr.is_empty());
}
