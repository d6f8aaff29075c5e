//! Keys as their makers make them: what one has by itself, when it ends, its successor, and a client's name that was mistyped.

use super::{charged, command};
use crate::{
    process::noshi,
    support::{Answer, App, Backend, on_each_backend},
};

async fn ping(app: &App, key: &str) -> Answer {
    Answer::of(app.http.get(format!("{}/v1/ping", app.base)).bearer_auth(key)).await
}

fn made(app: &App, arguments: &[&str]) -> (String, String) {
    let (code, out, error) = command(app, &[&["keys", "create"], arguments].concat());
    assert_eq!(code, Some(0), "{error}");
    (out.trim().to_owned(), error.trim().to_owned())
}

fn refused(app: &App, arguments: &[&str]) -> String {
    let (code, out, error) = command(app, arguments);
    assert!(code != Some(0) && out.is_empty(), "{code:?}: {out}");
    error
}

/// How many keys end soon, and ended lately, as the metrics page says.
async fn ending(app: &App) -> [String; 2] {
    let page = app.metrics().await;
    ["ending", "ended"].map(|state| {
        let series = format!("noshi_api_keys_ending{{state=\"{state}\"}} ");
        page.lines().find_map(|line| line.strip_prefix(&series)).unwrap_or("none").to_owned()
    })
}

/// Every key was made a hundred days earlier, and ends a hundred days earlier.
async fn hundred_days_pass(app: &App) {
    let column = |name: &str| match app.database.backend {
        // The time of day as it was written: instants are compared as texts.
        Backend::Sqlite => format!("{name} = date(substr({name}, 1, 10), '-100 days') || substr({name}, 11)"),
        Backend::Postgres => format!("{name} = {name} - INTERVAL '100 days'"),
    };
    let sets = ["created_at", "expires_at"].map(column).join(", ");
    app.database.execute(&format!("UPDATE api_keys SET {sets} WHERE expires_at IS NOT NULL")).await.unwrap();
}

on_each_backend! {
    async fn a_key_that_ends_soon_is_counted_until_it_has_a_successor_or_is_revoked(backend: Backend) {
        let app = App::spawn(backend).await;
        let counts = |ending: u32, ended: u32| [ending.to_string(), ended.to_string()];
        let id_of = |told: &str| told.split_whitespace().next().unwrap().to_owned();
        made(&app, &["--client", "shop", "--new-client", "--expires", "116"]);
        let rotated = id_of(&made(&app, &["--client", "shop", "--expires", "112"]).1);
        let revoked = id_of(&made(&app, &["--client", "shop", "--expires", "103"]).1);
        let ended = id_of(&made(&app, &["--client", "shop", "--expires", "95"]).1);
        made(&app, &["--client", "shop", "--expires", "92"]);
        assert_eq!(ending(&app).await, counts(0, 0), "three months are time enough");
        hundred_days_pass(&app).await;
        made(&app, &["--client", "shop", "--expires", "10"]);
        assert_eq!(ending(&app).await, counts(2, 1), "neither what ended long ago, nor what was made for some days");
        assert_eq!(command(&app, &["keys", "rotate", &rotated, "--overlap", "3"]).0, Some(0));
        assert_eq!(command(&app, &["keys", "revoke", &revoked]).0, Some(0));
        assert_eq!(command(&app, &["keys", "revoke", &ended]).0, Some(0));
        assert_eq!(ending(&app).await, counts(0, 0));
        app.end().await;
    }

    async fn a_new_key_buys_and_reads_its_own_and_ends_within_a_year(backend: Backend) {
        let app = App::spawn(backend).await;
        let (key, told) = made(&app, &["--client", "shop", "--new-client"]);
        let shown = ping(&app, &key).await;
        let scopes = serde_json::json!(["rewards:write", "rewards:read", "rewards:cancel", "programs:read"]);
        assert_eq!(shown.json["scopes"], scopes, "{}", shown.text);
        let year = (app.ambient.now() + chrono::TimeDelta::days(365)).date_naive();
        let near = [-1, 0, 1].map(|days| (year + chrono::TimeDelta::days(days)).to_string());
        assert!(near.iter().any(|day| told.contains(&format!("ends {day}T"))), "{told}");
        assert!(told.starts_with(shown.json["key_id"].as_str().unwrap()), "{told}");
        assert!(made(&app, &["--client", "shop", "--expires", "never"]).1.ends_with("never ends"));
        assert!(made(&app, &["--client", "shop", "--expires-in-days", "30"]).1.contains(" ends "), "as before");
        for bad in ["0", "3651", "soon", "-1"] {
            let error = refused(&app, &["keys", "create", "--client", "shop", &format!("--expires={bad}")]);
            assert!(error.contains("expected 1 to 3650 days, or never"), "{error}");
        }
        assert_eq!(app.database.number("SELECT COUNT(*) FROM api_keys WHERE expires_at IS NULL").await, 2, "and the test's own");
        app.end().await;
    }

    async fn a_successor_has_the_same_reach_and_the_old_key_ends(backend: Backend) {
        let mut app = App::spawn(backend).await;
        let program = serde_json::json!({"id": "prg_spring", "name": "Spring", "account_id": "main", "client": "tests"});
        assert_eq!(app.post("/v1/programs", program).await.status, 201);
        let (old, _told) = made(&app, &["--client", "tests", "--program", "prg_spring", "--scopes", "rewards:write,rewards:read"]);
        let id = ping(&app, &old).await.json["key_id"].as_str().unwrap().to_owned();
        let limits = serde_json::json!({"limits": [{"span": "total", "hard": "2.00", "api_key_id": id}]});
        let limited = crate::support::with_json(app.request("PATCH", "/v1/programs/prg_spring"), &limits);
        assert_eq!(Answer::of(limited).await.status, 200);
        let operator = std::mem::replace(&mut app.key, old.clone());
        assert_eq!(app.issue_body("before", charged(None)).await.status, 201);

        let (code, new, told) = command(&app, &["keys", "rotate", &id, "--overlap", "3"]);
        assert_eq!(code, Some(0), "{told}");
        assert!(told.starts_with(&format!("{id} ends ")), "{told}");
        let new = new.trim().to_owned();
        let shown = ping(&app, &new).await;
        assert_eq!(shown.json["scopes"], serde_json::json!(["rewards:write", "rewards:read"]));
        assert_eq!(ping(&app, &old).await.status, 200, "both are good meanwhile");
        let again = refused(&app, &["keys", "rotate", &id]);
        assert!(again.contains(shown.json["key_id"].as_str().unwrap()), "{again}");
        let (_code, list, _error) = command(&app, &["keys", "list"]);
        assert!(list.contains(&format!("bound to prg_spring  replaces {id}")), "{list}");
        // What the old key spent counts: 1.00 of 2.00 is left to the new one.
        app.key.clone_from(&new);
        assert_eq!(app.issue_body("after", charged(None)).await.json["program_id"], "prg_spring");
        app.issue_body("over", charged(None)).await.is_problem(403, "budget-exceeded");
        app.advance(3 * 24 * 3600 + 60);
        assert_eq!((ping(&app, &old).await.status, ping(&app, &new).await.status), (401, 200));
        // At once, where the old one is lost.
        let newer = command(&app, &["keys", "rotate", shown.json["key_id"].as_str().unwrap(), "--overlap", "0"]).1;
        assert_eq!((ping(&app, &new).await.status, ping(&app, newer.trim()).await.status), (401, 200));
        app.key = operator;
        app.end().await;
    }

    /// Another client has other idempotency keys: the same order would be bought again.
    async fn a_slip_in_a_clients_name_makes_no_client(backend: Backend) {
        let app = App::spawn(backend).await;
        made(&app, &["--client", "shop", "--new-client"]);
        let clients = app.database.number("SELECT COUNT(*) FROM clients").await;
        let nearly = refused(&app, &["keys", "create", "--client", "Shop", "--new-client"]);
        assert!(nearly.contains("there is a client \"shop\""), "{nearly}");
        for slip in ["shp", "shop2", "sh op"] {
            let error = refused(&app, &["keys", "create", "--client", slip]);
            assert!(error.contains("there is no client of that name, but shop, tests"), "{error}");
        }
        assert_eq!(app.database.number("SELECT COUNT(*) FROM clients").await, clients);
        made(&app, &["--client", "shop2", "--new-client"]);
        assert_eq!(app.database.number("SELECT COUNT(*) FROM clients").await, clients + 1);
        app.end().await;
    }
}

/// Two operators, or one whose command was slow: the caller would be given one successor, and nobody would know of the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_rotations_at_once_one_makes_the_successor_and_the_other_names_it() {
    let app = App::spawn(Backend::Postgres).await;
    let (key, _told) = made(&app, &["--client", "shop", "--new-client"]);
    let id = ping(&app, &key).await.json["key_id"].as_str().unwrap().to_owned();
    // Whoever is to write a record waits for this lock, and so both are under way when it goes.
    let mut holder = app.database.postgres().await;
    let lock = "SELECT pg_advisory_lock(hashtextextended('noshi audit_records', 0))";
    sqlx::Executor::execute(&mut holder, lock).await.unwrap();
    let rotate = || {
        let mut rotation = noshi();
        rotation.args(["keys", "rotate", &id]).envs(app.environment().iter().cloned());
        tokio::task::spawn_blocking(move || rotation.output().unwrap())
    };
    let rotations = [rotate(), rotate()];
    let waiting = "SELECT COUNT(*) FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid \
                   WHERE NOT l.granted AND a.datname = current_database()";
    app.until_number(waiting, 2).await;
    sqlx::Connection::close(holder).await.unwrap();
    let mut ended = Vec::new();
    for rotation in rotations {
        let output = rotation.await.unwrap();
        ended.push((output.status.code(), String::from_utf8(output.stderr).unwrap()));
    }
    ended.sort();
    assert_eq!((ended[0].0, ended[1].0), (Some(0), Some(1)), "{ended:?}");
    let successor = ended[0].1.lines().last().unwrap().split(' ').next().unwrap();
    assert!(ended[1].1.contains(successor), "{ended:?}");
    assert_eq!(app.database.number("SELECT COUNT(*) FROM api_keys WHERE replaces IS NOT NULL").await, 1);
    app.end().await;
}
