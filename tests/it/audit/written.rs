//! What is recorded, by whom, and together with what.

use std::{collections::BTreeSet, thread};

use futures_util::future::join_all;
use serde_json::json;

use super::{actions, command, done, head, records};
use crate::{
    process::{Served, noshi},
    support::{Answer, App, Backend, Shape, on_each_backend, wait::found, with_json},
};

/// A file with a sealing key, as a setting.
fn sealing(app_folder: &std::path::Path, id: &str) -> String {
    let path = app_folder.join(format!("{id}.key"));
    let digits: String = (1..=32).map(|byte: u8| format!("{:02x}", byte ^ id.len() as u8)).collect();
    std::fs::write(&path, digits).unwrap();
    format!("{{ id = \"{id}\", file = \"{}\" }}", path.display())
}

on_each_backend! {
    async fn what_a_hand_changes_is_recorded_with_whose_hand_it_was(backend: Backend) {
        let app = App::spawn(backend).await;
        let body = json!({"id": "prg_spring", "name": "Spring", "account_id": "main", "limits": [{"span": "day", "hard": "9.00"}]});
        assert_eq!(app.post("/v1/programs", body).await.status, 201);
        let change = json!({"name": "May", "limits": []});
        assert_eq!(Answer::of(with_json(app.request("PATCH", "/v1/programs/prg_spring"), &change)).await.status, 200);
        assert_eq!(app.post("/v1/programs/prg_spring/suspend", json!({})).await.status, 200);
        let key = done(&app, &["keys", "create", "--client", "shop", "--new-client"]);
        let id = format!("key_{}", key.split('_').nth(1).unwrap());
        done(&app, &["keys", "rotate", &id]);
        done(&app, &["keys", "revoke", &id, "--by", "kim"]);
        let (code, _out, _error) = command(&app, &["keys", "revoke", &id]);
        assert_eq!(code, Some(1), "what changed nothing is no act");
        done(&app, &["programs", "resume", "prg_spring", "--by", "maria"]);
        done(&app, &["programs", "own", "prg_spring", "--client", "shop", "--by", "maria"]);
        done(&app, &["ledger", "adjust", "--account", "main", "--amount", "-1.00", "--reason", "fee", "--by", "maria"]);
        let issued = app.issue("one", "5.00").await;
        assert_eq!(app.reveal(issued.id()).await.status, 200);

        let all = records(&app, &[]);
        let expected = [
            "service.started", "program.created", "program.limits_set", "program.renamed", "program.limits_set",
            "program.suspended", "key.created", "key.rotated", "key.revoked", "program.resumed", "program.owned",
            "ledger.adjusted",
        ];
        assert_eq!(actions(&all), expected, "what a timeline holds is not recorded twice");
        let numbers: Vec<i64> = all.iter().map(|record| record["sequence"].as_i64().unwrap()).collect();
        assert_eq!(numbers, (1..=12).collect::<Vec<_>>());
        let by_key = &all[1]["actor"];
        assert_eq!((&by_key["kind"], &by_key["peer"]), (&json!("api_key"), &json!("127.0.0.1")), "{by_key}");
        assert_eq!(by_key["client_id"], app.client.to_string());
        assert_eq!(all[6]["actor"]["kind"], "command");
        assert!(all[6]["actor"]["user"].is_string() && all[6]["actor"]["host"].is_string(), "{}", all[6]);
        assert_eq!((&all[6]["subject"], &all[6]["details"]["name"]), (&json!(id), &json!("default")));
        assert_eq!(all[11]["details"], json!({"amount": "-1.00", "currency": "USD", "by": "maria"}));

        assert_eq!((&all[6]["actor"]["by"], &all[8]["actor"]["by"]), (&json!(null), &json!("kim")), "who says so is named");
        assert_eq!((records(&app, &["--actor", "kim"]).len(), records(&app, &["--actor", "maria"]).len()), (1, 3));

        assert_eq!(records(&app, &["--subject", &id]).len(), 3);
        assert_eq!(records(&app, &["--action", "key.rotated"]).len(), 1);
        assert_eq!(records(&app, &["--actor", "api_key"]).len(), 5);
        assert_eq!(records(&app, &["--actor", "127.0.0.1", "--action", "program.renamed"]).len(), 1);
        let later = (app.ambient.now() + chrono::TimeDelta::days(1)).to_rfc3339();
        assert_eq!((records(&app, &["--since", &later]).len(), records(&app, &["--until", &later]).len()), (0, 12));
        let whole = done(&app, &["audit", "verify"]);
        assert!(whole.starts_with("12 records, and each fits; the head is "), "{whole}");
        let shown = done(&app, &["audit", "list"]);
        let secret = key.rsplit('_').next().unwrap();
        assert!(!shown.contains(secret) && !shown.contains(issued.code()) && shown.contains(&id), "{shown}");
        for (name, value) in app.environment().iter().filter(|(name, _value)| name.contains("SECRET")) {
            assert!(!shown.contains(value.as_str()), "{name} is in the audit");
        }
        let metrics = app.metrics().await;
        assert!(metrics.contains("\nnoshi_audit_broken 0\n") && metrics.contains("noshi_audit_records{action=\"key.created\"}"));
        app.end().await;
    }

    /// In a pod every command runs as the same user.
    async fn each_command_that_is_recorded_names_who_asked_for_it(backend: Backend) {
        let app = App::shaped(backend, Shape::default().with("NOSHI__REWARDS__RETENTION_DAYS", 1000)).await;
        let key = done(&app, &["keys", "create", "--client", "shop", "--new-client", "--by", "kim"]);
        let id = format!("key_{}", key.split('_').nth(1).unwrap());
        let commands: [&[&str]; 9] = [
            &["keys", "rotate", &id],
            &["keys", "revoke", &id],
            &["programs", "create", "prg_spring", "--account", "main", "--name", "Spring", "--any-client"],
            &["programs", "suspend", "prg_spring"],
            &["programs", "resume", "prg_spring"],
            &["programs", "own", "prg_spring", "--client", "shop"],
            &["ledger", "adjust", "--account", "main", "--amount", "1.00", "--reason", "found"],
            &["reconcile", "accept", "--account", "main", "--from", "2026-11-01", "--to", "2026-11-02", "--reason", "gone"],
            &["retention", "run"],
        ];
        for command in commands {
            done(&app, &[command, &["--by", "kim"]].concat());
        }
        done(&app, &["restored", "--by", "kim"]);
        let named = records(&app, &["--actor", "kim"]);
        let expected = [
            "key.created", "key.rotated", "key.revoked", "program.created", "program.suspended", "program.resumed", "program.owned",
            "ledger.adjusted", "reconciliation.days_accepted", "rewards.archived", "database.restored",
        ];
        assert_eq!(actions(&named), expected);
        for bad in ["", "a\nb", "A2CD-EFGHJK-LMNP", &"x".repeat(101)] {
            let (code, _out, error) = command(&app, &["keys", "create", "--client", "shop", "--by", bad]);
            assert!(code == Some(2) && error.contains("a name has 1 to 100 characters"), "{bad}: {error}");
        }
        app.end().await;
    }

    /// The process dies around the record and around the commit, each time at another place.
    async fn no_act_is_without_its_record_and_no_record_without_its_act(backend: Backend) {
        let app = App::spawn(backend).await;
        let mut died = 0;
        for point in ["audit.before_record", "audit.after_record", "store.before_commit", "store.after_commit"] {
            let mut create = noshi();
            create.args(["keys", "create", "--client", point, "--new-client"]);
            create.envs(app.environment().iter().cloned()).env("NOSHI_FAILPOINT", format!("{point}@1"));
            died += usize::from(create.output().unwrap().status.code().is_none());
            let made = app.database.number("SELECT COUNT(*) FROM api_keys").await;
            let recorded = app.database.number("SELECT COUNT(*) FROM audit_records WHERE action = 'key.created'").await;
            assert_eq!(made - 1, recorded, "{point}: the test's own key came from no command");
        }
        assert_eq!(died, 4, "each place was passed");
        assert_eq!(app.database.number("SELECT COUNT(*) FROM audit_records WHERE action = 'key.created'").await, 1);
        done(&app, &["audit", "verify"]);
        app.end().await;
    }

    async fn a_start_names_the_settings_that_differ_from_the_last_one(backend: Backend) {
        let mut app = App::spawn(backend).await;
        app.restart_with("NOSHI__BALANCES__POLL_SECONDS", "77").await;
        app.restart_with("NOSHI__BALANCES__POLL_SECONDS", "77").await;
        let starts = records(&app, &["--action", "service.started"]);
        let changed: Vec<_> = starts.iter().map(|start| start["details"]["changed"].clone()).collect();
        assert_eq!(changed[0], json!(null), "there was none before");
        assert!(changed[1].as_array().unwrap().contains(&json!("balances.poll_seconds")), "{}", changed[1]);
        assert!(!changed[2].as_array().unwrap().contains(&json!("balances.poll_seconds")), "{}", changed[2]);
        app.end().await;
    }

    async fn a_key_rotates_and_a_keyed_audit_takes_no_record_without_a_key(backend: Backend) {
        let mut app = App::spawn(backend).await;
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (sealing(folder.path(), "2026-05"), sealing(folder.path(), "2026-11b"));
        let made = done(&app, &["keys", "create", "--client", "shop", "--new-client"]);
        let made = format!("key_{}", made.split('_').nth(1).unwrap());
        app.restart_with("NOSHI__SEALING__KEYS", &format!("[{old}]")).await;
        app.restart_with("NOSHI__SEALING__KEYS", &format!("[{new}, {old}]")).await;
        let keys: Vec<_> = records(&app, &[]).iter().map(|record| record["hash_key"].clone()).collect();
        assert_eq!(keys, [json!(null), json!(null), json!("2026-05"), json!("2026-11b")]);
        let whole = done(&app, &["audit", "verify"]);
        assert!(whole.contains("2 of them have no key"), "{whole}");
        app.restart_with("NOSHI__SEALING__KEYS", &format!("[{new}]")).await;
        let (code, _out, error) = command(&app, &["audit", "verify"]);
        assert!(code == Some(1) && error.contains("record 3 is hashed by a key that the settings do not list"), "{error}");
        app.restart_with("NOSHI__SEALING__KEYS", "[]").await;
        let (code, _out, error) = command(&app, &["keys", "create", "--client", "shop"]);
        assert!(code == Some(1) && error.contains("list a key in sealing.keys"), "{error}");
        assert_eq!(app.database.number("SELECT COUNT(*) FROM api_keys").await, 2, "the act is not done either");
        let (code, out, error) = command(&app, &["keys", "revoke", &made]);
        assert!(code == Some(0) && out.contains("not recorded in the audit"), "a thief's key is revoked: {out} {error}");
        let program = json!({"id": "prg_spring", "name": "Spring", "account_id": "main"});
        app.post("/v1/programs", program).await.is_problem(503, "audit-unavailable");
        assert_eq!(app.database.number("SELECT COUNT(*) FROM programs").await, 0, "nothing was done");
        assert_eq!(app.issue("one", "5.00").await.status, 201, "sales go on");
        app.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_replicas_and_commands_at_once_leave_a_whole_chain_without_a_hole() {
    let app = App::shaped(Backend::Postgres, Shape::default()).await;
    let others = [Served::start(app.environment()), Served::start(app.environment())];
    let bases = [app.base.clone(), others[0].base.clone(), others[1].base.clone()];
    let commands: Vec<_> = (0..4)
        .map(|number| {
            let environment = app.environment().to_vec();
            thread::spawn(move || {
                let client = format!("client {number}");
                let mut create = noshi();
                create.args(["keys", "create", "--new-client", "--client", &client]).envs(environment);
                assert!(create.output().unwrap().status.success());
            })
        })
        .collect();
    let program = |number: usize| {
        let body = json!({"id": format!("prg_{number}"), "name": "Gifts", "account_id": "main"});
        let request = app.http.post(format!("{}/v1/programs", bases[number % 3])).bearer_auth(&app.key);
        Answer::of(with_json(request, &body))
    };
    let made = join_all((0..24).map(program)).await;
    assert!(
        made.iter().all(|answer| answer.status == 201),
        "{:?}",
        made.iter().map(|a| a.status).collect::<BTreeSet<_>>()
    );
    commands.into_iter().for_each(|command| command.join().unwrap());
    let whole = done(&app, &["audit", "verify"]);
    assert!(whole.starts_with(&format!("{} records, and each fits", 3 + 4 + 24)), "{whole}");
    drop(others);
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_the_logs_filter_is_recorded_with_its_address() {
    let token = "a-token-of-the-admin-port-0123456789";
    let mut app = App::shaped(Backend::Sqlite, Shape::default().with("NOSHI__SERVER__ADMIN_TOKEN", token)).await;
    assert!(app.stop().await);
    let served = Served::start(app.environment());
    let put = app.http.put(format!("{}/log-filter", served.admin)).bearer_auth(token);
    let changed = Answer::of(put.header("content-type", "text/plain").body("debug")).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    let changes = records(&app, &["--action", "log_filter.changed"]);
    assert_eq!(changes[0]["actor"], json!({"kind": "admin_port", "peer": "127.0.0.1"}));
    assert_eq!(changes[0]["details"], json!({"filter": "debug", "before": "info"}));
    assert!(!done(&app, &["audit", "list"]).contains(token));
    drop(served);
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_the_log_kept_finds_a_tail_that_was_cut() {
    let mut app = App::spawn(Backend::Sqlite).await;
    done(&app, &["keys", "create", "--client", "shop", "--new-client"]);
    assert!(app.stop().await);
    let served = Served::start(app.environment());
    let line = found("the head is printed", async || {
        served.log().into_iter().find(|line| line["message"] == "the audit's head")
    })
    .await;
    drop(served);
    let newest = head(&app).await;
    assert_eq!(line["audit.sequence"], newest.sequence);
    let kept = [line["audit.hash"].as_str().unwrap(), &line["audit.sequence"].to_string()].map(str::to_owned);
    let verify = |app: &App| command(app, &["audit", "verify", "--head", &kept[0], "--at", &kept[1]]);
    assert_eq!(verify(&app).0, Some(0));
    app.database.execute("DROP TRIGGER audit_records_no_delete").await.unwrap();
    app.database.execute("DELETE FROM audit_records WHERE sequence = 3").await.unwrap();
    assert_eq!(command(&app, &["audit", "verify"]).0, Some(0), "by itself what is left is whole");
    let (code, _out, error) = verify(&app);
    assert!(code == Some(1) && error.contains("those behind it are cut off: expected record 3, found none"), "{error}");
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_back_up_that_is_restored_goes_on_with_the_chain_and_the_restore_is_a_record() {
    let mut app = App::spawn(Backend::Sqlite).await;
    let copy = app.database.folder.path().join("copy.db").display().to_string();
    done(&app, &["backup", "--to", &copy]);
    done(&app, &["keys", "create", "--client", "lost", "--new-client"]);
    assert!(app.stop().await);
    let lost = head(&app).await;
    done(&app, &["restore", "--from", &copy]);
    assert_eq!(actions(&records(&app, &[])), ["service.started", "database.restored"]);
    done(&app, &["audit", "verify"]);
    let (hash, at) = (lost.hash.to_string(), lost.sequence.to_string());
    let (code, _out, error) = command(&app, &["audit", "verify", "--head", &hash, "--at", &at]);
    assert!(code == Some(1) && error.contains("differs from the head that was kept"), "what was lost is seen: {error}");
    app.start().await;
    done(&app, &["audit", "verify"]);
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_back_up_of_a_keyed_audit_is_restored_where_no_key_is_listed() {
    let mut app = App::spawn(Backend::Sqlite).await;
    let folder = tempfile::tempdir().unwrap();
    app.restart_with("NOSHI__SEALING__KEYS", &format!("[{}]", sealing(folder.path(), "2026-05"))).await;
    let copy = app.database.folder.path().join("copy.db").display().to_string();
    done(&app, &["backup", "--to", &copy]);
    assert!(app.stop().await);
    let restore =
        noshi().args(["restore", "--from", &copy]).env("NOSHI__STORE__URL", app.database.url()).output().unwrap();
    let error = String::from_utf8(restore.stderr).unwrap();
    assert!(restore.status.success(), "{error}");
    assert_eq!(app.database.number("SELECT COUNT(*) FROM events WHERE kind = 'database.restored'").await, 1);
    app.start().await;
    done(&app, &["audit", "verify"]);
    app.end().await;
}
