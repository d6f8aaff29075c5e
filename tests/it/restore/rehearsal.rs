//! The whole of it, on both databases, with processes and the runbook's own commands (D6): life, a back-up under load,
//! more life, kill -9, the old back-up comes back, callers come back, a reconciliation, a person settles. Twice from the
//! same back-up. At the end the gateway's book and ours agree to the last card and the last cent.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use noshi::{
    ambient::Ambient,
    sandbox::{Fault, FaultRule},
};
use serde_json::json;

use super::{
    portal::{self, reconcile},
    run,
    runbook::{Shell, commands, of_postgres, of_sqlite},
};
use crate::{
    kill::{
        crowd::{Crowd, Wish},
        start,
        verdict::judge,
    },
    process::Served,
    support::{
        Answer, App, Backend, Shape,
        books::rows,
        on_each_backend,
        rounds::{count_of, print, seed},
        wait::until,
        with_json,
    },
};

/// Keys of the life before the back-up, and of each life after it; half of the first come while it is made.
const KEYS: usize = 80;

fn keys_wanted() -> usize {
    count_of("NOSHI_TEST_REHEARSAL_KEYS", KEYS)
}
/// Callers at once.
const CALLERS: usize = 8;
/// Of a hundred new keys, so many meet a fault at the gateway.
const FAULTS: usize = 15;
const PROGRAM: &str = "prg_rehearsal";

on_each_backend! {
    async fn an_old_back_up_costs_no_card_no_code_and_no_cent(backend: Backend) {
        let seed = seed();
        print(&format!("rehearsal, {backend:?}: NOSHI_TEST_SEED={seed}"));
        let (crowd, served) = stage(backend, seed).await;
        let shell = match backend {
            Backend::Sqlite => Shell::new(&crowd.app, &of_sqlite(&crowd.app)),
            Backend::Postgres => Shell::new(&crowd.app, &of_postgres(&crowd.app)),
        };
        let backed_up = back_up_under_load(&crowd, &served.base, &shell).await;
        let mut served = Some(served);
        for round in 1..=2 {
            served = Some(one_round(&crowd, &shell, served.take().unwrap(), (round, &backed_up)).await);
        }
        assert!(tokio::task::spawn_blocking(move || served.unwrap().terminate()).await.unwrap().success());
        drop_old_databases(&crowd.app, &shell).await;
        crowd.app.end().await;
    }
}

/// A service and its callers, all of whose rewards are charged to a program with budgets.
async fn stage(backend: Backend, seed: u64) -> (Crowd, Served) {
    let shape = Shape { funds: 1_000_000, ..Shape::default() }
        .with("NOSHI__BALANCES__CONFIRM_SECONDS", 1)
        .with("NOSHI__REWARDS__UPSTREAM_TIMEOUT_SECONDS", 1)
        .with("NOSHI__REWARDS__LEASE_SECONDS", 11)
        .with("NOSHI__LOG__FILTER", "off,noshi::bootstrap=info");
    let mut app = App::shaped(backend, shape).await;
    assert!(app.stop().await, "something was still running");
    let served = start(app.environment().to_vec()).await.unwrap();
    app.base.clone_from(&served.base);
    let limits = json!([{"span": "total", "hard": "1000000.00"}, {"span": "day", "unit": "count", "hard": "100000"}]);
    let program = json!({"id": PROGRAM, "name": "Rehearsal", "account_id": "main", "limits": limits});
    let made = app.post("/v1/programs", program).await;
    assert_eq!(made.status, 201, "{}", made.text);
    app.key = app.mint_bound_key("tests", PROGRAM).await.1;
    (Crowd::new(app, seed, FAULTS), served)
}

/// Callers come until there are so many keys.
async fn live(crowd: &Crowd, base: &str, keys: usize) {
    let caller = async || {
        while crowd.told().callers.len() < keys {
            let (_at, answered) = crowd.ask(base, crowd.any_wish()).await;
            if !answered {
                return;
            }
        }
    };
    join_all((0..CALLERS).map(|_| caller())).await;
}

fn back_up_command(backend: Backend) -> String {
    match backend {
        Backend::Sqlite => commands("Back up SQLite"),
        Backend::Postgres => commands("Back up PostgreSQL"),
    }
}

/// A back-up that was made.
struct BackedUp {
    /// How many keys there were when it began.
    keys: usize,
    /// As the command printed it; PostgreSQL's prints none.
    sha256: String,
}

async fn back_up_under_load(crowd: &Crowd, base: &str, shell: &Shell) -> BackedUp {
    live(crowd, base, keys_wanted() / 2).await;
    let keys = crowd.told().callers.len();
    let backend = crowd.app.database.backend;
    let copying = async {
        let said = shell.run_well(&back_up_command(backend), &[]).await;
        print(&format!("rehearsal, {backend:?}: back-up under load: {}", said.trim()));
        said.trim().rsplit_once("SHA-256 ").map_or_else(String::new, |(_before, sha256)| sha256.to_owned())
    };
    let ((), sha256) = tokio::join!(live(crowd, base, keys_wanted()), copying);
    BackedUp { keys, sha256 }
}

/// Life, death, restore, return, reconciliation, settlement, and the verdict.
async fn one_round(crowd: &Crowd, shell: &Shell, served: Served, (round, backed_up): (usize, &BackedUp)) -> Served {
    let &BackedUp { keys: backed_up, ref sha256 } = backed_up;
    let backend = crowd.app.database.backend;
    let base = served.base.clone();
    let keys = crowd.told().callers.len();
    live(crowd, &base, keys + keys_wanted()).await;
    cancel_some(crowd, &base, backed_up).await;
    kill_in_flight(crowd, served).await;
    let before = shown_at_amazon(crowd);

    let restore = if backend == Backend::Sqlite { "Restore SQLite" } else { "Restore PostgreSQL" };
    shell.run_well(&commands(restore), &[("SHA256", sha256)]).await;
    let known: BTreeSet<String> = rows(&crowd.app).await.into_iter().map(|row| row.creation_request_id).collect();
    let lost = before.iter().filter(|id| !known.contains(*id)).count();
    assert!(lost > keys_wanted() / 3, "the back-up was not old: {lost} rows are lost");
    crowd
        .told()
        .callers
        .iter_mut()
        .filter(|caller| !known.contains(&caller.amazon_id))
        .for_each(|caller| caller.id = None);

    let notes = "SELECT COUNT(*) FROM events WHERE kind = 'database.restored'";
    assert_eq!(crowd.app.database.number(notes).await, 1, "the database says that it was restored");
    let served = start(crowd.app.environment().to_vec()).await.unwrap();
    come_back(crowd, &served.base, backed_up, &known).await;
    come_to_rest(crowd).await;
    pass_days(crowd, -2).await;
    let (first, causes) = settle_all(crowd, shell, &served.base).await;
    let missing = agree(crowd, shell, &served.base).await;
    pass_days(crowd, 2).await;

    let verdict = judge(crowd, &served.base).await;
    verdict.holds();
    budgets_match(crowd).await;
    let tally = |name: &str| first.run[name].clone();
    print(&format!(
        "rehearsal, {backend:?}, round {round}: {} keys, {} cards, {lost} rows lost; reconciliation: exit {:?}, matched {}, \
         theirs_only {}, adopted {}, state_differs {}, difference {}; settled {causes:?}; taken for a deposit {missing}; \
         then exit 0; double 0, lost 0",
        crowd.told().callers.len(),
        crowd.app.control.book().len(),
        first.code,
        tally("matched"),
        tally("theirs_only"),
        tally("adopted"),
        tally("state_differs"),
        tally("difference"),
    ));
    served
}

/// Every id under which Amazon has made a card.
fn shown_at_amazon(crowd: &Crowd) -> BTreeSet<String> {
    crowd.app.control.book().into_iter().map(|card| card.creation_request_id).collect()
}

/// Some whose rewards the back-up knows as issued cancel, and are not heard of again.
async fn cancel_some(crowd: &Crowd, base: &str, backed_up: usize) {
    const CANCELS: usize = 6;
    let fits: Vec<usize> = {
        let told = crowd.told();
        let fits = |at: &usize| {
            let caller = &told.callers[*at];
            caller.id.is_some() && !caller.codes.is_empty() && !caller.is_gone() && !caller.gives_up
        };
        (0..backed_up).filter(fits).take(CANCELS).collect()
    };
    assert_eq!(fits.len(), CANCELS, "nobody is left who could cancel");
    for at in fits {
        assert!(crowd.ask(base, Wish::Cancel(at)).await.1);
        crowd.told().callers[at].gives_up = true;
    }
}

/// kill -9 while Amazon works for some, and answers to others are on their way.
async fn kill_in_flight(crowd: &Crowd, served: Served) {
    let slow = FaultRule::always(Fault::DelayWork { milliseconds: 60 });
    crowd.app.control.script(slow).unwrap();
    let base = served.base.clone();
    let keys = crowd.told().callers.len();
    let killed = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        tokio::task::spawn_blocking(|| served.kill()).await.unwrap();
    };
    tokio::join!(live(crowd, &base, keys + 1_000), killed);
    crowd.app.control.clear_faults();
    assert!(!crowd.take_cut().is_empty(), "nothing was in flight");
    // Amazon ends what it has begun.
    tokio::time::sleep(Duration::from_millis(200)).await;
}

/// Callers whose rewards the back-up does not know, or not as they are: some ask again, with the same body or, by mistake,
/// with another one, some want to cancel, some never come back.
async fn come_back(crowd: &Crowd, base: &str, backed_up: usize, known: &BTreeSet<String>) {
    let count = crowd.told().callers.len();
    for at in 0..count {
        let caller = crowd.told().callers[at].clone();
        if caller.gives_up {
            continue;
        }
        let drawn = crowd.roll(100);
        let lost = !known.contains(&caller.amazon_id);
        match drawn {
            0..35 => drop(crowd.ask(base, Wish::Again(at)).await),
            35..50 => {
                crowd.ask(base, Wish::Again(at)).await;
                if crowd.told().callers[at].id.is_some() {
                    crowd.ask(base, Wish::Cancel(at)).await;
                }
            }
            50..60 if !lost => another_body(crowd, base, &caller.key).await.is_problem(422, "idempotency-mismatch"),
            _ if at >= backed_up => crowd.told().callers[at].gives_up = true,
            _ => {}
        }
    }
}

async fn another_body(crowd: &Crowd, base: &str, key: &str) -> Answer {
    let request = crowd.app.http.post(format!("{base}/v1/rewards")).bearer_auth(&crowd.app.key);
    let body = crate::support::order("77.00");
    Answer::of(with_json(request.header("Idempotency-Key", key), &body)).await
}

async fn come_to_rest(crowd: &Crowd) {
    crowd.app.until_number("SELECT COUNT(*) FROM rewards WHERE due_at IS NOT NULL", 0).await;
}

/// A reconciliation is of days that are over: everything happened so many days later, or earlier, by both books.
async fn pass_days(crowd: &Crowd, days: i64) {
    let columns = ["created_at", "updated_at", "first_send_at", "issued_at", "canceled_at"];
    let sets = columns.map(|column| match crowd.app.database.backend {
        // The time of day as it was written: instants are compared as texts.
        Backend::Sqlite => format!("{column} = date(substr({column}, 1, 10), '{days} days') || substr({column}, 11)"),
        Backend::Postgres => format!("{column} = {column} + INTERVAL '{days} days'"),
    });
    crowd.app.database.execute(&format!("UPDATE rewards SET {}", sets.join(", "))).await.unwrap();
    crowd.app.control.edit_activity(|all| all.iter_mut().for_each(|record| record.at += TimeDelta::days(days)));
}

/// The first reconciliation finds what was lost, and a person settles it.
async fn settle_all(crowd: &Crowd, shell: &Shell, base: &str) -> (portal::Compared, BTreeMap<String, usize>) {
    let app = &crowd.app;
    let compared = reconcile(app, shell).await;
    assert_eq!(compared.code, Some(3), "{}", compared.run);
    assert!(compared.of_class("theirs_only") > 0 && compared.of_class("state_differs") > 0, "{}", compared.run);
    // A card that was adopted is nobody else's, and nothing is bought for another body under its key.
    let adopted = compared.items.iter().find(|item| item["class"] == "theirs_only").unwrap();
    let amazon_id = adopted["creation_request_id"].as_str().unwrap();
    let key = crowd.told().callers.iter().find(|caller| caller.amazon_id == amazon_id).unwrap().key.clone();
    another_body(crowd, base, &key).await.is_problem(422, "idempotency-mismatch");
    // Live cards first. The balance in between takes what was refunded for a deposit: see the runbook.
    let mut causes = portal::settle(app, shell, &compared, true).await;
    // A question that was under way meanwhile leaves a part to the two that follow.
    balance(crowd, base).await;
    balance(crowd, base).await;
    for (cause, count) in portal::settle(app, shell, &compared, false).await {
        *causes.entry(cause).or_default() += count;
    }
    (compared, causes)
}

/// The second one says that both agree, once what was taken for a deposit is taken off again; says how much that was.
async fn agree(crowd: &Crowd, shell: &Shell, base: &str) -> i64 {
    balance(crowd, base).await;
    let mut compared = reconcile(&crowd.app, shell).await;
    assert_eq!(compared.items.len(), 0, "{:?}", compared.items);
    let missing = compared.missing();
    assert!(compared.code == Some(3) && missing > 0, "{}", compared.balance);
    let amount = format!("-{}.{:02}", missing / 100, missing % 100);
    shell.run_well(&commands("The balance"), &[("ACCOUNT", "main"), ("AMOUNT", &amount), ("NAME", "kim")]).await;
    balance(crowd, base).await;
    compared = reconcile(&crowd.app, shell).await;
    assert_eq!((compared.code, compared.missing()), (Some(0), 0), "{} {}", compared.run, compared.balance);
    missing
}

/// Has Amazon's balance compared with the ledger as it stands now, until two answers agree.
async fn balance(crowd: &Crowd, base: &str) {
    observe(crowd, base).await;
    observe(crowd, base).await;
}

/// Has the balance asked for; a question of a moment ago stands in the way of the next.
async fn observe(crowd: &Crowd, base: &str) {
    let before = Ambient::system().now();
    until("the balance is asked for", async || {
        let request = crowd.app.http.post(format!("{base}/v1/balances/main/refresh")).bearer_auth(&crowd.app.key);
        let refreshed = Answer::of(with_json(request, &json!({}))).await;
        assert_eq!(refreshed.status, 200, "{}", refreshed.text);
        let as_of: DateTime<Utc> = refreshed.json["as_of"].as_str().unwrap().parse().unwrap();
        as_of > before
    })
    .await;
}

/// The program's count is the sum of what is charged to it.
async fn budgets_match(crowd: &Crowd) {
    let off = format!(
        "SELECT CAST(used_minor + reserved_minor - (SELECT COALESCE(SUM(amount_minor), 0) FROM rewards \
         WHERE program_id = '{PROGRAM}' AND booked <> 'none') AS BIGINT) FROM budget_usage \
         WHERE program_id = '{PROGRAM}' AND holder = 'all' AND span = 'total'"
    );
    assert_eq!(crowd.app.database.number(&off).await, 0, "the budget has counted something twice or not at all");
}

/// What the restores have put aside in the cluster.
async fn drop_old_databases(app: &App, shell: &Shell) {
    if app.database.backend == Backend::Postgres {
        let drop = "psql -qAt \"$SERVER/postgres\" -c \"SELECT datname FROM pg_database WHERE datname LIKE '${DATABASE}\\_old\\_%'\" \
                    | xargs -r -n 1 dropdb --maintenance-db=\"$SERVER/postgres\"";
        shell.run_well(drop, &[]).await;
    }
    let (code, _out, error) = run(app, &["ledger", "sums"]);
    assert_eq!(code, Some(0), "{error}");
}
