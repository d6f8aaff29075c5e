//! What a reward costs of pure computing: a step of the state machine, money, the signature, the reading of an answer, and the
//! fingerprint of an intent. `benches/pure NAME` runs one of them.

use std::hint::black_box;

use chrono::{DateTime, TimeDelta, Utc};
use criterion::{Criterion, criterion_group, criterion_main};
use noshi::{
    engine::{
        Event, OnUnproven, Sight, Stage,
        step::{Next, Rejected, Step},
    },
    incentives::kinds::gift_code::RULES,
    kernel::{ClientId, CreationRequestId, Currency, Environment, IdempotencyKey, Intent, Marketplace, Money},
    provider::incentives::{Credentials, Endpoint, bench},
};

/// 2026-01-05 09:30 UTC, in seconds.
const NOW: i64 = 1_767_605_400;
const PARTNER_ID: &str = "Awssb";
/// The public key pair of Amazon's examples.
const KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(NOW, 0).unwrap_or_default()
}

/// From the first send to the proof, as every reward goes.
fn issued(at: DateTime<Utc>) -> Result<Next, Rejected> {
    let step = |event| Step { event, at, now: at, rules: &RULES, on_unproven: OnUnproven::Keep, awaited: true };
    let begun = step(Event::Begin).apply(Stage::Pending)?;
    step(Event::Seen(Sight::Live)).apply(begun.stage)
}

/// From an attempt in doubt to the reversal that is in the window: the longest way that is common.
fn reversed(at: DateTime<Utc>) -> Result<Next, Rejected> {
    let mut stage = Stage::Pending;
    let mut last = None;
    for (seconds, event) in [
        (0, Event::Begin),
        (6, Event::Lost),
        (7, Event::Begin),
        (8, Event::Seen(Sight::Live)),
        (9, Event::ReversalAsked),
        (10, Event::ReversalDone),
    ] {
        let at = at + TimeDelta::seconds(seconds);
        let step = Step { event, at, now: at, rules: &RULES, on_unproven: OnUnproven::Keep, awaited: true };
        let next = step.apply(stage)?;
        stage = next.stage;
        last = Some(next);
    }
    last.ok_or(Rejected::InvalidState)
}

fn step(criterion: &mut Criterion) {
    let (proven, taken_back) = (issued(now()).map(|next| next.stage), reversed(now()).map(|next| next.stage));
    assert!(
        matches!(proven, Ok(Stage::Proven(_))) && matches!(taken_back, Ok(Stage::Reversed(_))),
        "{proven:?} {taken_back:?}"
    );
    criterion.bench_function("step/issued", |bencher| bencher.iter(|| issued(black_box(now()))));
    criterion.bench_function("step/reversed", |bencher| bencher.iter(|| reversed(black_box(now()))));
}

fn money(criterion: &mut Criterion) {
    let value = Money::from_minor(2_500, Currency::Usd);
    assert!(Money::parse("25.00", Currency::Usd) == Ok(value), "what a caller writes");
    assert!(Money::from_amazon_number("25.0", Currency::Usd) == Ok(value), "what Amazon writes");
    criterion.bench_function("money/parse", |bencher| bencher.iter(|| Money::parse(black_box("25.00"), Currency::Usd)));
    criterion.bench_function("money/from_amazon_number", |bencher| {
        bencher.iter(|| Money::from_amazon_number(black_box("25.0"), Currency::Usd));
    });
    criterion.bench_function("money/to_text", |bencher| bencher.iter(|| black_box(value).to_string()));
}

fn signing(criterion: &mut Criterion) {
    let endpoint = Endpoint::amazon(Marketplace::Us, Environment::Sandbox);
    let credentials = Credentials::new(KEY_ID.into(), SECRET.into());
    let id = id();
    let body = format!(
        r#"{{"creationRequestId":"{}","partnerId":"{PARTNER_ID}","value":{{"currencyCode":"USD","amount":25.00}}}}"#,
        id.as_str()
    );
    let sign = |body: &str| bench::signed(&endpoint, body.as_bytes(), &credentials, now());
    assert!(sign(&body) == Some(6), "five headers of ours and the signature");
    criterion.bench_function("signing", |bencher| bencher.iter(|| sign(black_box(&body))));
}

fn classification(criterion: &mut Criterion) {
    let (id, asked) = (id(), Money::from_minor(2_500, Currency::Usd));
    // The code of the canary tests: it is no card's.
    let answer = format!(
        r#"{{"cardInfo":{{"cardNumber":null,"cardStatus":"Fulfilled","expirationDate":null,"value":{{"amount":25.0,"currencyCode":"USD"}}}},"creationRequestId":"{}","gcClaimCode":"CNRY-CANARY-CODE","gcExpirationDate":null,"gcId":"A2GCN9BRX5QS76","status":"SUCCESS"}}"#,
        id.as_str()
    );
    let read = |answer: &str| bench::classified(answer.as_bytes(), &id, asked);
    assert!(read(&answer), "the card is proven");
    criterion.bench_function("classification", |bencher| bencher.iter(|| read(black_box(&answer))));
}

fn fingerprint(criterion: &mut Criterion) {
    let client = ClientId::of_name("shop");
    let derive = |text: &str| {
        let key = IdempotencyKey::parse(text).ok()?;
        Some(CreationRequestId::derive(PARTNER_ID, &Intent::derive(client, &key)))
    };
    assert!(derive("order-1") == Some(id()), "one key, one id");
    criterion.bench_function("fingerprint", |bencher| bencher.iter(|| derive(black_box("order-1"))));
}

fn id() -> CreationRequestId {
    let intent = IdempotencyKey::parse("order-1").map(|key| Intent::derive(ClientId::of_name("shop"), &key));
    CreationRequestId::derive(PARTNER_ID, &intent.unwrap_or(Intent::from_stored([0; 20])))
}

criterion_group!(pure, step, money, signing, classification, fingerprint);
criterion_main!(pure);
