//! Sessions: a random token in a cookie, and its hash in the database. A session ends half an hour after the last page, eight hours after
//! the log-in, with a log-out, and with its key.
//!
//! `actix-session` keeps a map of values behind a cookie that it seals with a key of ours. Here there is one value, the key's id; nothing
//! of it is in the cookie, so there is no key to keep and to exchange, and every replica sees a log-out at once.

use chrono::{DateTime, TimeDelta, Utc};
use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    ambient::{Ambient, NoRandomness},
    kernel::ApiKeyId,
    store::{Sql, Store, StoreError, execute, fetch_optional, row, statements},
};

/// A session ends after so long, whatever is looked at meanwhile.
pub(super) const LIFE: TimeDelta = TimeDelta::hours(8);
const IDLE: TimeDelta = TimeDelta::minutes(30);
/// A session is written to at most so often.
const PROLONGED_AFTER: TimeDelta = TimeDelta::minutes(1);
/// Ended sessions that one log-in removes.
const REMOVED_MAX: i64 = 100;
const TOKEN_BYTES: usize = 32;

statements! {
    INSERT = Sql::same(
        "console_sessions.insert",
        "INSERT INTO console_sessions (token_sha256, api_key_id, created_at, ends_at) VALUES ($1, $2, $3, $4)",
    );
    BY_TOKEN = Sql::same(
        "console_sessions.by_token",
        "SELECT api_key_id, created_at, ends_at FROM console_sessions WHERE token_sha256 = $1",
    );
    PROLONG = Sql::same(
        "console_sessions.prolong",
        "UPDATE console_sessions SET ends_at = $2 WHERE token_sha256 = $1 AND ends_at < $2",
    );
    END = Sql::same("console_sessions.end", "DELETE FROM console_sessions WHERE token_sha256 = $1");
    REMOVE = Sql::same(
        "console_sessions.remove",
        "DELETE FROM console_sessions WHERE token_sha256 IN \
         (SELECT token_sha256 FROM console_sessions WHERE ends_at < $1 ORDER BY ends_at LIMIT $2)",
    );
}

row! {
    struct ConsoleSessionRow { api_key_id: Uuid, created_at: DateTime<Utc>, ends_at: DateTime<Utc> }
}

/// The secret of a session. It is in the browser's cookie alone.
#[derive(Clone)]
pub(super) struct SessionToken(Zeroizing<[u8; TOKEN_BYTES]>);

impl SessionToken {
    fn new(ambient: &Ambient) -> Result<Self, NoRandomness> {
        let mut bytes = Zeroizing::new([0; TOKEN_BYTES]);
        ambient.fill_random(bytes.as_mut_slice())?;
        Ok(Self(bytes))
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(HEXLOWER.decode(text.as_bytes()).ok()?);
        Some(Self(Zeroizing::new(bytes.as_slice().try_into().ok()?)))
    }

    /// As the cookie has it.
    pub(super) fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(HEXLOWER.encode(self.0.as_slice()))
    }

    fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_slice()).into()
    }

    /// What each form of this session shows: whoever cannot read its pages does not know it.
    pub(super) fn form_proof(&self) -> String {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.0.as_slice()) else { return String::new() };
        mac.update(b"noshi console form");
        HEXLOWER.encode(&mac.finalize().into_bytes())
    }

    /// Whether a form showed it. Takes the same time for every wrong one.
    pub(super) fn proves(&self, shown: &str) -> bool {
        let proof = self.form_proof();
        !proof.is_empty() && proof.as_bytes().ct_eq(shown.as_bytes()).into()
    }
}

/// Begins a session of this key, and removes some that have ended. The browser forgets the one of `before`, so that one ends: nobody could log
/// out of it any more.
pub(super) async fn begin(
    store: &Store,
    ambient: &Ambient,
    key: ApiKeyId,
    before: Option<SessionHash>,
) -> Result<SessionToken, StoreError> {
    let (token, now) = (SessionToken::new(ambient)?, ambient.now());
    let mut tx = store.begin().await?;
    execute!(tx, REMOVE, now, REMOVED_MAX)?;
    if let Some(SessionHash(before)) = before {
        execute!(tx, END, before.as_slice())?;
    }
    execute!(tx, INSERT, token.hash().as_slice(), key.uuid(), now, now + IDLE)?;
    Ok(tx.commit(token).await?.into_inner())
}

/// The key of an open session, which is open for half an hour from now on.
pub(super) async fn find(store: &Store, hash: SessionHash, now: DateTime<Utc>) -> Result<Option<ApiKeyId>, StoreError> {
    let SessionHash(hash) = hash;
    let mut snapshot = store.snapshot().await?;
    let found = fetch_optional!(ConsoleSessionRow, snapshot, BY_TOKEN, hash.as_slice())?;
    drop(snapshot);
    let is_open = |row: &ConsoleSessionRow| now < row.ends_at && (row.created_at..row.created_at + LIFE).contains(&now);
    let Some(row) = found.filter(is_open) else { return Ok(None) };
    let ends_at = (now + IDLE).min(row.created_at + LIFE);
    if ends_at.signed_duration_since(row.ends_at) >= PROLONGED_AFTER {
        let mut tx = store.begin().await?;
        execute!(tx, PROLONG, hash.as_slice(), ends_at)?;
        tx.commit(()).await?.into_inner();
    }
    Ok(Some(ApiKeyId::new(row.api_key_id)))
}

/// Ends a session.
pub(super) async fn end(store: &Store, hash: SessionHash) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    execute!(tx, END, hash.0.as_slice())?;
    tx.commit(()).await?.into_inner();
    Ok(())
}

/// Of a session's token, as the database keeps it.
pub(super) struct SessionHash([u8; 32]);

impl From<&SessionToken> for SessionHash {
    fn from(token: &SessionToken) -> Self {
        Self(token.hash())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_proved_by_its_own_session_alone() {
        let ambient = Ambient::movable(1);
        let (one, two) = (SessionToken::new(&ambient).unwrap(), SessionToken::new(&ambient).unwrap());
        assert!(one.proves(&one.form_proof()));
        assert!(!one.proves(&two.form_proof()) && !one.proves("") && !one.proves(&one.text()));
        assert!(SessionToken::parse(&one.text()).unwrap().proves(&one.form_proof()));
        assert!(SessionToken::parse("").is_none() && SessionToken::parse(&one.text().to_uppercase()).is_none());
    }
}
