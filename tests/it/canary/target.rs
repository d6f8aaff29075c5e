//! A target in clear is nowhere: not while it is sealed in its row, not after it does not open, not after it was wiped.

use noshi::{
    incentives::target::{Kept, keep, peek},
    kernel::{Chain, RewardId},
    sandbox::{Fault, FaultRule, Operation},
    sealing::{Keyring, Place, Sameness, Target},
};
use serde_json::json;
use zeroize::Zeroizing;

use super::{Places, Scanner, capture::log, files, rows, search};
use crate::{
    process::{Served, noshi},
    support::{Answer, App, Backend, Shape, on_each_backend, with_json},
};

const TARGET: &str = "6035-7000-0000-1234-567";
/// The kind of nothing: the row is a gift code's.
const KIND: &str = "test_activation";
/// A card that the gateway knows.
const CARD: &str = "1400000005567642136";

pub(super) fn keys(folder: &tempfile::TempDir, names: &[&str]) -> String {
    let key = |name: &&str| {
        let path = folder.path().join(name);
        let random = noshi::ambient::Ambient::system().token().unwrap().simple().to_string();
        std::fs::write(&path, format!("{random}{random}")).unwrap();
        format!("{{ id = \"{name}\", file = \"{}\" }}", path.display())
    };
    format!("[{}]", names.iter().map(key).collect::<Vec<_>>().join(", "))
}

/// Whatever the service leaves behind or shows.
pub(super) async fn leaks(app: &App, scanner: &Scanner) -> Vec<String> {
    let mut places = rows(&app.database).await;
    if app.database.backend == Backend::Sqlite {
        places.extend(files(app.database.folder.path()));
    }
    places.insert("the metrics page".to_owned(), app.metrics().await.into_bytes());
    places.insert("the log".to_owned(), log().taken());
    search(scanner, &places)
}

async fn keep_sealed(app: &App, keyring: &Keyring, id: RewardId, target: &Target) {
    let place = Place { row: id.uuid(), kind: KIND };
    let sealed = Some(keyring.seal(target, place, &app.ambient).unwrap());
    let kept = Kept { sealed, fingerprint: keyring.fingerprint(target, place).unwrap(), token: None };
    let store = app.open_store().await;
    // The worker changes the row meanwhile.
    for _ in 0..100 {
        let version = app.database.number("SELECT version FROM rewards").await;
        let mut tx = store.begin().await.unwrap();
        let done = keep(&mut tx, id, version, &kept, None).await.unwrap();
        tx.commit(()).await.unwrap();
        if done {
            return store.close().await;
        }
    }
    panic!("the row changed at every try");
}

on_each_backend! {
    async fn a_target_is_sealed_until_the_outcome_is_final_and_wiped_then(backend: Backend) {
        log().start();
        let folder = tempfile::tempdir().unwrap();
        let shape = Shape::default().with("NOSHI__SEALING__KEYS", keys(&folder, &["2026-11", "2026-05"]));
        let app = App::shaped(backend, shape).await;
        let scanner = Scanner::new(&[TARGET.to_owned()]);
        let mut rule = FaultRule::always(Fault::DropAfterWork);
        rule.operation = Some(Operation::CreateGiftCard);
        app.control.script(rule).unwrap();
        let accepted = app.issue("one", "5.00").await;
        accepted.is_accepted();
        let id: RewardId = accepted.id().parse().unwrap();
        let place = Place { row: id.uuid(), kind: KIND };

        let keyring = Keyring::new(&app.settings.sealing).unwrap();
        let target = Target::new(Zeroizing::new(TARGET.to_owned())).unwrap();
        keep_sealed(&app, &keyring, id, &target).await;
        let store = app.open_store().await;
        let kept = peek(&mut store.snapshot().await.unwrap(), id).await.unwrap().unwrap();
        let sealed = kept.sealed.unwrap();
        assert_eq!(keyring.open(&sealed, place).unwrap().in_clear(), TARGET);

        let check = |listed: &[&str]| {
            let keys = ("NOSHI__SEALING__KEYS", keys(&folder, listed));
            let settings = app.environment().iter().cloned();
            let done = noshi().args(["check", "--targets"]).envs(settings).env(keys.0, keys.1).output().unwrap();
            (done.status.code(), String::from_utf8(done.stdout).unwrap())
        };
        let audited = app.database.number("SELECT COUNT(*) FROM audit_records WHERE hash_key = '2026-11'").await;
        let listed = format!(
            "2026-11: listed; needed for: targets 1, webhook secrets 0, audit records {audited}\n\
             2026-05: listed; needed for: targets 0, webhook secrets 0, audit records 0\n"
        );
        assert_eq!(check(&["2026-11", "2026-05"]), (Some(0), listed));
        let missing = format!(
            "2026-05: listed; needed for: targets 0, webhook secrets 0, audit records 0\n\
             2026-11: NOT LISTED; needed for: targets 1, webhook secrets 0, audit records {audited}\n"
        );
        assert_eq!(check(&["2026-05"]), (Some(3), missing));

        // What does not open is reported by the key's id alone.
        let elsewhere = Place { row: app.ambient.token().unwrap(), kind: KIND };
        let error = keyring.open(&sealed, elsewhere).err().unwrap();
        tracing::error!(error = %Chain(&error), "planted: {error:?} {sealed:?} {:?}", app.settings);
        assert_eq!(leaks(&app, &scanner).await, [""; 0], "while it is sealed");

        app.control.clear_faults();
        app.until(accepted.id(), "issued").await;
        let after = peek(&mut store.snapshot().await.unwrap(), id).await.unwrap().unwrap();
        assert!(after.sealed.is_none(), "it was not wiped");
        assert_eq!(keyring.compare(&after.fingerprint, &target, place), Sameness::Same);
        let wiped = "SELECT COUNT(*) FROM rewards WHERE target_sealed IS NULL AND target_key IS NULL";
        assert_eq!(app.database.number(wiped).await, 1);
        assert_eq!(leaks(&app, &scanner).await, [""; 0], "after it was wiped");
        store.close().await;
        app.end().await;
    }

    /// The process dies with the number sealed in its row, and another one ends what it began.
    async fn a_cards_number_is_nowhere_also_after_a_crash_between_seal_and_wipe(backend: Backend) {
        log().start();
        let folder = tempfile::tempdir().unwrap();
        let shape = Shape::default()
            .with("NOSHI__SEALING__KEYS", keys(&folder, &["2026-11"]))
            .with("NOSHI__ACCOUNTS__MAIN__KINDS", "[\"gift_code\", \"card_activation\"]");
        let mut app = App::shaped(backend, shape).await;
        assert!(app.control.cards().iter().any(|card| card.card_number == CARD));
        let scanner = Scanner::new(&[CARD.to_owned()]);
        assert!(app.stop().await);
        let mut rule = FaultRule::always(Fault::DropAfterWork);
        rule.operation = Operation::named("ActivateGiftCard");
        app.control.script(rule).unwrap();
        let mut trace = app.environment().to_vec();
        trace.push(("NOSHI__LOG__FILTER".to_owned(), "trace".to_owned()));
        let served = Served::start(&trace);
        let order = json!({
            "kind": "card_activation", "value": {"amount": "25.00", "currency_code": "USD"}, "target": {"card_number": CARD},
        });
        let request = app.http.post(format!("{}/v1/rewards", served.base)).bearer_auth(&app.key);
        let lost = Answer::of(with_json(request.header("Idempotency-Key", "one"), &order)).await;
        lost.is_accepted();
        app.until_received("ActivationStatusCheck", 1).await;
        let said: String = served.log().iter().map(|line| format!("{line}\n")).collect();
        served.kill();
        let id: RewardId = lost.id().parse().unwrap();
        let store = app.open_store().await;
        let kept = peek(&mut store.snapshot().await.unwrap(), id).await.unwrap().unwrap();
        assert!(kept.sealed.is_some(), "the other process must send it again");
        let answers = Places::from([
            ("the log of the process that died".to_owned(), said.into_bytes()),
            ("its answer".to_owned(), lost.text.clone().into_bytes()),
        ]);
        assert_eq!(search(&scanner, &answers), [""; 0]);

        app.start().await;
        assert_eq!(leaks(&app, &scanner).await, [""; 0], "while it is sealed");
        app.control.clear_faults();
        app.advance(60);
        app.until(lost.id(), "issued").await;
        app.advance(1_201);
        app.until_number("SELECT COUNT(*) FROM rewards WHERE target_key IS NOT NULL", 0).await;
        let events = app.get(&format!("/v1/rewards/{}/events", lost.id())).await;
        let shown = app.read(lost.id()).await;
        assert_eq!(shown["target_ending"], "2136");
        let mut other = order.clone();
        other["target"]["card_number"] = json!("1400000005567585358");
        let mismatch = app.issue_body("one", other).await;
        mismatch.is_problem(422, "idempotency-mismatch");
        let answers = [events.text, shown.to_string(), mismatch.text].map(String::into_bytes);
        let answers = answers.into_iter().enumerate().map(|(at, text)| (format!("answer {at}"), text)).collect();
        assert_eq!(search(&scanner, &answers), [""; 0]);
        assert_eq!(leaks(&app, &scanner).await, [""; 0], "after it was wiped");
        store.close().await;
        app.end().await;
    }
}
