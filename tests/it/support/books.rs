//! The oracle of every test about money: our rows against the sandbox's book, past all our code.

use std::collections::BTreeMap;

use noshi::sandbox::{Card, CardState};
use rust_decimal::Decimal;

use super::{App, Backend};

/// What a row says that the book must confirm.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) creation_request_id: String,
    pub(crate) state: String,
    amount_minor: i64,
    currency: String,
}

/// Characters of a mock id: Amazon answers it without buying, so no book knows it.
const MOCK_ID_LEN: usize = 5;

/// Fails unless our books are Amazon's: everything has come to its end; each issued reward is one live card of exactly
/// its value; nothing that we say was not bought, or was given back, is live; and not a cent is missing.
pub(crate) async fn books_match(app: &App) {
    let rows = rows(app).await;
    let book = app.control.book();
    let mut cards: BTreeMap<&str, &Card> = BTreeMap::new();
    for card in &book {
        assert!(cards.insert(&card.creation_request_id, card).is_none(), "two cards of one id: {book:?}");
    }
    for row in rows.iter().filter(|row| row.creation_request_id.len() != MOCK_ID_LEN) {
        let card = cards.remove(row.creation_request_id.as_str());
        let live = card.filter(|card| card.state == CardState::Live);
        match row.state.as_str() {
            "issued" => {
                let live = live.unwrap_or_else(|| panic!("issued, but there is no live card: {row:?} {card:?}"));
                assert_eq!((live.amount, live.currency.as_str()), (value(row), row.currency.as_str()), "{row:?}");
            }
            "failed" | "canceled" => assert!(live.is_none(), "money is gone for {row:?}: {live:?}"),
            // A person decides: the book may say either.
            "needs_attention" => {}
            _ => panic!("not at its end: {row:?}"),
        }
    }
    assert!(cards.is_empty(), "cards that we know nothing of: {cards:?}");
    let spent: Decimal = app.live_cards().iter().map(|card| card.amount).sum();
    let left: Decimal = app.control.all_funds().iter().map(|funds| funds.amount).sum();
    assert_eq!(left, app.opening - spent, "the funds are the opening less live cards");
    ledger_matches(app, &rows, left).await;
}

/// Fails unless the ledger says the same: its accounts' sum is 0, nothing is on its way but what a person decides, and
/// opening − issued + canceled is what Amazon has.
async fn ledger_matches(app: &App, rows: &[Row], left: Decimal) {
    let sum = "SELECT COALESCE(SUM(CASE WHEN kind = '{kind}' THEN amount_minor ELSE 0 END), 0) FROM ledger_entries";
    let mut of = BTreeMap::new();
    for kind in ["reserved", "issued", "released", "canceled"] {
        let text = format!("SELECT CAST(({}) AS BIGINT)", sum.replace("{kind}", kind));
        of.insert(kind, app.database.number(&text).await);
    }
    let odd = rows.iter().filter(|row| row.state == "needs_attention").count();
    let held: i64 = rows.iter().filter(|row| row.state == "needs_attention").map(|row| row.amount_minor).sum();
    let on_the_way = of["reserved"] - of["issued"] - of["released"];
    assert!((0..=held).contains(&on_the_way), "{on_the_way} are on their way: {of:?}");
    // What a person decides may stand on either side.
    if odd == 0 {
        let currency = rows.first().map_or("USD", |row| row.currency.as_str());
        let spent = Decimal::new(of["issued"] - of["canceled"], if currency == "JPY" { 0 } else { 2 });
        assert_eq!(left, app.opening - spent, "the ledger is not Amazon's: {of:?}");
    }
}

fn value(row: &Row) -> Decimal {
    Decimal::new(row.amount_minor, if row.currency == "JPY" { 0 } else { 2 })
}

/// Every reward, past all our code.
pub(crate) async fn rows(app: &App) -> Vec<Row> {
    select(app, "SELECT creation_request_id, state, amount_minor, currency FROM rewards".to_owned()).await
}

#[expect(clippy::disallowed_methods, reason = "a look at the database past all our code")]
async fn select(app: &App, text: String) -> Vec<Row> {
    let text = sqlx::AssertSqlSafe(text);
    let rows: Vec<(String, String, i64, String)> = match app.database.backend {
        Backend::Sqlite => sqlx::query_as(text).fetch_all(&mut app.database.sqlite().await).await.unwrap(),
        Backend::Postgres => sqlx::query_as(text).fetch_all(&mut app.database.postgres().await).await.unwrap(),
    };
    let row = |(creation_request_id, state, amount_minor, currency)| Row {
        creation_request_id,
        state,
        amount_minor,
        currency,
    };
    rows.into_iter().map(row).collect()
}

/// The states of the rewards with these ids of Amazon's, of those that exist.
pub(crate) async fn states_of(app: &App, ids: &[String]) -> BTreeMap<String, String> {
    assert!(ids.iter().all(|id| id.bytes().all(|byte| byte.is_ascii_alphanumeric())), "{ids:?}");
    let all = format!(
        "SELECT creation_request_id, state, amount_minor, currency FROM rewards WHERE creation_request_id IN ('{}')",
        ids.join("', '")
    );
    let rows = select(app, all).await;
    rows.into_iter().map(|row| (row.creation_request_id, row.state)).collect()
}
