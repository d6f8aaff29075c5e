//! Programs belong to clients. One that release 0.1.0 made belongs to nobody until an operator gives it to a client.

use serde_json::{Value, json};

use super::{charged, command, every_scope_of_a_client};
use crate::support::{App, Backend, on_each_backend};

/// A program of a database that has just been migrated.
async fn nobodys(app: &App, id: &str) {
    let made = app.post("/v1/programs", json!({"id": id, "name": "Spring", "account_id": "main"})).await;
    assert_eq!((made.status, &made.json["client"]), (201, &json!("tests")), "{}", made.text);
    app.database.execute(&format!("UPDATE programs SET client_id = NULL WHERE id = '{id}'")).await.unwrap();
}

on_each_backend! {
    async fn a_program_of_the_release_before_goes_on_for_everyone_until_it_has_an_owner(backend: Backend) {
        let mut app = App::spawn(backend).await;
        nobodys(&app, "prg_spring").await;
        let (_client, other) = app.mint_key("other", every_scope_of_a_client()).await;
        let own = std::mem::replace(&mut app.key, other.clone());
        assert_eq!(app.issue_body("before", charged(Some("prg_spring"))).await.status, 201);
        assert_eq!(app.get("/v1/programs/prg_spring").await.json["client"], Value::Null);
        assert!(command(&app, &["programs", "list"]).1.contains("account main  any client  Spring"));

        let (code, out, error) = command(&app, &["programs", "own", "prg_spring", "--client", "tests", "--by", "kim"]);
        assert_eq!((code, out.trim()), (Some(0), "prg_spring is tests's"), "{error}");
        assert_eq!(command(&app, &["programs", "own", "prg_spring", "--client", "tests", "--by", "kim"]).0, Some(1));
        assert_eq!(command(&app, &["programs", "own", "prg_spring", "--client", "nobody", "--by", "kim"]).0, Some(1));
        for (path, body) in [("/v1/rewards/validate", charged(Some("prg_spring")))] {
            app.post(path, body).await.is_problem(403, "program-forbidden");
        }
        app.issue_body("after", charged(Some("prg_spring"))).await.is_problem(403, "program-forbidden");
        app.get("/v1/programs/prg_spring").await.is_problem(404, "not-found");
        // What was bought for it stays the buyer's, under its key and its id.
        let again = app.issue_body("before", charged(Some("prg_spring"))).await;
        assert_eq!((again.status, &again.json["program_id"]), (200, &json!("prg_spring")), "{}", again.text);
        assert_eq!(app.read(again.id()).await["status"], "issued");
        app.key = own;
        assert_eq!(app.issue_body("own", charged(Some("prg_spring"))).await.status, 201);
        let events = app.get("/v1/events?type=program.owned").await;
        assert_eq!(events.json["data"][0]["data"]["by"], "kim", "{}", events.text);
        app.end().await;
    }

    async fn an_operator_makes_programs_for_others_and_nobody_else_does(backend: Backend) {
        let mut app = App::spawn(backend).await;
        let (_client, other) = app.mint_key("other", every_scope_of_a_client()).await;
        let theirs = |id: &str, client: &str| json!({"id": id, "name": "Gifts", "account_id": "main", "client": client});
        let made = app.post("/v1/programs", theirs("prg_theirs", "other")).await;
        assert_eq!((made.status, &made.json["client"]), (201, &json!("other")), "{}", made.text);
        let unknown = app.post("/v1/programs", theirs("prg_nobodys", "nobody")).await;
        unknown.is_problem(400, "invalid-request");
        assert_eq!(unknown.json["errors"][0]["pointer"], "/client");
        app.key = other;
        assert_eq!(app.issue_body("theirs", charged(Some("prg_theirs"))).await.status, 201);
        let foreign = app.post("/v1/programs", theirs("prg_foreign", "tests")).await;
        foreign.is_problem(400, "invalid-request");
        assert_eq!(foreign.json["errors"][0]["pointer"], "/client");
        assert_eq!(app.database.number("SELECT COUNT(*) FROM programs").await, 1);
        // A key is bound to what its client may charge.
        let bound = ["keys", "create", "--client", "tests", "--program", "prg_theirs"];
        let (code, out, error) = command(&app, &bound);
        assert_eq!((code, out.as_str()), (Some(1), ""), "{error}");
        assert!(error.contains("the program belongs to another client"), "{error}");
        let both = ["keys", "create", "--client", "other", "--program", "prg_theirs", "--scopes", "ledger:read,clients:all"];
        assert!(command(&app, &both).2.contains("a key that is bound to a program"));
        app.end().await;
    }

    /// Two versions on one database: what 0.1.0 writes has no owner, and what 0.1.0 knows of a key is its old words.
    async fn keys_and_programs_of_the_schema_before_are_carried_over(backend: Backend) {
        let database = crate::support::Database::fresh(backend).await;
        database.migrate_to(21).await;
        let bytes = |at: u8| match backend {
            Backend::Sqlite => format!("X'0190000000000000800000000000000{at}'"),
            Backend::Postgres => format!("'0190000000000000800000000000000{at}'"),
        };
        let (hash, time) = (if backend == Backend::Sqlite { "zeroblob(32)" } else { "decode(repeat('00', 32), 'hex')" }, "'2026-01-02T03:04:05.000000+00:00'");
        database.execute(&format!("INSERT INTO clients (id, name, created_at) VALUES ({}, 'shop', {time})", bytes(1))).await.unwrap();
        database.execute(&format!("INSERT INTO programs VALUES ('prg_spring', 'Spring', 'main', 'active', 1, {time}, {time})")).await.unwrap();
        for (at, scopes, program) in [
            (1, "rewards:write rewards:read ledger:read", "NULL"),
            (2, "ledger:read balances:read", "NULL"),
            (3, "rewards:write programs:write", "NULL"),
            (4, "reconciliations:write", "NULL"),
            (5, "ledger:read programs:write", "'prg_spring'"),
        ] {
            let insert = format!(
                "INSERT INTO api_keys (id, client_id, name, secret_sha256, scopes, created_at, program_id) \
                 VALUES ({}, {}, 'key {at}', {hash}, '{scopes}', {time}, {program})",
                bytes(at), bytes(1)
            );
            database.execute(&insert).await.unwrap();
        }
        let app = App::on(database, crate::support::Shape::default()).await;
        let (_code, list, _error) = command(&app, &["keys", "list"]);
        let given: Vec<bool> = (1..=5)
            .map(|at| list.lines().find(|line| line.contains(&format!("  key {at}  "))).unwrap().contains("clients:all"))
            .collect();
        assert_eq!(given, [false, true, true, true, false], "{list}");
        // As 0.1.0 writes one.
        let early = format!("INSERT INTO programs (id, name, account, state, version, created_at, updated_at) VALUES ('prg_early', 'Early', 'main', 'active', 1, {time}, {time})");
        app.database.execute(&early).await.unwrap();
        assert_eq!(app.issue_body("early", charged(Some("prg_early"))).await.status, 201);
        app.end().await;
    }
}
