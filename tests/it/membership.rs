//! Memberships: no reward for money that did not arrive, no paid period without its reward, never twice.

mod calls;
mod claims;
mod closing;
mod crash;
mod declines;
mod lost;
mod openings;
mod operator;
mod refunds;
mod years;

use noshi::sandbox::ConsentAct;
use serde_json::{Value, json};

use crate::{
    pay::selling,
    support::{Answer, App, Backend, seller, wait, with_json},
};

/// A service with a seller's account and funds for many rewards.
pub(crate) async fn club(backend: Backend) -> App {
    App::shaped(backend, crate::support::Shape { funds: 10_000_000, ..selling() }).await
}

/// A plan as a caller asks for it: 980 yen a month for a code of 5 dollars, three more tries in six days.
pub(crate) fn plan_of(price: &str) -> Value {
    json!({
        "name": "Gold", "price": {"amount": price, "currency_code": "JPY"}, "period": {"unit": "months", "length": 1},
        "reward": {"value": {"amount": "5.00", "currency_code": "USD"}}, "grace_days": 6, "retries": 3
    })
}

async fn send(app: &App, path: &str, key: &str, body: &Value) -> Answer {
    Answer::of(with_json(app.request("POST", path).header("Idempotency-Key", key), body)).await
}

/// Makes a plan.
pub(crate) async fn plan(app: &App, key: &str, body: &Value) -> String {
    let made = send(app, "/v1/membership/plans", key, body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    made.id().to_owned()
}

/// Asks for a membership of this reference.
pub(crate) async fn join(app: &App, plan: &str, consent: &str, reference: &str) -> Answer {
    let body = json!({"plan_id": plan, "consent_id": consent, "reference": reference});
    send(app, "/v1/memberships", reference, &body).await
}

/// A member of a plan of 980 yen a month.
async fn member(app: &App) -> String {
    let plan = plan(app, "gold", &plan_of("980")).await;
    let joined = join(app, &plan, &seller::consent(&app.control, 100_000, "1111"), "member-1").await;
    assert_eq!(joined.status, 201, "{}", joined.text);
    joined.id().to_owned()
}

/// The caller's wish.
async fn wish(app: &App, id: &str, what: &str) -> Answer {
    app.post(&format!("/v1/memberships/{id}/{what}"), json!({})).await
}

/// The buyer mends the payment method at Amazon.
fn mend(app: &App, consent: &str) {
    app.control.act_on_consent(ConsentAct::Mend { charge_permission_id: consent.to_owned() }).unwrap();
}

/// What the next charge is to come to.
async fn simulate(app: &App, id: &str, code: &str) {
    let told = app.post(&format!("/v1/memberships/{id}/simulate"), json!({"simulation": code})).await;
    assert_eq!(told.status, 200, "{}", told.text);
}

async fn read(app: &App, id: &str) -> Value {
    app.get(&format!("/v1/memberships/{id}")).await.json
}

async fn periods(app: &App, id: &str) -> Vec<Value> {
    let list = app.get(&format!("/v1/memberships/{id}/periods?limit=200")).await;
    assert_eq!(list.status, 200, "{}", list.text);
    list.json["data"].as_array().unwrap().clone()
}

/// Waits until a membership is in this state.
async fn until_state(app: &App, id: &str, state: &str) -> Value {
    let mut last = Value::Null;
    wait::until(&format!("the membership is {state}"), async || {
        last = read(app, id).await;
        last["state"] == state
    })
    .await;
    last
}

/// Waits until this period of a membership has a reward in this state.
async fn until_entitled(app: &App, id: &str, number: usize, entitlement: &str) -> Value {
    let what = format!("the reward of period {number} is {entitlement}");
    wait::found(&what, async || {
        let found = periods(app, id).await.into_iter().nth(number - 1)?;
        (found["entitlement"] == entitlement).then_some(found)
    })
    .await
}

/// The yen that Amazon took, by the sandbox's book, a line each.
fn taken(app: &App) -> Vec<String> {
    app.control
        .charges()
        .into_iter()
        .filter(|charge| charge.state == "Captured")
        .map(|charge| charge.captured)
        .collect()
}

/// Moves the clock to just behind the end of a membership's last period.
async fn pass_period(app: &mut App, id: &str) {
    let last = periods(app, id).await.pop().unwrap();
    let ends: chrono::DateTime<chrono::Utc> = last["ends_at"].as_str().unwrap().parse().unwrap();
    let left = ends.signed_duration_since(app.ambient.now()).num_seconds();
    app.advance(left + 1);
}

/// Fails unless each paid period has one reward of its own that Amazon issued, each such reward one paid period, and both books the same sums.
pub(crate) async fn each_paid_period_has_its_reward(app: &App) {
    let count = async |text: &str| app.database.number(text).await;
    let paid = count("SELECT COUNT(*) FROM membership_periods WHERE state = 'paid'").await;
    let with_reward = "SELECT COUNT(*) FROM membership_periods m JOIN rewards r ON r.id = m.reward_id JOIN payments p ON p.id = m.payment_id \
                       WHERE m.state = 'paid' AND m.entitlement = 'issued' AND r.state = 'issued' AND p.state = 'issued'";
    assert_eq!(count(with_reward).await, paid, "a paid period without its reward");
    let distinct = "SELECT COUNT(DISTINCT reward_id) FROM membership_periods WHERE state = 'paid'";
    assert_eq!(count(distinct).await, paid, "two periods with one reward");
    let standing = "SELECT COUNT(*) FROM membership_periods WHERE entitlement IN ('issued', 'kept')";
    let live = count("SELECT COUNT(*) FROM rewards WHERE state = 'issued'").await;
    assert_eq!(live, count(standing).await, "a reward without a period");
    assert_eq!(app.live_cards().len(), usize::try_from(live).unwrap(), "the cards that Amazon sold");
    let charged = "SELECT COUNT(*) FROM payments WHERE kind = 'charge' AND state = 'issued'";
    let ever_paid = "SELECT COUNT(*) FROM membership_periods WHERE state IN ('paid', 'refunded')";
    assert_eq!(count(charged).await, count(ever_paid).await, "a charge without a period");
    let sum = "SELECT CAST(COALESCE(SUM(p.amount_minor), 0) AS BIGINT) FROM membership_periods m JOIN payments p ON p.id = m.payment_id";
    let book: i64 = taken(app).iter().map(|yen| yen.parse::<i64>().unwrap()).sum();
    assert_eq!(count(sum).await, book, "the yen of both books");
}
