//! What a restored database does not know, it does not take for known: until the gap is reconciled a refusal of Amazon's is
//! no proof that nothing was bought, and a back-up that is older than ids may be replayed is not served from.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use noshi::{
    audit::{AuditActor, Scribe},
    bootstrap::{self, StartError, note_restore},
    incentives::restore_note,
    sandbox::{Fault, FaultRule, Operation},
    sealing::AuditKeys,
};

use super::runbook::{Shell, commands};
use crate::{
    reconciliation::{
        orphans::{forget_entries, lose},
        reconcile,
    },
    support::{Answer, App, Backend, books::books_match, on_each_backend, order, trap::Trap, with_json},
};

const DAY_SECONDS: i64 = 24 * 3600;

/// The service stops, what was written last is lost, and the service starts on what came back.
pub(super) async fn restored_without(app: &mut App, lost: &[&str]) {
    assert!(app.stop().await);
    for key in lost {
        lose(app, key).await;
    }
    note(app, None).await;
    app.start().await;
}

async fn note(app: &App, lost_from: Option<DateTime<Utc>>) {
    let store = app.open_store().await;
    note_restore(&store, &app.ambient, lost_from, &app.scribe()).await.unwrap();
    store.close().await;
}

/// Amazon refuses the next creates under this key.
fn refuse(app: &App, key: &str, times: u32, (code, error_type): (&str, &str)) {
    let refused = Fault::FCode { code: code.to_owned(), error_type: error_type.to_owned(), after_work: false };
    let rule = FaultRule {
        times: Some(times),
        operation: Some(Operation::CreateGiftCard),
        creation_request_id: Some(app.amazon_id(key)),
        ..FaultRule::once(refused)
    };
    app.control.script(rule).unwrap();
}

const NO_FUNDS: (&str, &str) = ("F300", "InsufficientFunds");
const INVALID: (&str, &str) = ("F200", "InvalidAmountValue");

/// What a back-up from before the purchase says of a row that it knows.
pub(super) async fn rewind(app: &App, key: &str, entries: &str, sets: &str) {
    let id = app.amazon_id(key);
    forget_entries(
        app,
        &format!("{entries} AND reward_id IN (SELECT id FROM rewards WHERE creation_request_id = '{id}')"),
    )
    .await;
    let update = format!("UPDATE rewards SET {sets} WHERE creation_request_id = '{id}'");
    assert_eq!(app.database.execute(&update).await.unwrap(), 1);
}

/// The kinds of events since the restore.
async fn told(app: &App) -> Vec<String> {
    let events = app.get("/v1/events").await;
    let kinds = events.json["data"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap().to_owned());
    kinds.filter(|kind| kind.starts_with("database.")).collect()
}

on_each_backend! {
    async fn until_the_gap_is_reconciled_a_refusal_proves_nothing_and_then_it_does(backend: Backend) {
        let mut app = App::spawn(backend).await;
        let day = app.ambient.now().date_naive();
        let first = app.issue("lost-1", "5.00").await;
        let second = app.issue("lost-2", "6.00").await;
        assert_eq!((first.status, second.status), (201, 201), "{}", first.text);
        restored_without(&mut app, &["lost-1", "lost-2"]).await;
        for (key, amount, before, refusal) in
            [("lost-1", "5.00", &first, NO_FUNDS), ("lost-2", "6.00", &second, INVALID)]
        {
            refuse(&app, key, 1, refusal);
            let again = app.issue(key, amount).await;
            again.is_accepted();
            app.until(again.id(), "issued").await;
            assert_eq!(app.issue(key, amount).await.code(), before.code(), "the card that was bought before");
        }
        // What is refused for good is a person's in the end, and is never said not to have been bought.
        refuse(&app, "refused", 3, INVALID);
        let refused = app.issue("refused", "7.00").await;
        refused.is_accepted();
        let ended = app.until(refused.id(), "needs_attention").await;
        assert_eq!(ended["attention"], "refused_in_doubt", "{ended}");
        assert_eq!(told(&app).await, ["database.restored"]);

        app.advance(3 * DAY_SECONDS);
        // Not the whole gap yet, for the restore may have been after midnight.
        let (before, after) = (day.pred_opt().unwrap().to_string(), (day + TimeDelta::days(1)).to_string());
        reconcile(&app, &before, &before).await;
        assert_eq!(told(&app).await, ["database.restored"], "a day that is not the gap's fills nothing");
        reconcile(&app, &before, &after).await;
        assert_eq!(told(&app).await, ["database.restored", "database.reconciled"]);
        refuse(&app, "after", 1, INVALID);
        let after = app.issue("after", "8.00").await;
        assert_eq!((after.status, &after.json["money_moved"]), (422, &"no".into()), "{}", after.text);
        app.end().await;
    }

    async fn another_body_under_a_lost_key_buys_nothing_and_shows_no_code(backend: Backend) {
        let mut app = App::spawn(backend).await;
        let bought = app.issue("lost", "5.00").await;
        assert_eq!(bought.status, 201, "{}", bought.text);
        restored_without(&mut app, &["lost"]).await;
        let other = app.issue("lost", "9.00").await;
        other.is_accepted();
        assert_eq!((&other.json["status"], &other.json["attention"]), (&"needs_attention".into(), &"mismatch".into()));
        app.issue("lost", "5.00").await.is_problem(422, "idempotency-mismatch");
        app.reveal(other.id()).await.is_problem(409, "invalid-state");
        assert_eq!(app.live_cards().len(), 1, "the one that was bought before");
        app.end().await;
    }

    async fn a_refused_reward_that_was_bought_since_is_in_doubt_when_it_is_tried_again(backend: Backend) {
        let mut app = App::spawn(backend).await;
        refuse(&app, "cured", 1, NO_FUNDS);
        assert_eq!(app.issue("cured", "5.00").await.status, 402);
        let bought = app.issue("cured", "5.00").await;
        assert_eq!(bought.status, 201, "{}", bought.text);
        assert!(app.stop().await);
        let failed = "state = 'failed', error_code = 'F300', booked = 'none', issued_at = NULL, first_send_at = NULL";
        rewind(&app, "cured", "TRUE", failed).await;
        note(&app, None).await;
        app.start().await;
        refuse(&app, "cured", 1, NO_FUNDS);
        let again = app.issue("cured", "5.00").await;
        again.is_accepted();
        app.until(again.id(), "issued").await;
        assert_eq!(app.issue("cured", "5.00").await.code(), bought.code());
        books_match(&app).await;
        app.end().await;
    }

    async fn what_was_proven_not_to_have_been_sent_is_asked_for_before_it_is_canceled(backend: Backend) {
        let mut app = App::spawn(backend).await;
        let bought = app.issue("sent-since", "5.00").await;
        assert_eq!(bought.status, 201, "{}", bought.text);
        assert!(app.stop().await);
        // As late as the ladder waits at most: what is due later than that counts as due.
        let later = (app.ambient.now() + TimeDelta::minutes(14)).to_rfc3339_opts(SecondsFormat::Micros, false);
        let pending = format!(
            "state = 'pending', booked = 'reserved', issued_at = NULL, first_send_at = NULL, due_at = '{later}'"
        );
        rewind(&app, "sent-since", "kind = 'issued'", &pending).await;
        note(&app, None).await;
        // Nobody asks Amazon before the caller cancels.
        app.database.execute(&format!("UPDATE rewards SET due_at = '{later}'")).await.unwrap();
        app.start().await;
        let canceled = app.cancel(bought.id()).await;
        assert!(matches!(canceled.status, 200 | 202), "{}", canceled.text);
        app.until(bought.id(), "canceled").await;
        assert_eq!(app.live_cards().len(), 0, "the card was given back, not forgotten");
        books_match(&app).await;
        app.end().await;
    }

    /// The database stumbles over the wish to cancel, which nobody is there to repeat.
    async fn whoever_went_without_a_code_is_heard_while_the_gap_is_open(backend: Backend) {
        let mut app = App::spawn(backend).await;
        assert_eq!(app.issue("before", "5.00").await.status, 201);
        restored_without(&mut app, &[]).await;
        app.strike("gone", Fault::Delay { milliseconds: 2500 }, 1);
        let mut body = order("5.00");
        body["on_unresolved"] = "cancel".into();
        let request = app.request("POST", "/v1/rewards").header("Idempotency-Key", "gone").header("Prefer", "wait=1");
        let stumbles = async {
            app.until_received("Create", 2).await;
            let trap = Trap::set(&app, "issuing").await;
            tokio::time::sleep(Duration::from_millis(1300)).await;
            trap.lift(&app).await;
        };
        let (answer, ()) = tokio::join!(Answer::of(with_json(request, &body)), stumbles);
        answer.is_accepted();
        app.until(answer.id(), "canceled").await;
        assert_eq!(app.live_cards().len(), 1, "the one from before");
        books_match(&app).await;
        app.end().await;
    }

    async fn a_back_up_that_is_older_than_ids_are_replayed_is_not_served_from_before_it_is_reconciled(backend: Backend) {
        let mut app = App::spawn(backend).await;
        assert!(app.stop().await);
        let now = app.ambient.now();
        note(&app, Some(now - TimeDelta::days(31))).await;
        match bootstrap::start(&app.settings, app.ambient.clone()).await {
            Err(StartError::RestoredTooOld(account)) => assert_eq!(account, "main"),
            Err(other) => panic!("refused for another reason: {other}"),
            Ok(_served) => panic!("served"),
        }
        let day = |days: i64| (now - TimeDelta::days(days)).date_naive().to_string();
        let (first, last) = (day(31), day(2));
        let days = [("ACCOUNT", "main"), ("FIRST_DAY", first.as_str()), ("LAST_DAY", last.as_str())];
        let ran = Shell::new(&app, &[]).run(&commands("Reconcile the lost period"), &days).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        app.start().await;
        assert_eq!(app.issue("new", "5.00").await.status, 201);
        assert_eq!(told(&app).await, ["database.restored"], "the last days are not reconciled yet");
        app.end().await;
    }

    async fn a_database_that_holds_nothing_was_not_restored(backend: Backend) {
        let database = crate::support::Database::fresh(backend).await;
        let url = secrecy::SecretString::from(database.url().to_owned());
        let options = noshi::store::StoreOptions { create: true, ..noshi::store::StoreOptions::of_command(url, 2) };
        let store = noshi::store::Store::open(&options).await.unwrap();
        noshi::store::migrate::migrate(&store).await.unwrap();
        let ambient = noshi::ambient::Ambient::system();
        assert!(matches!(note_restore(&store, &ambient, None, &Scribe::new(AuditKeys::default(), AuditActor::command(None))).await, Err(restore_note::RestoreNoteError::Empty)));
        assert!(restore_note::last(&mut store.snapshot().await.unwrap()).await.unwrap().is_none());
        store.close().await;
        database.remove().await;
    }
}
