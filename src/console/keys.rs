//! API keys of all clients, and Amazon's key pairs: how old each is and when it ends. Never a secret.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use askama::Template;
use chrono::{DateTime, Utc};

use super::{
    Console,
    balances::{HOUR, lasting},
    page::{PageFrame, ShownTime, answer, finish},
    visitor::{Halt, Visitor},
    words::Words,
};
use crate::{
    accounts::{self, KeyState, key_pairs::status::SlotStatus},
    http::Problem,
    identity::{
        caller::CLIENTS_ALL,
        keys::{self, ApiKey},
    },
    store::StoreError,
};

/// Within so many days of its end a key is pointed out.
const SOON_DAYS: i64 = 30;

struct KeyLine {
    id: String,
    client: String,
    name: String,
    scopes: String,
    program: Option<String>,
    made: ShownTime,
    age: String,
    ends: Option<ShownTime>,
    left: Option<String>,
    ends_soon: bool,
}

impl KeyLine {
    fn new(key: &ApiKey, now: DateTime<Utc>, words: &Words) -> Self {
        Self {
            id: key.id.to_string(),
            client: key.client_name.clone(),
            name: key.name.clone(),
            scopes: key.scopes.iter().collect::<Vec<_>>().join(" "),
            program: key.program.as_ref().map(ToString::to_string),
            made: key.created_at.into(),
            age: ago(key.created_at, now, words),
            ends: key.expires_at.map(ShownTime::from),
            left: key.expires_at.map(|end| ahead(end, now, words)),
            ends_soon: ends_soon(key, now),
        }
    }
}

/// A slot of an account's key pairs.
struct PairLine {
    account: String,
    slot: &'static str,
    key: String,
    state: &'static str,
    mark: &'static str,
    in_force: Option<ShownTime>,
    age: Option<String>,
    asked: Option<ShownTime>,
}

impl PairLine {
    fn new(account: &str, slot: SlotStatus, now: DateTime<Utc>, words: &Words) -> Self {
        Self {
            account: account.to_owned(),
            slot: slot.slot.as_str(),
            key: slot.key.unwrap_or_default(),
            state: (words.pair)(slot.state),
            mark: match slot.state {
                KeyState::Empty | KeyState::Ended => "canceled",
                KeyState::Unproven => "pending",
                KeyState::Refused => "failed",
                KeyState::Accepted | KeyState::InForce => "issued",
            },
            in_force: slot.in_force_at.map(ShownTime::from),
            age: slot.in_force_at.map(|at| ago(at, now, words)),
            asked: slot.asked_at.map(ShownTime::from),
        }
    }
}

#[derive(Template)]
#[template(path = "keys.html", config = "src/console/askama.toml")]
struct KeysPage {
    frame: PageFrame,
    keys: Vec<KeyLine>,
    /// How many ended or were revoked: they are not listed.
    gone: usize,
    /// `None` where the key may not see them.
    pairs: Option<Vec<PairLine>>,
}

fn ago(at: DateTime<Utc>, now: DateTime<Utc>, words: &Words) -> String {
    let since = (now - at).num_seconds();
    if since < HOUR { words.just_now.to_owned() } else { words.ago.replace("{}", &lasting(since, words)) }
}

pub(super) fn ahead(at: DateTime<Utc>, now: DateTime<Utc>, words: &Words) -> String {
    let until = (at - now).num_seconds();
    if until < HOUR { words.within_hour.to_owned() } else { words.ahead.replace("{}", &lasting(until, words)) }
}

/// Whether an active key ends within a month.
pub(super) fn ends_soon(key: &ApiKey, now: DateTime<Utc>) -> bool {
    key.is_active(now) && key.expires_at.is_some_and(|end| (end - now).num_days() < SOON_DAYS)
}

/// Amazon's key pairs of each account whose pair is in files.
pub(super) async fn pairs(console: &Console) -> Result<Vec<(String, SlotStatus)>, Problem> {
    let accounts = console.rewards.accounts().clone();
    let work = async move {
        let mut all = Vec::new();
        for account in accounts.iter() {
            if let Some(pairs) = account.key_pairs() {
                let slots = pairs.status(account).await?.slots;
                all.extend(slots.into_iter().map(|slot| (account.id().to_owned(), slot)));
            }
        }
        Ok::<_, StoreError>(all)
    };
    console.http.run(work).await
}

pub(super) async fn show(console: web::Data<Console>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let came = all(&console, &request).await;
    finish(&console, &request, came).await
}

async fn all(console: &Console, request: &HttpRequest) -> Result<HttpResponse, Halt> {
    let visitor = Visitor::with(console, request, CLIENTS_ALL).await?;
    // A key that is bound to a program is no operator's, whatever its scopes.
    if !visitor.caller().is_operator() {
        return Err(Halt::NoScope(CLIENTS_ALL));
    }
    let store = console.http.store.clone();
    let mut keys = console.http.run(async move { keys::list(&store).await }).await?;
    let frame = PageFrame::new(console, request, Some(&visitor));
    let (now, words, known) = (frame.now, frame.words, keys.len());
    keys.retain(|key| key.is_active(now));
    let pairs = if visitor.may(accounts::scopes::KEY_PAIRS_READ) {
        let all = pairs(console).await?.into_iter();
        Some(all.map(|(account, slot)| PairLine::new(&account, slot, now, words)).collect())
    } else {
        None
    };
    // What ends first comes first; what never ends, last.
    keys.sort_by_key(|key| (key.expires_at.is_none(), key.expires_at, key.client_name.clone()));
    let gone = known.saturating_sub(keys.len());
    let keys = keys.iter().map(|key| KeyLine::new(key, now, words)).collect();
    Ok(answer(StatusCode::OK, &KeysPage { frame, keys, gone, pairs })?)
}
