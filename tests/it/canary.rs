//! Never leaked (I6, SEC-01, SEC-02): a service logs everything at `trace` while it is driven through every fault that
//! carries a code, and afterwards every code and secret is searched for everywhere, in every form.
//!
//! Out of scope here: this process's own memory, because the sandbox with its book lives in it; the files of the
//! PostgreSQL cluster, which is not ours (its rows are searched).

pub(crate) mod capture;
mod card;
mod drive;
mod load;
mod memory;
mod panics;
mod planted;
pub(crate) mod scan;
mod target;

use std::{collections::BTreeMap, fs, path::Path};

use crate::{
    process::noshi,
    support::{App, Backend, Database, Shape, look::Look, on_each_backend, rounds::print},
    traces::receiver::Receiver,
};
use capture::log;
use drive::{Drive, FAULTS};
use scan::{Scanner, forms};

/// Codes, ids of cards and secrets at least.
const CANARIES: usize = 2_000;

/// A place and all that is in it.
pub(crate) type Places = BTreeMap<String, Vec<u8>>;

/// Every value of every column, by column.
pub(crate) async fn rows(database: &Database) -> Places {
    let mut look = Look::at(database).await;
    let mut places = Places::new();
    for column in look.columns().await {
        let values = look.bytes(&column).await.join(&b'\n');
        places.insert(format!("column {}.{}", column.table, column.name), values);
    }
    places
}

/// Every file of the database: itself, its WAL, what else lies there. One that is gone by the time it is read held
/// nothing that lasts; the three that must be there are asked for by name.
pub(crate) fn files(folder: &Path) -> Places {
    let read = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        fs::read(entry.path()).ok().map(|bytes| (format!("file {name}"), bytes))
    };
    fs::read_dir(folder).unwrap().filter_map(|entry| read(entry.unwrap())).collect()
}

/// A back-up while the service runs, beside its database.
fn back_up(app: &App, name: &str) {
    let to = app.database.folder.path().join(name);
    let done = noshi().args(["backup", "--to"]).arg(to).envs(app.environment().iter().cloned()).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Everything that a service leaves behind, shows or sends, but for the answers that hand a code over.
async fn everywhere(app: &App, drive: &Drive, collector: &Receiver) -> Places {
    let mut places = rows(&app.database).await;
    if app.database.backend == Backend::Sqlite {
        back_up(app, "back-up.db");
        let files = files(app.database.folder.path());
        for name in ["file noshi.db", "file noshi.db-wal", "file noshi.db-shm", "file back-up.db"] {
            assert!(files.get(name).is_some_and(|bytes| !bytes.is_empty()), "{name} is not there");
        }
        places.extend(files);
    }
    places.insert("the metrics page".to_owned(), app.metrics().await.into_bytes());
    places.insert("answers without a code".to_owned(), drive.bare_answers());
    places.insert("answers with a code, less the code".to_owned(), drive.stripped_answers());
    places.insert("the log".to_owned(), log().taken());
    places.insert("the collector's spans".to_owned(), collector.bytes());
    places
}

/// What leaked: for each place and form how much, and an example.
pub(crate) fn search(scanner: &Scanner, places: &Places) -> Vec<String> {
    let mut leaks: BTreeMap<(&str, &str), (usize, String)> = BTreeMap::new();
    for (place, bytes) in places {
        for hit in scanner.find(bytes) {
            leaks.entry((place.as_str(), hit.form)).or_insert_with(|| (0, hit.to_string())).0 += 1;
        }
    }
    leaks.into_iter().map(|((place, _form), (count, example))| format!("{place}: {count}, as {example}")).collect()
}

/// A service that was driven through everything, and what leaked.
struct Searched {
    app: App,
    drive: Drive,
    scanner: Scanner,
    places: Places,
    found: Vec<String>,
    collector: Receiver,
}

async fn drive_and_search(backend: Backend) -> Searched {
    log().start();
    let collector = Receiver::start().await;
    // One client buys and reveals more here than the ceilings and limits are made for.
    let shape = Shape::default()
        .with("NOSHI__TRACES__ENDPOINT", collector.endpoint())
        .with("NOSHI__ACCOUNTS__MAIN__CLIENT_DAY_MAXIMUM", "100000.00")
        .with("NOSHI__ACCOUNTS__MAIN__CLIENT_DAY_REWARDS", 100_000)
        .with("NOSHI__ACCOUNTS__MAIN__ACCOUNT_DAY_MAXIMUM", "100000.00")
        .with("NOSHI__REWARDS__REVEALS_PER_HOUR", 100_000);
    let mut app = App::shaped(backend, shape).await;
    let drive = drive::run(&mut app).await;
    let scanner = Scanner::new(&drive.canaries(&app));
    assert!(scanner.canaries() >= CANARIES, "{} canaries", scanner.canaries());
    let places = everywhere(&app, &drive, &collector).await;
    let found = search(&scanner, &places);
    Searched { app, drive, scanner, places, found, collector }
}

/// What leaks of a service that was driven through everything.
pub(crate) async fn leaks(backend: Backend) -> Vec<String> {
    drive_and_search(backend).await.found
}

on_each_backend! {
    async fn no_code_and_no_secret_is_anywhere_after_every_fault_that_carries_one(backend: Backend) {
        let Searched { mut app, drive, scanner, places: before_stop, found, collector } = drive_and_search(backend).await;
        assert!(found.is_empty(), "{} leaks:\n{}", found.len(), found.join("\n"));
        drive.every_class_was_hit(&app);
        assert!(before_stop["the log"].len() > 50_000, "the log was not captured");
        planted_canaries_are_found(&scanner, &before_stop, &drive.canaries(&app));

        assert!(app.stop().await);
        let mut after_stop = rows(&app.database).await;
        after_stop.extend(files(app.database.folder.path()));
        after_stop.insert("the log".to_owned(), log().taken());
        after_stop.insert("the collector's spans".to_owned(), collector.bytes());
        every_kind_of_span_came(&collector);
        let found = search(&scanner, &after_stop);
        assert!(found.is_empty(), "{} leaks:\n{}", found.len(), found.join("\n"));
        tell(&scanner, &before_stop, &drive);
        app.end().await;
    }

    async fn a_canary_in_a_row_a_file_or_a_log_line_is_found(backend: Backend) {
        log().start();
        let app = App::spawn(backend).await;
        assert_eq!(app.issue("one", "5.00").await.status, 201);
        let canary = "QJ7W-ZZKP42-XM3T".to_owned();
        let scanner = Scanner::new(std::slice::from_ref(&canary));
        assert_eq!(search(&scanner, &rows(&app.database).await), [""; 0]);
        // Columns refuse a code, and so this is a new one.
        app.database.execute("ALTER TABLE rewards ADD COLUMN note TEXT").await.unwrap();
        app.database.execute(&format!("UPDATE rewards SET note = 'a {canary} b'")).await.unwrap();
        let found = search(&scanner, &rows(&app.database).await);
        assert!(found.len() == 1 && found[0].starts_with("column rewards.note"), "{found:?}");
        if backend == Backend::Sqlite {
            back_up(&app, "back-up.db");
            let found = search(&scanner, &files(app.database.folder.path()));
            for file in ["file noshi.db-wal", "file back-up.db"] {
                assert!(found.iter().any(|hit| hit.starts_with(file)), "{found:?}");
            }
        }
        tracing::trace!(target: "noshi::canary", body = ?canary.as_bytes(), "planted");
        tracing::trace!(target: "aws_sigv4::http_request", "muted whatever the filter says: {canary}");
        let found = search(&scanner, &Places::from([("the log".to_owned(), log().taken())]));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("decimal"), "{found:?}");
        app.end().await;
    }
}

/// Fails when the spans of something that holds a code were not among those that were searched.
fn every_kind_of_span_came(collector: &Receiver) {
    let spans = collector.spans();
    for name in [
        "POST /v1/rewards",
        "POST /v1/rewards/{id}/reveal",
        "POST /v1/rewards/{id}/cancel",
        "GET unmatched",
        "OTHER unmatched",
        "reward.recover",
        "reward.accept",
        "reward.settle",
        "reward.show",
        "reward.cancel",
        "CreateGiftCard",
        "CancelGiftCard",
    ] {
        assert!(spans.iter().any(|span| span.name == name), "there was no {name} among {} spans", spans.len());
    }
    assert!(spans.len() > 3_000, "{} spans", spans.len());
}

/// The scanner's own test, on the very places that were found clean: each form of a canary, planted in each.
fn planted_canaries_are_found(scanner: &Scanner, places: &Places, canaries: &[String]) {
    for (at, (place, bytes)) in places.iter().enumerate() {
        for (turn, (form, write)) in forms().enumerate() {
            let canary = &canaries[(at * 131 + turn * 37) % canaries.len()];
            // In the middle and at the end, where a search may stop too early.
            for spot in [bytes.len() / 2, bytes.len()] {
                let from = spot.saturating_sub(200);
                let mut planted = bytes[from..spot].to_vec();
                planted.extend_from_slice(&write(canary));
                planted.extend_from_slice(&bytes[spot..(spot + 200).min(bytes.len())]);
                assert!(!scanner.find(&planted).is_empty(), "{canary} as {form} was not found in {place}");
            }
        }
    }
}

/// The run's figures.
fn tell(scanner: &Scanner, places: &Places, drive: &Drive) {
    let bytes: usize = places.values().map(Vec::len).sum();
    print(&format!(
        "{} canaries in {} patterns, {} places of {bytes} bytes ({} of log), {} answers, {} fault classes",
        scanner.canaries(),
        scanner.patterns(),
        places.len(),
        places["the log"].len(),
        drive.answers(),
        FAULTS.len()
    ));
}
