//! `noshi reconcile`: its formats and its exit codes.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use noshi::sandbox::{Fault, FaultRule, Operation};
use serde_json::Value;

use super::{
    DAY,
    plant::{Planted, instant, list, plant},
};
use crate::{
    process::noshi,
    support::{App, Backend, faults::of, on_each_backend},
};

type Ran = (Option<i32>, String, String);

/// Looks at a file with a row that cannot be read.
async fn a_dry_run_stores_nothing(app: &App, file: &Path, run: &impl Fn(&[&str]) -> Ran) {
    let runs = || async { app.database.number("SELECT COUNT(*) FROM reconciliations").await };
    let before = runs().await;
    let good = "time;type;request id;amount;shop\n2026-11-10 12:00:01;Create;A;1.005,00;x\n";
    let dry = |text: &str| {
        fs::write(file, text).unwrap();
        run(&["--csv", file.to_str().unwrap(), "--dry-run"])
    };
    let (code, text, error) = dry(good);
    assert!(code == Some(0) && text.starts_with("rows           1\n  bought: 1\n"), "{text}{error}");
    assert!(text.contains("not looked at  shop\nunreadable     0\nNothing was stored."), "{text}");
    let (code, text, error) = dry(&format!("{good}today;Create;B;5,00;x\n"));
    assert!(code == Some(3) && text.contains("unreadable     1\n  row 3: the time cannot be read\n"), "{text}{error}");
    let (code, _text, error) = dry("time;type;amount\n");
    assert!(code == Some(1) && error.contains("no column for the request id; its name may be request id"), "{error}");
    assert_eq!(run(&["--dry-run"]).0, Some(2), "there is no file to look at");
    // What the run would refuse, its rehearsal refuses.
    let today = app.ambient.now().date_naive().to_string();
    let of_today = |more: &[&str]| {
        let mut command = noshi();
        command.args(["reconcile", "--account", "main", "--from", DAY, "--to", &today, "--csv"]).arg(file).args(more);
        let output = command.envs(app.environment().iter().cloned()).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, error) = of_today(&["--dry-run"]);
    assert!(code == Some(1) && error.contains("the period is not over"), "{error}");
    assert_eq!(of_today(&[]).0, Some(1));
    assert_eq!(runs().await, before, "a dry run began a run");
}

on_each_backend! {
    async fn the_command_prints_text_json_and_csv_and_tells_a_difference_by_its_exit_code(backend: Backend) {
        let app = App::spawn(backend).await;
        let rewards: Vec<_> = (0..3).map(|n| Planted::issued(&app, n, 500, instant("2026-11-10T12:00:00Z"))).collect();
        plant(&app, &rewards).await;
        list(&app, rewards.iter().map(Planted::record));
        let environment = app.environment().to_vec();
        // While the service runs, too.
        let run = |more: &[&str]| {
            let mut command = noshi();
            command.args(["reconcile", "--account", "main", "--from", DAY, "--to", DAY]).args(more);
            let output = command.envs(environment.iter().cloned()).output().unwrap();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (output.status.code(), text(&output.stdout), text(&output.stderr))
        };
        let (code, text, error) = run(&[]);
        assert_eq!(code, Some(0), "{text}{error}");
        assert!(text.contains("Amazon's books are ours.") && text.contains("difference     0.00 USD"), "{text}");

        app.control.edit_activity(|all| all.retain(|record| record.request_id != rewards[1].id));
        let (code, text, _error) = run(&[]);
        assert_eq!(code, Some(3), "{text}");
        assert!(text.contains("not ours") && text.contains("-5.00 USD") && text.contains(&rewards[1].id), "{text}");
        let (code, json, _error) = run(&["--format", "json"]);
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_eq!((code, json["reconciliation"]["ours_only"].as_i64()), (Some(3), Some(1)), "{json}");
        assert_eq!(json["items"][0]["creation_request_id"], rewards[1].id);
        let (code, csv, _error) = run(&["--format", "csv"]);
        let lines: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
        assert_eq!((code, lines.len()), (Some(3), 2), "{csv}");
        assert_eq!((lines[0][1], lines[1][0], lines[1][1]), ("creation_request_id", "ours_only", rewards[1].id.as_str()));

        let file = app.database.folder.path().join("portal.csv");
        let rows: String = rewards.iter().map(|r| format!("2026-11-10 12:00:01,Create,{},5.00\n", r.id)).collect();
        fs::write(&file, format!("time,type,request id,amount\n{rows}")).unwrap();
        let (code, text, error) = run(&["--csv", file.to_str().unwrap()]);
        assert_eq!(code, Some(0), "{text}{error}");

        let thousands: String = rewards.iter().map(|r| format!("2026-11-10 12:00:01;Create;{};5.000\n", r.id)).collect();
        fs::write(&file, format!("time;type;request id;amount\n{thousands}")).unwrap();
        let (code, _text, error) = run(&["--csv", file.to_str().unwrap()]);
        assert!(code == Some(1) && error.contains("row 2: the amount can be 5.00 or 5000.00"), "{error}");
        let (code, text, error) = run(&["--csv", file.to_str().unwrap(), "--decimal", "point"]);
        assert_eq!(code, Some(0), "{text}{error}");
        assert_eq!(run(&["--csv", file.to_str().unwrap(), "--decimal", "comma"]).0, Some(3));
        assert_eq!(run(&["--decimal", "comma"]).0, Some(2), "there is no file to read");
        a_dry_run_stores_nothing(&app, &file, &run).await;

        app.control.script(FaultRule::once(Fault::Delay { milliseconds: 2500 })).unwrap();
        let (code, text, error) = run(&[]);
        assert_eq!((code, error.trim()), (Some(3), "0 records of main were read; Amazon shows a page of 1,000 a minute"), "{text}");

        app.control.set_activity_enabled(false);
        let (code, _text, error) = run(&[]);
        assert!(code == Some(1) && error.contains("switched off"), "{error}");
        assert_eq!(run(&["--csv", "nowhere.csv"]).0, Some(1));
        assert_eq!(run(&["--format", "xml"]).0, Some(2));
        app.end().await;
    }

    /// A run that nobody gives up keeps the next one waiting for five minutes.
    async fn a_command_that_is_stopped_gives_its_run_up(backend: Backend) {
        let app = App::spawn(backend).await;
        // One for each of the two: a run that nothing delays may be over before it is seen.
        app.control.script(of(Operation::GetGiftCardActivityPage, Fault::Delay { milliseconds: 3_000 }, 2)).unwrap();
        let mut command = noshi();
        command.args(["reconcile", "--account", "main", "--from", DAY, "--to", DAY]).envs(app.environment().iter().cloned());
        for signal in ["-TERM", "-INT"] {
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            app.until_number("SELECT COUNT(*) FROM reconciliations WHERE state = 'running'", 1).await;
            assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
            let status = child.wait().unwrap();
            assert_eq!(status.code(), Some(if signal == "-TERM" { 143 } else { 130 }), "{status}");
        }
        assert!(command.output().unwrap().status.success(), "the next one begins at once");
        app.end().await;
    }

    async fn money_that_is_missing_is_a_difference_although_every_card_agrees(backend: Backend) {
        let mut app = App::shaped(backend, crate::support::Shape { funds: 100, ..Default::default() }).await;
        let bought = app.issue("one", "5.00").await;
        assert_eq!(bought.status, 201, "{}", bought.text);
        let day = app.ambient.now().date_naive();
        // The opening is booked, and what is missing is told, once two looks agree. A look that was under way during the
        // purchase leaves a part to the next two.
        let balanced = async |app: &mut App| {
            crate::treasury::settle(app).await;
            crate::treasury::settle(app).await;
        };
        balanced(&mut app).await;
        let environment = app.environment().to_vec();
        let run = |day: chrono::NaiveDate| {
            let (mut command, day) = (noshi(), day.to_string());
            command.args(["reconcile", "--account", "main", "--from", &day, "--to", &day, "--format", "json"]);
            let output = command.envs(environment.iter().cloned()).output().unwrap();
            let json: Value = serde_json::from_slice(&output.stdout).unwrap();
            (output.status.code(), json["balance"].clone())
        };
        let before = day - chrono::Days::new(3);
        let (code, balance) = run(before);
        assert_eq!((code, &balance["missing"], &balance["expected"]), (Some(0), &Value::from("0.00"), &Value::from("95.00")), "{balance}");
        app.set_funds(88);
        balanced(&mut app).await;
        let (code, balance) = run(before);
        assert_eq!((code, &balance["missing"], &balance["issued"]), (Some(3), &Value::from("7.00"), &Value::from("5.00")), "{balance}");
        app.end().await;
    }
}
