//! `noshi backup` and `noshi restore` on their own: what they write, what they refuse, and what they leave alone.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
};

use data_encoding::HEXLOWER;
use futures_util::future::join_all;
use sha2::{Digest, Sha256};
use sqlx::Connection;

use super::{names, number_in, path_of, run, text};
use crate::{
    process::{Served, noshi},
    support::{App, Backend, Database},
};

/// Rewards whose place in the books their ledger entries contradict: a copy of two instants would have some.
const TORN: &str = "SELECT COUNT(*) FROM rewards r WHERE (r.booked <> 'none') <> (SELECT COALESCE(SUM(CASE kind \
                    WHEN 'reserved' THEN 1 WHEN 'released' THEN -1 WHEN 'canceled' THEN -1 ELSE 0 END), 0) \
                    FROM ledger_entries l WHERE l.reward_id = r.id)";

/// A service with a file, killed with this many rewards in it: what was committed last is in the WAL.
pub(super) async fn killed_with(rewards: usize) -> App {
    let mut app = App::spawn(Backend::Sqlite).await;
    assert!(app.stop().await);
    let served = Served::start(app.environment());
    app.base.clone_from(&served.base);
    buy(&app, "first", rewards).await;
    served.kill();
    app
}

async fn buy(app: &App, name: &str, count: usize) {
    for at in 0..count {
        assert_eq!(app.issue(&format!("{name}-{at}"), "1.00").await.status, 201);
    }
}

pub(super) fn back_up(app: &App, to: &Path) {
    let (code, _out, error) = run(app, &["backup", "--to", to.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{error}");
}

pub(super) fn restore(app: &App, from: &Path) -> (Option<i32>, String, String) {
    run(app, &["restore", "--from", from.to_str().unwrap()])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_back_up_under_load_is_whole_private_and_of_one_instant() {
    let mut app = App::spawn(Backend::Sqlite).await;
    assert!(app.stop().await);
    let served = Served::start(app.environment());
    app.base.clone_from(&served.base);
    buy(&app, "before", 5).await;
    let (folder, over) = (tempfile::TempDir::new().unwrap(), AtomicBool::new(false));
    let load = join_all((0..4).map(|caller| {
        let (app, over) = (&app, &over);
        async move {
            let mut bought = 0_i64;
            while !over.load(Ordering::Relaxed) {
                let answer = app.issue(&format!("load-{caller}-{bought}"), "1.00").await;
                assert_eq!(answer.status, 201, "a back-up is in nobody's way: {}", answer.text);
                if bought % 3 == 0 {
                    assert_eq!(app.cancel(answer.id()).await.status, 200);
                }
                bought += 1;
            }
            bought
        }
    }));
    let copies: Vec<_> = (0..5).map(|at| folder.path().join(format!("{at}.db"))).collect();
    let copying = async {
        for copy in &copies {
            let mut command = noshi();
            command.args(["backup", "--to"]).arg(copy).envs(app.environment().iter().cloned());
            let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
            let (code, out, error) = text(&output);
            assert_eq!(code, Some(0), "{error}");
            let rewards = number_in(copy, "SELECT COUNT(*) FROM rewards").await;
            let sha256 = HEXLOWER.encode(&Sha256::digest(fs::read(copy).unwrap()));
            assert!(out.contains(&format!(": {rewards} rewards, ")) && out.contains(&sha256), "{out}");
        }
        over.store(true, Ordering::Relaxed);
    };
    let (bought, ()) = tokio::join!(load, copying);
    assert!(served.terminate().success());
    let mut counts = Vec::new();
    for copy in &copies {
        assert_eq!(fs::metadata(copy).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(number_in(copy, TORN).await, 0, "a copy of two instants");
        counts.push(number_in(copy, "SELECT COUNT(*) FROM rewards").await);
    }
    let (all, first, last) = (bought.iter().sum::<i64>() + 5, counts[0], counts[4]);
    assert!(counts.is_sorted() && first >= 5 && last > first && last <= all, "{counts:?} of {all}");
    assert_eq!(names(folder.path()), ["0.db", "1.db", "2.db", "3.db", "4.db"], "nothing else is left");
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_back_up_goes_to_standard_output_too_and_nothing_is_written_over() {
    let app = killed_with(3).await;
    let (folder, database) = (tempfile::TempDir::new().unwrap(), path_of(&app.database));
    let before = names(database.parent().unwrap());
    let output = noshi().args(["backup", "--to", "-"]).envs(app.environment().iter().cloned()).output().unwrap();
    let (code, _bytes, error) = text(&output);
    assert_eq!(code, Some(0), "{error}");
    let sha256 = HEXLOWER.encode(&Sha256::digest(&output.stdout));
    assert!(error.contains("-: 3 rewards, ") && error.contains(&sha256), "{error}");
    let streamed = folder.path().join("streamed.db");
    fs::write(&streamed, &output.stdout).unwrap();
    assert_eq!(number_in(&streamed, "SELECT COUNT(*) FROM rewards").await, 3);
    assert_eq!(names(database.parent().unwrap()), before, "the stream leaves nothing beside the database");

    let (code, _out, error) = run(&app, &["backup", "--to", streamed.to_str().unwrap()]);
    assert!(code == Some(1) && error.contains("is there already"), "{error}");
    assert_eq!(fs::read(&streamed).unwrap(), output.stdout, "as it was");
    let (code, _out, error) = run(&app, &["backup", "--to", folder.path().join("no/such/folder").to_str().unwrap()]);
    assert_eq!(code, Some(1), "{error}");
    fs::remove_file(&database).unwrap();
    let (code, _out, error) = run(&app, &["backup", "--to", folder.path().join("none.db").to_str().unwrap()]);
    assert!(code == Some(1) && error.contains("there is no database at"), "{error}");
    assert!(!database.exists(), "and none is made");
    assert_eq!(names(folder.path()), ["streamed.db"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_back_ups_to_one_name_one_is_told_and_a_dead_one_is_in_nobodys_way() {
    let app = killed_with(2).await;
    let folder = tempfile::TempDir::new().unwrap();
    let (name, part) = (folder.path().join("b.db"), folder.path().join("b.db.part"));
    let held = fs::File::create(&part).unwrap();
    held.lock().unwrap();
    let (code, _out, error) = run(&app, &["backup", "--to", name.to_str().unwrap()]);
    assert!(code == Some(1) && error.contains("another process is writing"), "{error}");
    drop(held);
    fs::write(&part, "what a killed process left").unwrap();
    back_up(&app, &name);
    assert_eq!(names(folder.path()), ["b.db"]);
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_brings_the_back_up_and_keeps_what_was_there_with_its_wal() {
    let mut app = killed_with(3).await;
    let (folder, database) = (tempfile::TempDir::new().unwrap(), path_of(&app.database));
    let copy = folder.path().join("copy.db");
    back_up(&app, &copy);
    let bytes = fs::read(&copy).unwrap();
    for standard_input in [false, true] {
        let served = Served::start(app.environment());
        app.base.clone_from(&served.base);
        let name = format!("later-{standard_input}");
        buy(&app, &name, 4).await;
        served.kill();
        assert!(fs::metadata(super::wal_of(&database)).unwrap().len() > 0, "all four are in the WAL");
        let (code, out, error) = if standard_input {
            let mut command = noshi();
            command.args(["restore", "--from", "-"]).envs(app.environment().iter().cloned());
            text(&command.stdin(fs::File::open(&copy).unwrap()).output().unwrap())
        } else {
            restore(&app, &copy)
        };
        assert_eq!(code, Some(0), "{error}");
        let aside = out.lines().find_map(|line| line.strip_prefix("what was there before is ")).unwrap();
        assert_eq!(number_in(&database, "SELECT COUNT(*) FROM rewards").await, 3, "{out}");
        assert_eq!(number_in(Path::new(aside), "SELECT COUNT(*) FROM rewards").await, 7, "with what was in its WAL");
        assert!(!super::wal_of(&database).exists(), "the old WAL is not beside the new file");
        assert_eq!(fs::metadata(&database).unwrap().permissions().mode() & 0o777, 0o600);
        fs::remove_file(aside).unwrap();
        assert_eq!(names(database.parent().unwrap()), ["noshi.db"]);
    }
    assert_eq!(fs::read(&copy).unwrap(), bytes, "the back-up is as it was");
    let served = Served::start(app.environment());
    app.base.clone_from(&served.base);
    buy(&app, "after", 1).await;
    assert!(served.terminate().success());
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_gone_or_beyond_reading_is_restored_and_its_left_over_wal_is_not_played() {
    let app = killed_with(3).await;
    let (folder, database) = (tempfile::TempDir::new().unwrap(), path_of(&app.database));
    let copy = folder.path().join("copy.db");
    back_up(&app, &copy);
    // The WAL of another life of the same database: SQLite would play it into the restored file.
    let wal = super::wal_of(&database);
    for ruin in ["gone", "garbage"] {
        let served = Served::start(app.environment());
        served.kill();
        match ruin {
            "gone" => fs::remove_file(&database).unwrap(),
            _ => fs::write(&database, vec![7; 8192]).unwrap(),
        }
        fs::write(&wal, b"left over").unwrap();
        let (code, out, error) = restore(&app, &copy);
        assert_eq!(code, Some(0), "{ruin}: {error}");
        assert_eq!(number_in(&database, "SELECT COUNT(*) FROM rewards").await, 3, "{out}");
        assert!(!wal.exists(), "{ruin}");
        let put_aside: Vec<String> =
            names(database.parent().unwrap()).into_iter().filter(|name| name.contains(".before-")).collect();
        assert!(put_aside.iter().any(|name| name.ends_with("-wal")), "{put_aside:?}");
        assert_eq!(put_aside.iter().any(|name| name.ends_with('Z')), ruin != "gone", "{put_aside:?}");
        put_aside.iter().for_each(|name| fs::remove_file(database.with_file_name(name)).unwrap());
    }
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_back_up_of_ours_is_refused_and_nothing_is_touched() {
    let app = killed_with(3).await;
    let (folder, database) = (tempfile::TempDir::new().unwrap(), path_of(&app.database));
    let copy = folder.path().join("copy.db");
    back_up(&app, &copy);
    let whole = fs::read(&copy).unwrap();
    let mut torn = whole.clone();
    torn[4096 * 3..4096 * 9].fill(0xa5);
    let foreign = folder.path().join("foreign.db");
    let mut other = sqlx::SqliteConnection::connect(&format!("sqlite://{}?mode=rwc", foreign.display())).await.unwrap();
    sqlx::Executor::execute(&mut other, "CREATE TABLE notes (text TEXT)").await.unwrap();
    other.close().await.unwrap();
    let newer = folder.path().join("newer.db");
    fs::write(&newer, &whole).unwrap();
    let mut later = sqlx::SqliteConnection::connect(&format!("sqlite://{}", newer.display())).await.unwrap();
    let migration = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                     VALUES (9999, 'much later', TRUE, X'00', 0)";
    sqlx::Executor::execute(&mut later, migration).await.unwrap();
    later.close().await.unwrap();
    let in_use = folder.path().join("in-use.db");
    fs::write(&in_use, &whole).unwrap();
    fs::write(super::wal_of(&in_use), "more").unwrap();
    let empty_sqlite = Vec::new();
    for (name, bytes, why) in [
        ("garbage.db", &vec![7; 9000], "damaged"),
        ("empty.db", &empty_sqlite, "no database of this program's"),
        ("short.db", &whole[..whole.len() - 4096].to_vec(), "damaged"),
        ("half.db", &whole[..whole.len() / 2 + 100].to_vec(), "damaged"),
        ("torn.db", &torn, "damaged"),
        ("foreign.db", &fs::read(&foreign).unwrap(), "no database of this program's"),
        ("newer.db", &fs::read(&newer).unwrap(), "later version"),
        ("in-use.db", &whole, "a copy of a file in use"),
    ] {
        let file = folder.path().join(name);
        fs::write(&file, bytes).unwrap();
        let before = snapshot(&database);
        let (code, out, error) = restore(&app, &file);
        assert!(code == Some(1) && error.contains(why), "{name}: {code:?} {out}{error}");
        assert_eq!(snapshot(&database), before, "{name} has changed something");
    }
    let (code, _out, error) = restore(&app, &folder.path().join("nowhere.db"));
    assert!(code == Some(1) && error.contains("cannot be read"), "{error}");
    let (code, _out, error) = restore(&app, &database);
    assert!(code == Some(1) && error.contains("the database itself"), "{error}");
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_somebody_else_may_have_laid_there_is_neither_read_nor_written() {
    let app = killed_with(1).await;
    let (folder, database) = (tempfile::TempDir::new().unwrap(), path_of(&app.database));
    let at = |name: &str| folder.path().join(name);
    back_up(&app, &at("copy.db"));
    let before = snapshot(&database);
    std::os::unix::fs::symlink(at("copy.db"), at("link.db")).unwrap();
    fs::copy(at("copy.db"), at("open.db")).unwrap();
    fs::set_permissions(at("open.db"), fs::Permissions::from_mode(0o646)).unwrap();
    assert!(Command::new("mkfifo").arg(at("pipe.db")).status().unwrap().success());
    for (name, why) in [
        ("link.db", "is a link"),
        ("open.db", "can be written by anybody"),
        ("pipe.db", "is no plain file"),
        (".", "is no plain file"),
    ] {
        let (code, out, error) = restore(&app, &at(name));
        assert!(code == Some(1) && error.contains(why), "{name}: {code:?} {out}{error}");
        assert_eq!(snapshot(&database), before, "{name} has changed something");
    }
    // A link where the copy is written would lead it elsewhere; a second name would let another read it.
    let (elsewhere, other) = (at("elsewhere"), at("other"));
    std::os::unix::fs::symlink(&elsewhere, at("led.db.part")).unwrap();
    std::os::unix::fs::symlink(&elsewhere, at("named.db")).unwrap();
    fs::write(&other, "another's").unwrap();
    fs::hard_link(&other, at("linked.db.part")).unwrap();
    for (name, why) in
        [("led.db", "is a link"), ("linked.db", "is not this user's alone"), ("named.db", "is there already")]
    {
        let (code, _out, error) = run(&app, &["backup", "--to", at(name).to_str().unwrap()]);
        assert!(code == Some(1) && error.contains(why), "{name}: {code:?} {error}");
    }
    assert!(!elsewhere.exists() && fs::read(&other).unwrap() == b"another's");
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_takes_the_back_up_that_is_named_by_its_sha256_and_lists_the_keys_that_open_it() {
    let app = killed_with(1).await;
    let (folder, database) = (tempfile::TempDir::new().unwrap(), path_of(&app.database));
    let copy = folder.path().join("copy.db");
    let said = |arguments: &[&str]| {
        let (code, out, error) = run(&app, arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {error}");
        out
    };
    said(&["keys", "create", "--client", "shop", "--new-client"]);
    let listed = said(&["keys", "list"]);
    let shop = listed.lines().find(|line| line.contains("  shop  ")).unwrap();
    back_up(&app, &copy);
    said(&["keys", "revoke", shop.split_whitespace().next().unwrap()]);
    let before = snapshot(&database);
    let sha256 = HEXLOWER.encode(&Sha256::digest(fs::read(&copy).unwrap()));
    let of = |sha256: &str| run(&app, &["restore", "--from", copy.to_str().unwrap(), "--sha256", sha256]);
    let (code, _out, error) = of(&sha256.replace(|digit| digit != '0', "0"));
    assert!(code == Some(1) && error.contains(&sha256), "{error}");
    assert_eq!(snapshot(&database), before);
    assert_eq!(of("abc").0, Some(2));
    let (code, out, error) = of(&sha256.to_ascii_uppercase());
    assert_eq!(code, Some(0), "{error}");
    assert!(out.contains("API keys are good") && out.lines().any(|line| line == shop), "{out}");
    app.end().await;
}

/// Every file beside the database, whole, but for what a refused restore leaves to be written over.
pub(super) fn snapshot(database: &Path) -> Vec<(String, Vec<u8>)> {
    let folder = database.parent().unwrap();
    let kept = names(folder).into_iter().filter(|name| !name.contains(".restoring"));
    kept.map(|name| (name.clone(), fs::read(folder.join(name)).unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_someone_has_open_is_not_restored() {
    let app = killed_with(3).await;
    let (folder, database) = (tempfile::TempDir::new().unwrap(), path_of(&app.database));
    let copy = folder.path().join("copy.db");
    back_up(&app, &copy);
    let served = Served::start(app.environment());
    let (code, _out, error) = restore(&app, &copy);
    assert!(code == Some(1) && error.contains(&format!("process {} on ", served.id())), "{error}");
    assert!(served.terminate().success());
    // A command that only looks holds no lock of ours, and has the file open all the same.
    let mut looking = app.database.sqlite().await;
    sqlx::Executor::execute(&mut looking, "SELECT COUNT(*) FROM rewards").await.unwrap();
    let (code, _out, error) = restore(&app, &copy);
    assert!(code == Some(1) && error.contains("has the database open"), "{error}");
    looking.close().await.unwrap();
    let (code, _out, error) = restore(&app, &copy);
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(number_in(&database, "SELECT COUNT(*) FROM rewards").await, 3);
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgresql_both_commands_say_what_to_use_instead() {
    let database = Database::fresh(Backend::Postgres).await;
    for arguments in [["backup", "--to", "x.db"], ["restore", "--from", "x.db"]] {
        let output = noshi().args(arguments).env("NOSHI__STORE__URL", database.url()).output().unwrap();
        let (code, _out, error) = text(&output);
        assert!(code == Some(2) && error.contains("RUNBOOK.md"), "{error}");
    }
    database.remove().await;
}

/// A reader that goes away early is told by the exit code.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_cut_is_no_success() {
    let app = killed_with(3).await;
    let mut command: Command = noshi();
    command.args(["backup", "--to", "-"]).envs(app.environment().iter().cloned());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    assert_ne!(child.wait().unwrap().code(), Some(0));
    app.end().await;
}

/// What a person decided since the back-up is undone with everything else: the runbook says so, and what to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_revoked_and_programs_suspended_since_are_as_in_the_back_up() {
    let mut app = killed_with(1).await;
    let folder = tempfile::TempDir::new().unwrap();
    let copy = folder.path().join("copy.db");
    let said = |arguments: &[&str]| {
        let (code, out, error) = run(&app, arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {error}");
        out
    };
    let revoked = said(&["keys", "create", "--client", "shop", "--new-client"]).trim().to_owned();
    let id = said(&["keys", "list"])
        .lines()
        .find(|line| line.contains("shop"))
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .to_owned();
    said(&["programs", "create", "prg_spring", "--account", "main", "--name", "Spring", "--client", "tests"]);
    back_up(&app, &copy);
    said(&["keys", "revoke", &id]);
    said(&["programs", "suspend", "prg_spring", "--by", "kim"]);
    let later = said(&["keys", "create", "--client", "later", "--new-client"]).trim().to_owned();
    assert_eq!(restore(&app, &copy).0, Some(0));
    assert!(run(&app, &["programs", "list"]).1.contains("prg_spring  active"), "open again");
    let served = Served::start(app.environment());
    app.base.clone_from(&served.base);
    app.key = revoked;
    assert_eq!(app.get("/v1/ping").await.status, 200, "valid again, until it is revoked again");
    assert_eq!(run(&app, &["keys", "revoke", &id]).0, Some(0));
    app.get("/v1/ping").await.is_problem(401, "unauthorized");
    app.key = later;
    app.get("/v1/ping").await.is_problem(401, "unauthorized");
    assert!(served.terminate().success());
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_damaged_database_there_is_no_back_up() {
    let app = killed_with(3).await;
    let (folder, database) = (tempfile::TempDir::new().unwrap(), path_of(&app.database));
    // What is in the WAL must be in the file before the file can be damaged.
    let served = Served::start(app.environment());
    assert!(served.terminate().success());
    let mut bytes = fs::read(&database).unwrap();
    bytes[4096 * 3..4096 * 9].fill(0xa5);
    fs::write(&database, bytes).unwrap();
    let (code, _out, error) = run(&app, &["backup", "--to", folder.path().join("copy.db").to_str().unwrap()]);
    assert!(code == Some(1) && error.contains("damaged"), "{error}");
    assert_eq!(names(folder.path()), [""; 0]);
    app.end().await;
}
