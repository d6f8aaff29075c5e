//! Death at every named place that a physical card and a load pass. The places are the engine's; a kind has its own operation, a
//! sealed target that the next process must open, and its own way to find out what was done.

use noshi::sandbox::{CardState, Fault, FaultRule};
use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};

use super::{
    Dice, count_of,
    points::{LIFE_ALONE_MAX, LIFE_MAX, PLACES, end_of, is_ours},
    print, seed, shape,
    sold::{Sold, selling_all},
    start,
};
use crate::support::{Answer, App, Backend, on_each_backend, with_json};

/// Roads that every kind takes. A code alone is held for a caller and shown again, and `head` names a gift code's operation.
const ROADS: [&str; 4] = ["issue", "cancel", "replay", "store"];
/// Places of each kind in an everyday run.
const EVERYDAY: usize = 4;
/// Tries that may be spent on a death.
const TRIES: usize = 3;

on_each_backend! {
    async fn death_at_every_place_activates_and_loads_nothing_twice_and_forgets_nothing(backend: Backend) {
        let seed = seed();
        print(&format!("places of cards and loads, {backend:?}: NOSHI_TEST_SEED={seed}"));
        for kind in [Sold::Card, Sold::Load] {
            die_everywhere(backend, kind, seed).await;
        }
    }
}

async fn die_everywhere(backend: Backend, kind: Sold, seed: u64) {
    let (_folder, mut with_kinds) = selling_all();
    with_kinds.settings.extend(shape().settings);
    let mut app = App::shaped(backend, with_kinds).await;
    assert!(app.stop().await, "something was still running");
    let mut dice = Dice::new(seed);
    let passed = |place: &&&str| ROADS.contains(&road_of(place));
    let all: Vec<&str> = PLACES.iter().filter(passed).copied().collect();
    let count = count_of("NOSHI_TEST_PLACES_OF_KINDS", EVERYDAY).min(all.len());
    let places: Vec<&str> = all.sample(&mut dice.0, count).copied().collect();
    let (mut orders, mut keys) = (0, Vec::new());
    for place in &places {
        let mut died = false;
        for _ in 0..TRIES {
            if !died {
                let key = format!("{kind:?}-{orders}");
                let order = kind.order(kind.target(&app, orders).as_deref(), "25.00");
                orders += 1;
                died = one_death(&app, kind, place, &key, &order).await;
                keys.push(key);
            }
        }
        assert!(died, "{kind:?}: {place} was not passed");
    }
    time_passes(&app).await;
    let served = start(app.environment().to_vec()).await.unwrap();
    app.until_number("SELECT COUNT(*) FROM rewards WHERE due_at IS NOT NULL", 0).await;
    let (mut standing, mut reversed) = (0, 0);
    for key in &keys {
        let id = app.amazon_id(key);
        let book = app.cards_of(key);
        assert!(book.len() <= 1, "{key}: {book:?}");
        let live = book.iter().filter(|effect| effect.state == CardState::Live).count();
        let rows = |state: &str| {
            format!("SELECT COUNT(*) FROM rewards WHERE creation_request_id = '{id}' AND state IN ({state})")
        };
        let issued = app.database.number(&rows("'issued'")).await;
        assert_eq!(i64::try_from(live).unwrap(), issued, "{key}: here and at Amazon");
        let odd = app.database.number(&rows("'pending', 'unresolved', 'needs_attention', 'failed'")).await;
        assert_eq!(odd, 0, "{key} has no outcome");
        standing += live;
        reversed += book.len() - live;
    }
    print(&format!(
        "places of cards and loads, {backend:?}, {kind:?}: {} deaths, {standing} stand, {reversed} reversed",
        places.len()
    ));
    assert!(tokio::task::spawn_blocking(move || served.terminate()).await.unwrap().success());
    app.end().await;
}

/// What a process is about when it passes a place.
fn road_of(place: &str) -> &str {
    place.split('.').next().unwrap()
}

/// Every process is dead: their leases run out, and waits are over.
async fn time_passes(app: &App) {
    const PAST: &str = "UPDATE rewards SET due_at = created_at WHERE due_at IS NOT NULL";
    app.database.execute(PAST).await.unwrap();
}

/// Starts a process that is to die at the place, and gives it a reason to go there. Says whether it did.
async fn one_death(app: &App, kind: Sold, place: &str, key: &str, order: &Value) -> bool {
    let road = road_of(place);
    if road == "replay" {
        let lost = FaultRule {
            operation: Some(kind.operation()),
            creation_request_id: Some(app.amazon_id(key)),
            times: Some(1),
            ..FaultRule::always(Fault::DropAfterWork)
        };
        app.control.script(lost).unwrap();
        let before = start(app.environment().to_vec()).await.unwrap();
        ask(app, &before.base, key, order).await.unwrap().is_accepted();
        before.kill();
        time_passes(app).await;
    }
    let mut environment = app.environment().to_vec();
    environment.push(("NOSHI_FAILPOINT".to_owned(), format!("{place}@1")));
    let mut served = match start(environment).await {
        Ok(served) => served,
        Err(status) => return is_ours(status),
    };
    if road != "replay"
        && let Some(answer) = ask(app, &served.base, key, order).await
        && road == "cancel"
    {
        let id = answer.id().to_owned();
        let cancel = app.http.post(format!("{}/v1/rewards/{id}/cancel", served.base)).bearer_auth(&app.key);
        Answer::try_of(with_json(cancel, &json!({"reason": "test"}))).await;
    }
    let longest = if road == "replay" { LIFE_ALONE_MAX } else { LIFE_MAX };
    let ended = end_of(&mut served, longest).await;
    if ended.is_none() {
        served.kill();
    }
    ended.is_some_and(is_ours)
}

async fn ask(app: &App, base: &str, key: &str, order: &Value) -> Option<Answer> {
    let request = app.http.post(format!("{base}/v1/rewards")).header("Idempotency-Key", format!("\"{key}\""));
    Answer::try_of(with_json(request.bearer_auth(&app.key), order)).await
}
