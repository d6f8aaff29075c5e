//! The house plan and the house rules, read off the source: which room imports which, which crate is named where, where
//! a secret leaves its type. Each rule is a function over text and is shown a bad sample of its own.

mod arguments;
mod names;
mod text;
mod way;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use text::{Source, forbidden_attributes, imports, logged, mentions, sites};

/// The rooms from the top down. A room imports from lower ranks and from itself.
const RANKS: &[&[&str]] = &[
    &["main"],
    &["cli"],
    &["client"],
    &["bootstrap"],
    &["server"],
    &["console"],
    &["webhooks"],
    &["batches", "membership"],
    &["treasury"],
    &["incentives", "pay"],
    &["ledger"],
    &["engine"],
    &["accounts"],
    &["events"],
    &["identity"],
    &["provider"],
    &["http"],
    &["audit"],
    &["store"],
    &["sealing"],
    &["lifecycle"],
    &["telemetry"],
    &["config"],
    &["ambient", "failpoint"],
];
/// Below every rank; imports nothing of ours.
const KERNEL: &str = "kernel";
/// Stands alone: imports nothing of ours, and only these import it.
const SANDBOX: (&str, [&str; 1]) = ("sandbox", ["cli"]);
/// Crates with one home each (more for hyper's server and client), tests apart.
const HOMES: [(&str, &[&str]); 15] = [
    ("askama", &["console"]),
    ("actix_http", &["server"]),
    ("actix_server", &["server"]),
    ("actix_service", &["server"]),
    ("sqlx", &["store"]),
    ("ring", &["provider", "sandbox", "sealing", "server", "telemetry", "webhooks"]),
    ("libsqlite3_sys", &["store"]),
    ("reqwest", &["client", "provider", "webhooks"]),
    ("aws_sigv4", &["provider"]),
    ("aws_credential_types", &["provider"]),
    ("hyper", &["provider", "sandbox", "cli", "telemetry"]),
    ("hyper_util", &["provider", "sandbox", "cli", "telemetry"]),
    ("hyper_rustls", &["telemetry"]),
    ("opentelemetry_proto", &["telemetry"]),
    ("prost", &["telemetry"]),
];

/// Where a claim code becomes text, tests apart: the writer of the answer, once; the page that somebody asks for it; and the command that a
/// person asks for it.
const CLAIM_CODE_SITES: [(&str, usize); 3] =
    [("cli/rewards/one.rs", 1), ("console/reward/reveal.rs", 1), ("incentives/dto/view.rs", 1)];
/// Where the target of a reward is taken out of its type, tests apart: its kind sends it, and shows its last digits. And where the secret of
/// an endpoint is: its maker is shown it once, and it is sealed as a target is.
const TARGET_SITES: [(&str, usize); 4] = [
    ("incentives/kinds/balance_load/account.rs", 1),
    ("incentives/kinds/card_activation.rs", 1),
    ("webhooks/http/wire.rs", 1),
    ("webhooks/service.rs", 2),
];
/// Where a secret is opened, tests apart: the two halves of the key pair are signed with, and two pairs are compared; the
/// keys that seal are derived; the database's URL is opened; the admin port's token is hashed; a shopper's access token is presented, hashed, and
/// compared; a command presents the key that it was given.
const SECRET_SITES: [(&str, usize); 8] = [
    ("client/service.rs", 1),
    ("identity/admin_token.rs", 1),
    ("provider/incentives/sign.rs", 6),
    ("provider/login/shopper.rs", 3),
    ("provider/pay/key.rs", 1),
    ("provider/pay/mws/sign.rs", 1),
    ("sealing.rs", 1),
    ("store.rs", 1),
];
const LINES_MAX: usize = 500;
/// Fields of log lines that have no room in their name: what every reader of logs knows, and where a process listens.
const PLAIN_FIELDS: [&str; 7] = ["account", "admin", "api", "duration_ms", "error", "failpoint", "program"];
/// Words that no field's name has a part of: what they would hold belongs in no log.
const SECRET_FIELDS: [&str; 9] =
    ["authorization", "body", "claim_code", "code", "credential", "header", "headers", "key", "secret"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files_under(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_under(&path, found);
        } else {
            found.push(path);
        }
    }
    found.sort();
}

/// Every source file of the program, read; a file that only tests are made of is marked.
fn sources() -> Vec<Source> {
    let mut sources = sources_in("src");
    text::mark_tests(&mut sources);
    assert!(sources.len() > 60, "the source was not found: {} files", sources.len());
    sources
}

fn sources_in(folder: &str) -> Vec<Source> {
    let (folder, mut paths) = (root().join(folder), Vec::new());
    files_under(&folder, &mut paths);
    let named = |path: &PathBuf| path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned();
    let rust = paths.iter().filter(|path| path.extension().is_some_and(|end| end == "rs"));
    rust.map(|path| Source::read(&named(path), &fs::read_to_string(path).unwrap())).collect()
}

fn rank(room: &str) -> Option<usize> {
    if room == KERNEL {
        return Some(RANKS.len());
    }
    RANKS.iter().position(|rank| rank.contains(&room))
}

/// What is wrong with a room's importing another, if anything.
fn wrong_way(from: &str, to: &str) -> Option<String> {
    let (alone, its_importers) = SANDBOX;
    if from == to {
        return None;
    }
    if from == alone {
        return Some(format!("{from} stands alone, and imports {to}"));
    }
    if to == alone {
        return (!its_importers.contains(&from)).then(|| format!("{from} imports {to}, which only the cli may"));
    }
    let (Some(mine), Some(theirs)) = (rank(from), rank(to)) else {
        return Some(format!("{from} imports {to}: one of them is no room of the plan"));
    };
    (mine >= theirs).then(|| format!("{from} imports {to}, which does not lie below it"))
}

/// Every import of a file that runs up, sideways, or round.
fn wrong_imports(source: &Source) -> Vec<String> {
    // A file of tests may start the whole house around what it tests.
    if source.only_tests {
        return Vec::new();
    }
    // The crate's root declares the rooms and imports none.
    let room = source.room();
    let wrong = imports(source)
        .into_iter()
        .filter_map(|to| if room == "lib" { Some(format!("lib imports {to}")) } else { wrong_way(&room, &to) });
    wrong.map(|why| format!("{}: {why}", source.name)).collect()
}

/// Every name of a crate outside its homes.
fn strangers(source: &Source) -> Vec<String> {
    let strange = |(name, homes): &(&str, &[&str])| {
        let away = !homes.contains(&source.room().as_str()) && mentions(source, name);
        away.then(|| format!("{} names {name}", source.name))
    };
    if source.only_tests { Vec::new() } else { HOMES.iter().filter_map(strange).collect() }
}

/// How a file offends against what holds for every file.
fn offences(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    if !source.text.starts_with("//!") {
        found.push("does not begin with what it is for");
    }
    if source.text.lines().count() > LINES_MAX {
        found.push("is too long");
    }
    if forbidden_attributes(source) {
        found.push("allows a lint");
    }
    found.into_iter().map(|why| format!("{} {why}", source.name)).collect()
}

/// Fields of a file's log lines that are named as no field should be.
fn odd_fields(source: &Source) -> Vec<String> {
    let odd = |name: &&String| {
        let dotted = name.split('.').count() > 1 && !name.starts_with('.') && !name.ends_with('.');
        let secret = name.split('.').any(|part| SECRET_FIELDS.contains(&part));
        secret || !(dotted || PLAIN_FIELDS.contains(&name.as_str()))
    };
    let fields = if source.only_tests { Vec::new() } else { logged(source) };
    fields.iter().filter(odd).map(|name| format!("{} logs {name}", source.name)).collect()
}

/// Crates of a lock file that must not be there, and those of which there must be one.
fn wrong_in_lock(lock: &str) -> Vec<String> {
    let mut versions: BTreeMap<&str, usize> = BTreeMap::new();
    for name in lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')) {
        *versions.entry(name).or_default() += 1;
    }
    // `openssl-probe` looks for root certificates on the disk and links nothing.
    let foreign = |name: &&&str| {
        let tls =
            ["openssl", "native-tls", "aws-lc", "boring", "mbedtls", "wolfssl", "schannel-tls", "rustls-symcrypt"];
        tls.iter().any(|start| name.starts_with(start)) && **name != "openssl-probe"
    };
    let mut wrong: Vec<String> = versions.keys().filter(foreign).map(|name| format!("{name} is linked")).collect();
    for one in ["ring", "rustls"] {
        let count = versions.get(one).copied().unwrap_or(0);
        if count != 1 {
            wrong.push(format!("{count} versions of {one}"));
        }
    }
    wrong
}

/// Migrations from before two versions could work on one database.
const NAMELESS: usize = 6;

/// What one folder of migrations has and the other has not, numbers that are there twice, and names that do not say which
/// older programs may go on (`store/migrate.rs`). A number may be left out: who works beside others takes one early.
fn wrong_migrations(sqlite: &BTreeSet<String>, postgres: &BTreeSet<String>) -> Vec<String> {
    let mut wrong: Vec<String> =
        sqlite.symmetric_difference(postgres).map(|name| format!("{name} is in one")).collect();
    let mut before = 0;
    for name in sqlite {
        let number = name.get(..4).and_then(|number| number.parse::<usize>().ok()).unwrap_or_default();
        if number <= before || name.get(4..5) != Some("_") {
            wrong.push(format!("{name} does not follow number {before}"));
        }
        before = number;
        let since = name.get(5..).and_then(|rest| rest.strip_prefix("from_")?.get(..4)?.parse::<usize>().ok());
        if number > NAMELESS && since.is_none_or(|since| since < NAMELESS || since >= number) {
            wrong.push(format!("{name} does not say since which schema programs can live with it"));
        }
    }
    wrong
}

fn all(check: impl Fn(&Source) -> Vec<String>) -> Vec<String> {
    sources().iter().flat_map(check).collect()
}

fn counted(word: &str) -> BTreeMap<String, usize> {
    let count = |source: &Source| (source.name.clone(), if source.only_tests { 0 } else { sites(source, word) });
    sources().iter().map(count).filter(|(_name, count)| *count > 0).collect()
}

fn listed(sites: &[(&str, usize)]) -> BTreeMap<String, usize> {
    sites.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

fn nothing(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn every_room_imports_only_from_rooms_below_it() {
    nothing(&all(wrong_imports));
}

#[test]
fn the_scan_sees_the_imports_that_are_there() {
    let seen: BTreeSet<(String, String)> =
        sources().iter().flat_map(|s| imports(s).into_iter().map(|to| (s.room(), to))).collect();
    for (from, to) in
        [("incentives", "store"), ("treasury", "incentives"), ("store", "kernel"), ("bootstrap", "provider")]
    {
        assert!(seen.contains(&(from.to_owned(), to.to_owned())), "{from} imports {to}: {seen:?}");
    }
}

#[test]
fn a_crate_that_reaches_outside_is_named_in_its_home_alone() {
    nothing(&all(strangers));
}

#[test]
fn every_file_is_introduced_short_and_free_of_silenced_lints() {
    nothing(&all(offences));
}

/// It is built apart, so it has no other test of its form, and no other look at what it links.
#[test]
fn the_bench_keeps_the_rules_of_every_file_and_links_one_tls_library() {
    let bench: Vec<Source> = ["benches/load/src", "benches/load/benches"].into_iter().flat_map(sources_in).collect();
    assert!(bench.len() > 15, "the bench was not found: {} files", bench.len());
    nothing(&bench.iter().flat_map(offences).collect::<Vec<_>>());
    nothing(&wrong_in_lock(&fs::read_to_string(root().join("benches/load/Cargo.lock")).unwrap()));
}

#[test]
fn every_field_of_a_log_line_is_dotted_and_none_could_hold_a_secret() {
    nothing(&all(odd_fields));
    let all: Vec<String> = sources().iter().flat_map(logged).collect();
    assert!(all.len() > 80 && all.iter().any(|name| name == "http.response.status_code"), "{all:?}");
}

#[test]
fn a_claim_code_becomes_text_in_one_place() {
    assert_eq!(counted("expose"), listed(&CLAIM_CODE_SITES));
}

#[test]
fn a_target_is_taken_out_of_its_type_for_amazon_alone() {
    assert_eq!(counted("in_clear"), listed(&TARGET_SITES));
}

#[test]
fn secrets_are_opened_where_they_are_used_and_nowhere_else() {
    assert_eq!(counted("expose_secret"), listed(&SECRET_SITES));
}

/// Failpoints are compiled under `debug_assertions`, which a release profile has only when it says so.
#[test]
fn no_release_profile_has_failpoints_or_seeded_bugs() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(manifest.contains("[profile.release]") && !manifest.contains("debug-assertions"));
    let armed = fs::read_to_string(root().join("src/failpoint.rs")).unwrap();
    assert!(armed.contains("#[cfg(not(debug_assertions))]\npub(crate) const fn pass(_group: &str, _point: &str) {}\n"));
    let seeded: Vec<String> =
        sources().into_iter().filter(|s| s.text.contains("NOSHI_SEEDED_BUG")).map(|s| s.name).collect();
    assert_eq!(seeded, [""; 0], "bugs are patches, in tests/seeded.d");
    let named: Vec<String> = sources().into_iter().filter(|s| s.text.contains("abort(")).map(|s| s.name).collect();
    assert_eq!(named, ["failpoint.rs"], "who may end the process");
}

#[test]
fn tls_is_rustls_with_ring_and_nothing_else() {
    nothing(&wrong_in_lock(&fs::read_to_string(root().join("Cargo.lock")).unwrap()));
}

#[test]
fn both_databases_have_the_same_migrations() {
    let names = |backend: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(root().join("migrations").join(backend)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let (sqlite, postgres) = (names("sqlite"), names("postgres"));
    assert!(!sqlite.is_empty());
    nothing(&wrong_migrations(&sqlite, &postgres));
}

#[test]
fn an_import_that_runs_up_sideways_or_out_is_reported_however_it_is_written() {
    for (file, bad) in [
        ("identity/keys.rs", "use crate::incentives::Reward;"),
        ("incentives/sql.rs", "use crate::{kernel::Money, server::{self, Served}};"),
        ("incentives/sql.rs", "use super::super::bootstrap;"),
        ("kernel.rs", "use super::store::Store;"),
        ("kernel/money.rs", "fn f() { let x = crate::store::open(); }"),
        ("kernel/money.rs", "type T = Vec<crate::ambient::Ambient>;"),
        ("kernel/money.rs", "mod deep { fn f(_: super::super::super::http::Http) {} }"),
        ("http.rs", "macro_rules! m { () => { $crate::provider::incentives::Client::new() }; }"),
        ("http.rs", "use crate as all;"),
        ("http.rs", "use crate::*;"),
        ("config.rs", "use crate::telemetry::LogFilter;"),
        ("telemetry.rs", "use crate::lifecycle::Tasks;"),
        ("events.rs", "use crate::ledger::Ledger;"),
        ("sandbox/book.rs", "use crate::kernel::Money;"),
        ("bootstrap.rs", "use crate::sandbox::Sandbox;"),
        ("attic.rs", "use crate::kernel::Money;"),
        ("lib.rs", "pub use crate::kernel::Money;"),
        ("store.rs", "fn f() { noshi::incentives::issue() }"),
    ] {
        assert_eq!(wrong_imports(&Source::read(file, bad)).len(), 1, "{file}: {bad}");
    }
    for (file, good) in [
        ("incentives/sql.rs", "//! See [`crate::server`].\nuse crate::{kernel::{Money, ids}, store::Tx};"),
        ("incentives/sql.rs", "/// Like [`crate::bootstrap::start`].\nuse super::model::Reward; // crate::server"),
        ("incentives/machine/tests.rs", "use super::super::model; const S: &str = \"crate::server\";"),
        ("telemetry.rs", "use crate::config::Log;"),
        ("telemetry/metrics.rs", "use crate::kernel::Money;"),
        ("main.rs", "fn main() { noshi::cli::run(noshi::telemetry::init()) }"),
        ("cli/demo.rs", "use crate::sandbox::Sandbox;"),
        ("store.rs", "mod tests { use super::super::kernel::Money; use super::Tx; }"),
    ] {
        assert_eq!(wrong_imports(&Source::read(file, good)), [""; 0], "{file}: {good}");
    }
}

#[test]
fn a_crate_away_from_home_is_reported() {
    for (file, bad) in [
        ("incentives/sql.rs", "fn f(e: sqlx::Error) {}"),
        ("server.rs", "use reqwest::Client;"),
        ("http/body.rs", "macro_rules! m { () => { aws_sigv4::sign() }; }"),
        ("server.rs", "use hyper::Uri;"),
    ] {
        assert_eq!(strangers(&Source::read(file, bad)).len(), 1, "{file}: {bad}");
    }
    for (file, good) in [
        ("store/x.rs", "use sqlx::Error;"),
        ("telemetry.rs", "/// Mutes sqlx.\nconst MUTED: &str = \"reqwest\";"),
        ("http.rs", "#[cfg(test)] mod tests { use sqlx::Error; }"),
    ] {
        assert_eq!(strangers(&Source::read(file, good)), [""; 0], "{file}: {good}");
    }
}

#[test]
fn a_field_that_is_named_oddly_is_reported() {
    for bad in [
        "fn f() { tracing::info!(amount = 1, \"x\") }",
        "fn f() { tracing::warn!(reward.id = %id, limit, \"x\") }",
        "fn f() { if x { tracing::error!(%failure, \"x\") } }",
        "fn f() { info!(?path, \"x\") }",
        "fn f() { tracing::debug!(target: \"noshi\", http.request.body = b, \"x\") }",
        "fn f() { tracing::info!(claim_code, \"x\") }",
        "fn f() { tracing::info_span!(\"a\"); tracing::error_span!(parent: None, who = 1) }",
        "macro_rules! m { () => { tracing::info!(who = 1, \"x\") }; }",
    ] {
        assert_eq!(odd_fields(&Source::read("x.rs", bad)).len(), 1, "{bad}");
    }
    let good = "fn f() { tracing::info!(reward.id = %id, account = a.b(), error = %Chain(&e), \"{} of {}\", amount, limit); }\n\
                #[cfg(test)] mod tests { fn t() { tracing::info!(body, \"x\") } }";
    assert_eq!(odd_fields(&Source::read("x.rs", good)), [""; 0]);
}

#[test]
fn a_file_that_breaks_the_rules_for_all_is_reported() {
    for bad in [
        "use std::fmt;",
        "//! X.\n#[allow(dead_code)]\nfn f() {}",
        "//! X.\n#![allow(clippy::all)]",
        "//! X.\n#[cfg_attr(test, allow(dead_code))]\nfn f() {}",
        &format!("//! X.\n{}", "// y\n".repeat(LINES_MAX)),
    ] {
        assert_eq!(offences(&Source::read("x.rs", bad)).len(), 1, "{bad}");
    }
    let good = "//! X: never `#[allow(..)]`.\n#[expect(dead_code, reason = \"allow(x)\")]\nfn f() { scopes.allow(s) }";
    assert_eq!(offences(&Source::read("x.rs", good)), [""; 0]);
}

#[test]
fn a_secret_that_leaves_its_type_is_counted() {
    let bad = "//! expose\nfn a(c: C) { c.expose(); map(ClaimCode::expose); }\nfn expose() {}\nmacro_rules! m { () => { x.expose() }; }\n\
               #[cfg(test)] mod tests { fn t() { c.expose() } }";
    assert_eq!(sites(&Source::read("x.rs", bad), "expose"), 3);
    let mut files = vec![
        Source::read("a.rs", "#[cfg(test)]\nmod probe;\nmod real;\n#[cfg(test)]\npub mod seen;"),
        Source::read("a/probe.rs", "fn t() { c.expose() }"),
        Source::read("a/real.rs", "fn t() { c.expose() }"),
        Source::read("a/seen.rs", "fn t() { c.expose() }"),
    ];
    text::mark_tests(&mut files);
    assert_eq!(files.iter().map(|file| file.only_tests).collect::<Vec<_>>(), [false, true, false, true]);
}

#[test]
fn a_second_tls_library_is_reported() {
    let good = "name = \"ring\"\nname = \"rustls\"\nname = \"openssl-probe\"\n";
    assert_eq!(wrong_in_lock(good), [""; 0]);
    for more in ["openssl-sys", "native-tls", "aws-lc-rs", "aws-lc-sys", "rustls", "ring"] {
        assert_eq!(wrong_in_lock(&format!("{good}name = \"{more}\"\n")).len(), 1, "{more}");
    }
    assert_eq!(wrong_in_lock("name = \"rustls\"\n").len(), 1, "no provider at all");
}

#[test]
fn a_migration_that_only_one_database_has_is_reported() {
    let set = |names: &[&str]| -> BTreeSet<String> { names.iter().map(|name| (*name).to_owned()).collect() };
    let first = set(&["0001_first.sql"]);
    assert_eq!(wrong_migrations(&first, &first), [""; 0]);
    assert_eq!(wrong_migrations(&first, &set(&["0001_first.sql", "0002_more.sql"])).len(), 1);
    assert_eq!(wrong_migrations(&first, &set(&["0001_one.sql"])).len(), 2);
    let twice = set(&["0001_first.sql", "0002_more.sql", "0002_other.sql"]);
    assert_eq!(wrong_migrations(&twice, &twice).len(), 1);
    for (seventh, wrong) in [("from_0006_x", 0), ("more", 1), ("from_more", 1), ("from_0007_x", 1), ("from_0005_x", 1)]
    {
        let named = (1..=6).map(|at| format!("{at:04}_x.sql")).chain([format!("0007_{seventh}.sql")]).collect();
        assert_eq!(wrong_migrations(&named, &named).len(), wrong, "{seventh}");
    }
}
