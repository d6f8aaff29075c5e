//! Settings files that are broken, each in one way: `noshi check` ends with 2 and names the setting, what is wrong with it and
//! what is expected.

use std::fs;

use tempfile::TempDir;

use super::noshi;

const SECRET: &str = "CANARYxCANARY";
const GOOD: &str = r#"
    [accounts.jp]
    partner_id = "Awssb"
    marketplace = "JP"
    environment = "sandbox"
    access_key_id = "AKIDEXAMPLE"
    secret_access_key = "CANARYxCANARY"
    reward_maximum = "50000"
"#;

/// What `noshi check` says of a settings file, and its exit code.
fn checked(file: &str) -> (Option<i32>, String) {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("noshi.toml"), file).unwrap();
    let output = noshi().args(["check", "--config", "noshi.toml"]).current_dir(folder.path()).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Lines that come first, a setting of the account instead of its good one, the line that must be said.
const TOP: [(&str, &str); 35] = [
    ("[server]\nlisen = \"127.0.0.1:1\"", "server.lisen: no such setting; did you mean server.listen?"),
    ("[sever]\nworkers = 2", "sever.workers: no such setting; did you mean server.workers?"),
    ("[sever]", "sever: no such section; did you mean server?"),
    ("[acounts.germany]\nmarketplace = \"DE\"", "acounts.germany.marketplace: no such setting; did you mean accounts?"),
    ("[log]\nfromat = \"json\"", "log.fromat: no such setting; did you mean log.format?"),
    ("[rewards]\nzqzqzqzqzqzq = 1", "rewards.zqzqzqzqzqzq: no such setting (noshi.toml)"),
    ("[server]\nlisten = 8080", "server.listen: must be text, in quotes"),
    ("[server]\nlisten = \"localhost\"", "server.listen: must be an address with a port, like 127.0.0.1:8080"),
    ("[server]\nadmin_listen = \"127.0.0.1:8080\"", "server.admin_listen: must be another port than server.listen"),
    ("[server]\nadmin_token = \"short\"", "server.admin_token: must be 24 to 256 printable ASCII"),
    ("[server]\nadmin_token_file = \"none\"", "server.admin_token_file: cannot be read: No such file"),
    ("[server]\nworkers = 0", "server.workers: must be a whole number from 1 to 64"),
    ("[server]\nworkers = \"two\"", "server.workers: must be a whole number from 1 to 64"),
    ("[server]\nidle_timeout_seconds = 1.5", "server.idle_timeout_seconds: must be a whole number from 1 to 3600"),
    ("[server]\ntls_certificate_file = \"a\"", "server.tls_private_key_file: is required: the certificate is set"),
    ("[server]\ntls_client_ca_file = \"a\"", "server.tls_client_ca_file: needs tls_certificate_file and"),
    ("[server]\ntls_client_crl_file = \"a\"", "server.tls_client_crl_file: needs tls_client_ca_file"),
    ("[store]\nurl = \"mysql://a\"", "store.url: must begin with sqlite:// or postgres://"),
    ("[store]\nurl = \"sqlite://:memory:\"", "store.url: must name a file"),
    (
        "[store]\nurl = \"postgres://u@db.example/n\"",
        "store.url: leads to another machine: it must say sslmode=verify-full",
    ),
    ("[store]\nmigrate_on_start = \"yes\"", "store.migrate_on_start: must be true or false"),
    ("[log]\nformat = \"xml\"", "log.format: must be json or human"),
    ("[log]\nfilter = \"noshi=loud\"", "log.filter: must be a level, or directives like info,noshi=debug"),
    ("[rewards]\nlease_seconds = 1", "rewards.lease_seconds: must be at least rewards.upstream_timeout_seconds + "),
    (
        "[rewards]\nanswer_within_seconds = 1",
        "rewards.answer_within_seconds: must be more than rewards.upstream_timeout",
    ),
    ("[rewards]\nredelivery_hours = 25", "rewards.redelivery_hours: must be a whole number from 1 to 24"),
    ("[rewards]\nreplay_while_waited = 1", "rewards.replay_while_waited: must be true or false"),
    ("[balances]\nstale_after_seconds = 3", "balances.stale_after_seconds: must be more than balances.poll_seconds"),
    ("[reconciliation]\nhour = 24", "reconciliation.hour: must be a whole number from 1 to 23"),
    ("[sealing]\nkeys = \"a\"", "sealing.keys: must be a list of tables, like [{ id = \"a\", file = \"b\" }]"),
    ("[sealing]\nkeys = [{ id = \"a\" }]", "sealing.keys: each key must have an id and a file, in quotes"),
    ("[traces]\nendpoint = \"collector\"", "traces.endpoint: must be an address like http://127.0.0.1:4318"),
    ("server = 1", "server: no such setting"),
    ("[server]\nlisten =", "noshi.toml: is not TOML at line 2"),
    ("[server]\n[server]", "noshi.toml: is not TOML at line "),
];

/// A setting of the account, in place of the good one or beside the others.
const OF_THE_ACCOUNT: [(&str, &str); 18] = [
    ("partner_id = \"a-b\"", "accounts.jp.partner_id: must be 1 to 8 ASCII letters and digits"),
    ("partner_id = 7", "accounts.jp.partner_id: must be text, in quotes"),
    ("partner_di = \"Awssb\"", "accounts.jp.partner_di: no such setting; did you mean accounts.jp.partner_id?"),
    ("marketplace = \"XX\"", "accounts.jp.marketplace: "),
    ("environment = \"prod\"", "accounts.jp.environment: must be sandbox or production"),
    ("access_key_id = \"ASIAEXAMPLE\"", "accounts.jp.access_key_id: is a temporary key"),
    ("access_key_id = \"a/b\"", "accounts.jp.access_key_id: must be "),
    ("secret_access_key = \"\"", "accounts.jp.secret_access_key: must be "),
    (
        "secret_access_key_file = \"none\"",
        "accounts.jp.secret_access_key_file: is set as well as secret_access_key; set one",
    ),
    (
        "access_key_created = \"31.01.2026\"",
        "accounts.jp.access_key_created: must be a date in quotes, like \"2026-01-31\"",
    ),
    ("reward_maximum = 50000", "accounts.jp.reward_maximum: must be text, in quotes"),
    ("reward_maximum = \"0\"", "accounts.jp.reward_maximum: must be more than nothing"),
    ("reward_maximum = \"1.50\"", "accounts.jp.reward_maximum: "),
    ("reward_minimum = \"60000\"", "accounts.jp.reward_minimum: is more than reward_maximum"),
    ("kinds = []", "accounts.jp.kinds: must list at least one kind of reward, and each once"),
    ("kinds = [\"gift_cod\"]", "accounts.jp.kinds: there is no kind gift_cod; there are gift_code"),
    ("time_zone = \"Tokyo\"", "accounts.jp.time_zone: must be a name of the IANA time zone database, like Asia/Tokyo"),
    ("sandbox_gateway = \"10.0.0.1:1\"", "accounts.jp.sandbox_gateway: must be a loopback address"),
];

/// The good account with this setting.
fn account_with(setting: &str) -> String {
    let key = setting.split(" =").next().unwrap();
    let others = GOOD.lines().filter(|line| !line.trim_start().starts_with(&format!("{key} =")));
    others.chain([setting]).map(|line| format!("{line}\n")).collect()
}

#[test]
fn each_broken_setting_is_named_with_what_is_expected() {
    assert_eq!(checked(GOOD), (Some(0), checked(GOOD).1), "what the cases break is good");
    let of_the_account = OF_THE_ACCOUNT.map(|(setting, says)| (account_with(setting), says));
    let missing = ["partner_id", "marketplace", "environment", "access_key_id", "secret_access_key"];
    let missing = missing.map(|key| {
        let kept = GOOD.lines().filter(|line| !line.trim_start().starts_with(&format!("{key} =")));
        (kept.map(|line| format!("{line}\n")).collect(), format!("accounts.jp.{key}: is required"))
    });
    let cases = TOP.iter().map(|(top, says)| (format!("{top}\n{GOOD}"), *says)).chain(of_the_account);
    let cases = cases.map(|(file, says)| (file, says.to_owned())).chain(missing);
    let (mut wrong, mut all) = (Vec::new(), 0);
    for (file, says) in cases {
        let (code, said) = checked(&file);
        let line = said.lines().find(|line| line.trim_start().starts_with(&says));
        if code != Some(2) || line.is_none() || said.contains(SECRET) {
            wrong.push(format!("{code:?}: {says} is missing in\n{said}"));
        }
        all += 1;
    }
    assert!(wrong.is_empty(), "{} of {all}:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(all, 58);
}

#[test]
fn all_broken_settings_are_named_at_once() {
    // Two files cannot both hold a section, and what is no TOML hides the rest.
    let broken = [
        "server.workers = 0",
        "log.format = \"xml\"",
        "store.url = \"mysql://a\"",
        "rewards.lease_seconds = 1",
        "balances.stale_after_seconds = 3",
        "reconciliation.huor = 1",
    ];
    let (code, said) = checked(&format!("{}\n{}", broken.join("\n"), account_with("partner_id = \"a-b\"")));
    assert_eq!(code, Some(2), "{said}");
    let names = broken.iter().map(|line| line.split(' ').next().unwrap());
    for name in names.chain(["accounts.jp.partner_id"]) {
        assert_eq!(said.matches(&format!("\n  {name}: ")).count(), 1, "{name}:\n{said}");
    }
}
