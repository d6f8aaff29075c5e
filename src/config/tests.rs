//! What settings promise, through `Settings::load` alone.
#![expect(clippy::disallowed_methods, reason = "whether a secret was read right shows only when it is opened")]

use std::{collections::BTreeSet, fs, path::PathBuf};

use secrecy::ExposeSecret;
use toml::{Table, Value};

use super::*;
use crate::kernel::Currency;

/// Found in no text that a person may see.
const CANARY: &str = "CANARYxCANARY";

const ACCOUNT: &str = r#"
    [accounts.us]
    partner_id = "Awssb"
    marketplace = "US"
    environment = "sandbox"
    access_key_id = "AKIDEXAMPLE"
    secret_access_key = "CANARYxCANARY"
"#;

fn load(file: &str, environment: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("noshi.toml");
    fs::write(&path, file).unwrap();
    Settings::load(Some(&path), environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

/// The keys complained about, without the reasons.
fn wrong(file: &str, environment: &[(&str, &str)]) -> Vec<String> {
    let error = load(file, environment).expect_err("the settings should be refused");
    assert!(!error.to_string().contains(CANARY), "{error}");
    error.mistakes().iter().map(|mistake| mistake.split(": ").next().unwrap().to_owned()).collect()
}

fn paths(prefix: &str, table: &Table) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (key, value) in table {
        match value.as_table() {
            Some(inner) => found.extend(paths(&format!("{prefix}{key}."), inner)),
            None => _ = found.insert(format!("{prefix}{key}")),
        }
    }
    found
}

fn example() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/noshi.example.toml"))
}

#[test]
fn without_file_and_environment_the_defaults_are_in_force() {
    let settings = Settings::load(None, []).unwrap();
    assert_eq!(settings.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.store.url.secret().expose_secret(), "sqlite://noshi.db");
    assert!(settings.store.migrate_on_start);
    assert!(settings.accounts.is_empty());
}

#[test]
fn the_sample_has_every_key_with_its_default() {
    let sample: Table = fs::read_to_string(example()).unwrap().parse().unwrap();
    let in_force: Table = Settings::load(Some(&example()), []).unwrap().in_force().parse().unwrap();
    assert_eq!(paths("", &sample), paths("", &in_force));
    let mut without_accounts = sample;
    without_accounts.remove("accounts").unwrap();
    without_accounts.remove("pay").unwrap();
    let defaults: Table = Settings::load(None, []).unwrap().in_force().parse().unwrap();
    assert_eq!(without_accounts, defaults);
}

#[test]
fn every_key_of_the_sample_can_be_set_from_the_environment() {
    let sample: Table = fs::read_to_string(example()).unwrap().parse().unwrap();
    let mut variables = Vec::new();
    for path in paths("", &sample) {
        let leaf = path.split('.').fold(Value::Table(sample.clone()), |value, key| value[key].clone());
        let text = leaf.as_str().map_or_else(|| leaf.to_string(), str::to_owned);
        variables.push((format!("NOSHI__{}", path.to_uppercase().replace('.', "__")), text));
    }
    let from_environment = Settings::load(None, variables).unwrap();
    assert_eq!(from_environment.in_force(), Settings::load(Some(&example()), []).unwrap().in_force());
}

#[test]
fn the_environment_wins_over_the_file() {
    let settings = load("server.workers = 3\nserver.connections_max = 5", &[("NOSHI__SERVER__WORKERS", "4")]).unwrap();
    assert_eq!((settings.server.workers, settings.server.connections_max), (4, 5));
}

#[test]
fn unknown_names_are_refused_by_name() {
    assert_eq!(wrong("[server]\nlisen = \"x\"", &[]), ["server.lisen"]);
    assert_eq!(wrong("[sever]", &[]), ["sever"]);
    assert_eq!(wrong("server = 1", &[]), ["server"]);
    assert_eq!(wrong("\"server.listen\" = \"127.0.0.1:1\"", &[]), ["\"server.listen\""]);
    assert_eq!(wrong("", &[("NOSHI__SERVER__LISEN", CANARY)]), ["server.lisen"]);
    assert_eq!(wrong("", &[("NOSHI__Server__Listen", CANARY)]), ["\"NOSHI__Server__Listen\""]);
    assert_eq!(wrong("", &[("NOSHI__", CANARY)]), [""]);
    assert_eq!(wrong(&format!("{ACCOUNT}\nsession_token = \"{CANARY}\""), &[]), ["accounts.us.session_token"]);
    // Kubernetes sets these for a service called noshi.
    load("", &[("NOSHI_PORT", "tcp://10.0.0.1:80"), ("NOSHI_SERVICE_HOST", "10.0.0.1")]).unwrap();
}

#[test]
fn an_account_deals_in_gift_codes_unless_it_lists_its_kinds() {
    let kinds =
        |more: &str, environment| load(&format!("{ACCOUNT}{more}"), environment).unwrap().accounts["us"].kinds.clone();
    assert_eq!(kinds("", &[]), ["gift_code"]);
    assert_eq!(kinds("kinds = [\"a\", \"b\"]", &[]), ["a", "b"]);
    assert_eq!(kinds("kinds = [\"a\"]", &[("NOSHI__ACCOUNTS__US__KINDS", "[\"c\", \"d\"]")]), ["c", "d"]);
    for bad in ["[]", "[\"a\", \"a\"]", "[1]", "\"gift_code\"", "[\"CANARYxCANARY\", 7]"] {
        assert_eq!(wrong(&format!("{ACCOUNT}kinds = {bad}"), &[]), ["accounts.us.kinds"], "{bad}");
    }
}

#[test]
fn a_kind_that_the_program_cannot_serve_is_named_and_nothing_else_is_quoted() {
    let kinds = [KnownKind { word: "card", acts: false }, KnownKind { word: "top_up", acts: true }];
    let mistakes = |listed: &str, more: &str| {
        let file = ACCOUNT.replace("[accounts.us]", &format!("{more}\n[accounts.us]\nkinds = {listed}"));
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("noshi.toml");
        fs::write(&path, file).unwrap();
        Settings::load_for(&kinds, Some(&path), []).err().map_or_else(Vec::new, |error| error.mistakes().to_vec())
    };
    assert_eq!(mistakes("[\"card\"]", ""), [""; 0]);
    assert_eq!(
        mistakes("[\"gift\", \"top_up\", \"voucher\"]", ""),
        [
            "accounts.us.kinds: there is no kind gift; there are card top_up",
            "accounts.us.kinds: top_up acts on something: list a key in sealing.keys",
            "accounts.us.kinds: there is no kind voucher; there are card top_up",
        ]
    );
    for secret in [CANARY, "wjalrxutnfemikmdengbpxrficyexamplekeywwww", "akid1"] {
        let said = mistakes(&format!("[\"{secret}\"]"), "");
        assert_eq!(said, ["accounts.us.kinds: there is no such kind as one of those listed; there are card top_up"]);
    }
    let said = mistakes("[\"top_up\"]", "[sealing]\nkeys = 3");
    assert_eq!(
        (said.len(), said[0].starts_with("sealing.keys: ")),
        (1, true),
        "one mistake is reported once: {said:?}"
    );
}

#[test]
fn one_run_tells_every_mistake() {
    let file = r#"
        [server]
        workers = 65
        listen = "x"
        [rewards]
        lease_seconds = "20"
        upstream_timeout_seconds = 0
        [accounts.a]
    "#;
    let expected = [
        "server.listen",
        "server.workers",
        "rewards.lease_seconds",
        "rewards.upstream_timeout_seconds",
        "accounts.a.partner_id",
        "accounts.a.marketplace",
        "accounts.a.environment",
        "accounts.a.access_key_id",
        "accounts.a.secret_access_key",
    ];
    assert_eq!(wrong(file, &[]), expected);
}

#[test]
fn a_production_database_is_not_made_by_a_start_unless_that_is_set() {
    let created = |file: &str| load(file, &[]).unwrap().store.create_on_start;
    let production = ACCOUNT.replace("sandbox", "production");
    assert!(created("") && created(ACCOUNT));
    assert!(!created(&production));
    assert!(created(&format!("{production}\n[store]\ncreate_on_start = true")));
    assert!(!created(&format!("{ACCOUNT}\n[store]\ncreate_on_start = false")));
}

#[test]
fn a_start_waits_for_as_long_as_the_process_before_it_may_drain() {
    let waits = |file: &str| load(file, &[]).unwrap().store.lock_wait.as_secs();
    assert_eq!(waits(""), 25);
    assert_eq!(waits("[server]\ndrain_delay_seconds = 10\ndrain_timeout_seconds = 40"), 55);
    assert_eq!(waits("[store]\nlock_wait_seconds = 3"), 3);
}

#[test]
fn limits_hold() {
    for (key, below, above) in [
        ("server.workers", 0, 65),
        ("server.drain_timeout_seconds", 11, 601),
        ("rewards.replay_age_limit_days", 0, 51),
        ("rewards.retention_days", 89, 36_501),
        ("rewards.redelivery_hours", 0, 25),
        ("rewards.redelivery_max", -1, 21),
        ("rewards.answer_within_seconds", 0, 11),
        ("rewards.upstream_timeout_seconds", 0, 7),
        ("balances.poll_seconds", 1, 3601),
        ("balances.confirm_seconds", 0, 3601),
    ] {
        for value in [below, above, i64::MIN, i64::MAX] {
            assert_eq!(wrong(&format!("{key} = {value}"), &[]), [key], "{value}");
        }
    }
    assert_eq!(wrong("", &[("NOSHI__SERVER__WORKERS", CANARY)]), ["server.workers"]);
    assert_eq!(wrong("", &[("NOSHI__STORE__MIGRATE_ON_START", "1")]), ["store.migrate_on_start"]);
    assert_eq!(wrong("[log]\nformat = \"xml\"\nfilter = \"a=b=c\"", &[]), ["log.format", "log.filter"]);
}

#[test]
fn risky_combinations_are_refused() {
    assert_eq!(wrong("[rewards]\nlease_seconds = 15", &[]), ["rewards.lease_seconds"]);
    assert_eq!(wrong("[rewards]\nanswer_within_seconds = 6", &[]), ["rewards.answer_within_seconds"]);
    assert_eq!(wrong("[balances]\nstale_after_seconds = 60", &[]), ["balances.stale_after_seconds"]);
    assert_eq!(wrong("[server]\nadmin_listen = \"0.0.0.0:8080\"", &[]), ["server.admin_listen"]);
    assert_eq!(wrong("[store]\nurl = \"postgres://u:CANARYxCANARY@db/noshi\"", &[]), ["store.url"]);
    let production = ACCOUNT.replace("sandbox", "production");
    load(&production, &[]).unwrap();
    assert_eq!(
        wrong(&format!("{production}\nsandbox_gateway = \"127.0.0.1:1\""), &[]),
        ["accounts.us.sandbox_gateway"]
    );
    assert_eq!(wrong(&format!("{ACCOUNT}\nsandbox_gateway = \"10.0.0.1:1\""), &[]), ["accounts.us.sandbox_gateway"]);
    let proxied = |more: &str| format!("{ACCOUNT}\nhttps_proxy = \"http://{more}proxy:3128\"");
    let shown = load(&proxied(""), &[]).unwrap().in_force();
    assert!(shown.contains("https_proxy = \"http://proxy:3128\""), "{shown}");
    for bad in [proxied("user:CANARYxCANARY@"), proxied("") + "\nsandbox_gateway = \"127.0.0.1:1\""] {
        assert_eq!(wrong(&bad, &[]), ["accounts.us.https_proxy"]);
    }
    for date in ["2026-02-30", "31.01.2026", ""] {
        let created = format!("{ACCOUNT}\naccess_key_created = \"{date}\"");
        assert_eq!(wrong(&created, &[]), ["accounts.us.access_key_created"], "{date:?}");
    }
    let twins = format!("{ACCOUNT}{}", ACCOUNT.replace("accounts.us", "accounts.us-2"));
    assert_eq!(wrong(&twins, &[]), ["accounts.us-2"]);
    load(&twins.replacen("sandbox", "production", 1), &[]).unwrap();
}

#[test]
fn a_schema_changes_by_itself_on_sqlite_only() {
    let postgres = "[store]\nurl = \"postgres://u@127.0.0.1/noshi\"";
    assert!(!load(postgres, &[]).unwrap().store.migrate_on_start);
    assert!(load(postgres, &[("NOSHI__STORE__MIGRATE_ON_START", "true")]).unwrap().store.migrate_on_start);
}

#[test]
fn ids_and_secrets_that_look_like_numbers_stay_text() {
    let environment = [
        ("NOSHI__ACCOUNTS__US__PARTNER_ID", "00123"),
        ("NOSHI__ACCOUNTS__US__SECRET_ACCESS_KEY", "1e5"),
        ("NOSHI__ACCOUNTS__US__REWARD_MAXIMUM", "10.00"),
    ];
    let settings = load(ACCOUNT, &environment).unwrap();
    let account = &settings.accounts["us"];
    assert_eq!(account.partner_id, "00123");
    assert_eq!(account.secret_access_key.expose_secret(), "1e5");
    assert_eq!(account.reward_maximum, Money::from_minor(1000, Currency::Usd));
    assert_eq!(wrong(&ACCOUNT.replace("\"Awssb\"", "123"), &[]), ["accounts.us.partner_id"]);
    assert_eq!(wrong(&format!("{ACCOUNT}\nreward_maximum = 10.00"), &[]), ["accounts.us.reward_maximum"]);
}

#[test]
fn rewards_stay_inside_what_amazon_publishes_or_the_contract_says() {
    let settings = load(ACCOUNT, &[]).unwrap();
    let account = &settings.accounts["us"];
    let usd = |minor| Money::from_minor(minor, Currency::Usd);
    assert_eq!((account.reward_minimum, account.reward_maximum), (usd(15), usd(200_000)));
    let contract = load(&format!("{ACCOUNT}\nreward_minimum = \"0.01\"\nreward_maximum = \"5000.00\""), &[]).unwrap();
    let account = &contract.accounts["us"];
    assert_eq!((account.reward_minimum, account.reward_maximum), (usd(1), usd(500_000)));
    for value in ["0.00", "5", "-1.00", CANARY] {
        assert_eq!(
            wrong(&format!("{ACCOUNT}\nreward_maximum = \"{value}\""), &[]),
            ["accounts.us.reward_maximum"],
            "{value}"
        );
    }
    let crossed = format!("{ACCOUNT}\nreward_minimum = \"2.00\"\nreward_maximum = \"1.00\"");
    assert_eq!(wrong(&crossed, &[]), ["accounts.us.reward_minimum"]);
    let unknown_maximum = ACCOUNT.replace("\"US\"", "\"DE\"");
    assert_eq!(wrong(&unknown_maximum, &[]), ["accounts.us.reward_maximum"]);
    load(&format!("{unknown_maximum}\nreward_maximum = \"5000.00\""), &[]).unwrap();
}

#[test]
fn accounts_of_one_partner_have_its_one_rate() {
    let abroad = ACCOUNT.replace("accounts.us", "accounts.abroad").replace("\"US\"", "\"CA\"");
    let both = format!("{ACCOUNT}\nrequests_per_second = 5\n{abroad}\nreward_maximum = \"10.00\"");
    assert_eq!(wrong(&both, &[]), ["accounts.us.requests_per_second"]);
    load(&format!("{both}\nrequests_per_second = 5"), &[]).unwrap();
}

#[test]
fn account_names_and_partner_ids_are_plain() {
    let long = "a".repeat(33);
    assert_eq!(wrong(&ACCOUNT.replace("accounts.us", &format!("accounts.{long}")), &[]), [format!("accounts.{long}")]);
    assert!(wrong(&ACCOUNT.replace("accounts.us", "accounts.US"), &[]).contains(&"accounts.\"US\"".to_owned()));
    for id in ["", "123456789", "a b", "a-b", "é"] {
        assert_eq!(wrong(&ACCOUNT.replace("Awssb", id), &[]), ["accounts.us.partner_id"], "{id}");
    }
    assert_eq!(wrong(&ACCOUNT.replace("AKIDEXAMPLE", "ASIAEXAMPLE"), &[]), ["accounts.us.access_key_id"]);
    assert_eq!(wrong(&ACCOUNT.replace("AKIDEXAMPLE", "a/b"), &[]), ["accounts.us.access_key_id"]);
}

#[test]
fn a_secret_may_be_in_a_file_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    let without = ACCOUNT.replace("secret_access_key = \"CANARYxCANARY\"", "");
    let variable = [("NOSHI__ACCOUNTS__US__SECRET_ACCESS_KEY_FILE", path.to_str().unwrap())];
    let key = "accounts.us.secret_access_key_file";

    assert_eq!(wrong(&without, &variable), [key], "there is no file");
    for (content, secret) in
        [("s3cret", "s3cret"), ("s3cret\n", "s3cret"), ("s3cret\r\n", "s3cret"), ("\u{feff}s3cret\r\n", "s3cret")]
    {
        fs::write(&path, content).unwrap();
        let settings = load(&without, &variable).unwrap();
        assert_eq!(settings.accounts["us"].secret_access_key.expose_secret(), secret);
    }
    assert_eq!(wrong(ACCOUNT, &variable), [key], "both are set");
    for content in [&b""[..], b"\n", b"CANARYxCANARY\n\n", b" CANARYxCANARY", b"CANARYxCANARY\xff", &[b'x'; 5000]] {
        fs::write(&path, content).unwrap();
        assert_eq!(wrong(&without, &variable), [key], "{content:?}");
    }
    assert_eq!(wrong(&without, &[]), ["accounts.us.secret_access_key"], "it is required");
}

#[test]
fn no_text_of_ours_quotes_a_secret() {
    let settings = load(
        &format!("{ACCOUNT}\n[store]\nurl = \"postgres://app:CANARYxCANARY@127.0.0.1/noshi?options=CANARYxCANARY\""),
        &[("NOSHI__ACCOUNTS__US__ACCESS_KEY_ID", CANARY)],
    )
    .unwrap();
    for text in [settings.in_force(), format!("{settings:?}"), format!("{settings:#?}")] {
        assert!(!text.contains(CANARY), "{text}");
    }
    assert!(settings.in_force().contains("url = \"postgres://app@127.0.0.1/noshi?options=[hidden]\"\n"));
    assert_eq!(settings.in_force().matches("\"[hidden]\"").count(), 2);

    // A file that is no TOML, broken in every way at every place.
    for at in 0..ACCOUNT.len() {
        for junk in ["\"", "[", "=", "\\", "\u{1}", "\n", "'''"] {
            let (before, after) = ACCOUNT.split_at(at);
            if let Err(error) = load(&format!("{before}{junk}{after}"), &[]) {
                assert!(!error.to_string().contains("CANARY"), "{error}");
            }
        }
    }
    assert!(load("\n\nx = CANARYxCANARY", &[]).unwrap_err().to_string().ends_with("is not TOML at line 3"));
    assert!(Settings::load(Some(std::path::Path::new("/nonexistent/noshi.toml")), []).is_err());
}

#[test]
fn of_the_environment_only_our_variables_are_read() {
    let variables = process_environment().unwrap();
    let ours = |name: &str| name.starts_with("NOSHI__") || source::STANDARD.contains(&name);
    assert!(variables.iter().all(|(name, _value)| ours(name)), "there are others, like PATH");
}

#[test]
fn a_name_that_the_database_would_refuse_is_refused_here() {
    // Shaped like a claim code; every write for such an account would fail a CHECK.
    for name in ["main-europe-west", "loyalty-brand1-sandbox"] {
        let account = ACCOUNT.replace("accounts.us", &format!("accounts.{name}"));
        assert_eq!(wrong(&account, &[]), [format!("accounts.{name}")]);
    }
}

#[test]
fn sealing_keys_are_listed_by_id_and_lie_in_files() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let drawn = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    let (new, old, bad) =
        (file("new", &format!("{drawn}\n")), file("old", &drawn.replace('1', "2")), file("bad", CANARY));
    let list = |keys: &[(&str, &str)]| {
        let keys = keys.iter().map(|(id, file)| format!("{{ id = \"{id}\", file = \"{file}\" }}"));
        format!("[{}]", keys.collect::<Vec<_>>().join(", "))
    };
    let both = list(&[("2026-11", &new), ("2026-05", &old)]);
    let from_file = load(&format!("[sealing]\nkeys = {both}"), &[]).unwrap();
    let from_environment = load("", &[("NOSHI__SEALING__KEYS", &both)]).unwrap();
    for settings in [from_file, from_environment] {
        let ids: Vec<&str> = settings.sealing.keys.iter().map(|key| key.id.as_str()).collect();
        assert_eq!(ids, ["2026-11", "2026-05"]);
        assert_eq!(settings.sealing.keys[0].key.expose_secret()[31], 31);
        let shown = settings.in_force();
        assert!(shown.contains(&format!("[sealing]\nkeys = {both}\n")), "{shown}");
        assert!(!format!("{settings:?}").contains("10, 11, 12"), "a key is debugged");
    }
    let missing = directory.path().join("none").display().to_string();
    for keys in [
        list(&[("2026-11", &new), ("2026-11", &old)]),
        list(&[("2026_11", &new)]),
        list(&[("2026-11", &new), ("2026-12", &file("copy", drawn))]),
        list(&[("a", &bad)]),
        list(&[("a", &missing)]),
        "[\"CANARYxCANARY\"]".to_owned(),
        "[{ id = \"a\" }]".to_owned(),
        format!("[{{ id = \"a\", file = \"{new}\", key = \"{CANARY}\" }}]"),
        "3".to_owned(),
    ] {
        assert_eq!(wrong(&format!("[sealing]\nkeys = {keys}"), &[]), ["sealing.keys"], "{keys}");
    }
    assert_eq!(wrong("", &[("NOSHI__SEALING__KEYS", CANARY)]), ["sealing.keys"]);
}

#[test]
fn a_sellers_account_has_the_keys_of_its_driver_and_no_others() {
    let shared = "[pay.shop]\nregion = \"jp\"\nenvironment = \"sandbox\"\n";
    let older = "driver = \"mws\"\nseller_id = \"A1\"\naccess_key_id = \"AKID\"\nsecret_access_key = \"s\"\n";
    let settings = load(&format!("{shared}{older}"), &[]).unwrap();
    assert!(matches!(&settings.pay["shop"].driver, PayDriverSettings::Mws { seller_id, .. } if seller_id == "A1"));
    assert!(!settings.in_force().contains("\"s\""), "the secret is not shown");
    let both = format!("{shared}{older}public_key_id = \"SANDBOX-A\"\nprivate_key = \"{CANARY}\"");
    assert_eq!(wrong(&both, &[]), ["pay.shop.private_key", "pay.shop.public_key_id"]);
    assert_eq!(
        wrong(&format!("{shared}{}", older.replace("secret_access_key = \"s\"", "")), &[]),
        ["pay.shop.secret_access_key"]
    );
    assert_eq!(wrong(&format!("{shared}{}", older.replace("A1", "A 1")), &[]), ["pay.shop.seller_id"]);
    assert!(wrong(&format!("{shared}{}", older.replace("mws", "v3")), &[]).contains(&"pay.shop.driver".to_owned()));
}
