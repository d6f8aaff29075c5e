//! API keys of clients: a key's text, which is shown once, and the rows.
//!
//! A key is 256 random bits behind a public id. The store keeps a hash of them, which is compared in constant time. The text
//! is `nsk_<key id, 32 hex digits>_<secret, 52 characters of base 32>`.

use chrono::{DateTime, Utc};
use data_encoding::{BASE32_NOPAD, Specification};
use serde_json::json;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Scopes, caller::CLIENTS_ALL};
use crate::ambient::{Ambient, NoRandomness};
use crate::kernel::{ApiKeyId, ClientId, ProgramId};
use crate::store::{
    FoundRows, Gather, InstantRow, Read, Snapshot, Sql, Store, StoreError, Tx, execute, fetch_all, fetch_optional, row,
    statements,
};

/// Bytes of a key's secret.
const SECRET_BYTES: usize = 32;
/// Characters of a key's text: prefix, id, underscore, secret.
pub const KEY_TEXT_LEN: usize = 4 + 32 + 1 + 52;
/// Keys read at once.
const STEP: i64 = 500;

statements! {
    KEY_INSERT = Sql::same(
        "api_keys.insert",
        "INSERT INTO api_keys (id, client_id, name, secret_sha256, scopes, created_at, expires_at, program_id, replaces, \
         all_clients, later_scopes) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    );
    KEY_BY_ID = Sql::same(
        "api_keys.by_id",
        "SELECT k.id, k.client_id, c.name AS client_name, k.name, k.secret_sha256, k.scopes, k.created_at, k.expires_at, \
         k.revoked_at, k.program_id, k.replaces, k.all_clients, k.later_scopes FROM api_keys k JOIN clients c ON c.id = k.client_id WHERE k.id = $1",
    );
    KEYS_BY_IDS = Sql::each(
        "api_keys.by_ids",
        "SELECT k.id, k.client_id, c.name AS client_name, k.name, k.secret_sha256, k.scopes, k.created_at, k.expires_at, \
         k.revoked_at, k.program_id, k.replaces, k.all_clients, k.later_scopes FROM api_keys k JOIN clients c ON c.id = k.client_id \
         WHERE k.id IN (SELECT unhex(value) FROM json_each($1))",
        "SELECT k.id, k.client_id, c.name AS client_name, k.name, k.secret_sha256, k.scopes, k.created_at, k.expires_at, \
         k.revoked_at, k.program_id, k.replaces, k.all_clients, k.later_scopes FROM api_keys k JOIN clients c ON c.id = k.client_id \
         WHERE k.id = ANY (ARRAY(SELECT CAST(json_array_elements_text(CAST($1 AS JSON)) AS UUID)))",
    );
    KEY_LIST = Sql::same(
        "api_keys.list",
        "SELECT k.id, k.client_id, c.name AS client_name, k.name, k.secret_sha256, k.scopes, k.created_at, k.expires_at, \
         k.revoked_at, k.program_id, k.replaces, k.all_clients, k.later_scopes FROM api_keys k JOIN clients c ON c.id = k.client_id WHERE k.id > $1 ORDER BY k.id LIMIT $2",
    );
    KEY_YOUNGEST = Sql::same("api_keys.youngest", "SELECT MAX(created_at) AS at FROM api_keys");
    KEY_END = Sql::same(
        "api_keys.end",
        "UPDATE api_keys SET expires_at = $2 WHERE id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)",
    );
    KEY_REVOKE = Sql::same(
        "api_keys.revoke",
        "UPDATE api_keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL",
    );
}

row! {
    struct KeyRow {
        id: Uuid,
        client_id: Uuid,
        client_name: String,
        name: String,
        secret_sha256: Vec<u8>,
        scopes: String,
        created_at: DateTime<Utc>,
        expires_at: Option<DateTime<Utc>>,
        revoked_at: Option<DateTime<Utc>>,
        program_id: Option<String>,
        replaces: Option<Uuid>,
        all_clients: bool,
        later_scopes: String,
    }
}

/// A new key. Its text exists only here and where it is shown.
pub struct Minted {
    /// Names it.
    pub id: ApiKeyId,
    /// What the caller will send; shown once.
    pub text: Zeroizing<String>,
    /// What the store keeps.
    pub secret_sha256: [u8; 32],
}

/// Makes a key.
///
/// # Errors
/// [`NoRandomness`] when the operating system has none to give.
pub fn mint(ambient: &Ambient) -> Result<Minted, NoRandomness> {
    let mut secret = Zeroizing::new([0; SECRET_BYTES]);
    ambient.fill_random(secret.as_mut_slice())?;
    let id = ApiKeyId::new(ambient.row_id(ambient.now())?);
    let word = Zeroizing::new(BASE32_NOPAD.encode(secret.as_slice()).to_ascii_lowercase());
    let text = Zeroizing::new(format!("nsk_{}_{}", id.uuid().simple(), word.as_str()));
    Ok(Minted { id, secret_sha256: hash(&word), text })
}

/// A key as a caller presented it: which it claims to be, and the hash of its secret.
pub struct Presented {
    /// The id it claims.
    pub id: ApiKeyId,
    secret_sha256: [u8; 32],
}

impl Presented {
    /// Reads a key's text; `None` when it is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != KEY_TEXT_LEN {
            return None;
        }
        let (id, secret) = text.strip_prefix("nsk_")?.split_once('_')?;
        let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if id.len() != 32 || !id.bytes().all(lower_hex) || !is_base32(secret) {
            return None;
        }
        Some(Self { id: ApiKeyId::new(Uuid::try_parse(id).ok()?), secret_sha256: hash(secret) })
    }

    /// Whether it is the key whose hash the store keeps. Takes the same time for every answer.
    #[must_use]
    pub fn matches(&self, stored: &[u8; 32]) -> bool {
        self.secret_sha256.ct_eq(stored).into()
    }
}

fn is_base32(secret: &str) -> bool {
    let mut lower = Specification::new();
    lower.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
    lower.encoding().is_ok_and(|encoding| encoding.decode(secret.as_bytes()).is_ok())
}

fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// An API key as the store knows it: never the secret.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// Names it; the public part of the key's text.
    pub id: ApiKeyId,
    /// Whose it is.
    pub client: ClientId,
    /// The client's name.
    pub client_name: String,
    /// What it is for, in the operator's words.
    pub name: String,
    /// SHA-256 of the secret part.
    pub secret_sha256: [u8; 32],
    /// What it may do.
    pub scopes: Scopes,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// From when on it is refused.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// The program that it is bound to: it deals with nothing else.
    pub program: Option<ProgramId>,
    /// The key whose successor it is.
    pub replaces: Option<ApiKeyId>,
}

impl TryFrom<KeyRow> for ApiKey {
    type Error = StoreError;

    fn try_from(row: KeyRow) -> Result<Self, StoreError> {
        let bad = |column| StoreError::Inconsistent { table: "api_keys", column };
        let scopes = Scopes::stored(&row.scopes, &row.later_scopes).map_err(|_error| bad("scopes"))?;
        Ok(Self {
            id: ApiKeyId::new(row.id),
            client: ClientId::new(row.client_id),
            client_name: row.client_name,
            name: row.name,
            secret_sha256: row.secret_sha256.try_into().map_err(|_bytes| bad("secret_sha256"))?,
            scopes: scopes.with_each(row.all_clients.then_some(CLIENTS_ALL)),
            created_at: row.created_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            program: row.program_id.map(|id| id.parse().map_err(|_error| bad("program_id"))).transpose()?,
            replaces: row.replaces.map(ApiKeyId::new),
        })
    }
}

impl ApiKey {
    /// Whether it opens anything at `now`.
    #[must_use]
    pub fn is_active(&self, now: DateTime<Utc>) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

/// Stores a new key.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn insert(tx: &mut Tx, key: &ApiKey) -> Result<(), StoreError> {
    let (scopes, later_scopes) = key.scopes.without(CLIENTS_ALL).to_store();
    execute!(
        tx,
        KEY_INSERT,
        key.id.uuid(),
        key.client.uuid(),
        key.name.as_str(),
        key.secret_sha256.as_slice(),
        scopes,
        key.created_at,
        key.expires_at,
        key.program.as_ref().map(ProgramId::as_str),
        key.replaces.map(ApiKeyId::uuid),
        key.scopes.allow(CLIENTS_ALL),
        later_scopes
    )
    .map(|_one| ())
}

/// The key of this id, in whatever condition.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn find(store: &Store, id: ApiKeyId) -> Result<Option<ApiKey>, StoreError> {
    let mut snapshot = store.snapshot().await?;
    fetch_optional!(KeyRow, snapshot, KEY_BY_ID, id.uuid())?.map(ApiKey::try_from).transpose()
}

/// The keys of these ids, in whatever condition.
async fn find_all(store: &Store, ids: &[ApiKeyId]) -> Result<FoundRows<ApiKeyId, ApiKey>, StoreError> {
    let mut snapshot = store.snapshot().await?;
    let rows = if let [id] = ids {
        fetch_optional!(KeyRow, snapshot, KEY_BY_ID, id.uuid())?.into_iter().collect()
    } else {
        let ids = json!(ids.iter().map(|id| id.uuid().simple().to_string()).collect::<Vec<_>>()).to_string();
        fetch_all!(KeyRow, snapshot, KEYS_BY_IDS, ids)?
    };
    Ok(rows.into_iter().map(|row| (ApiKeyId::new(row.id), ApiKey::try_from(row))).collect())
}

/// The look-ups of keys that requests wait for. Each request hears how its key stood after it had come.
#[derive(Clone, Default)]
pub(crate) struct KeyLookups(Gather<ApiKeyId, ApiKey>);

impl KeyLookups {
    /// The key of this id, in whatever condition.
    ///
    /// # Errors
    /// [`StoreError`] from the database.
    pub(crate) async fn find(&self, store: Store, id: ApiKeyId) -> Result<Option<ApiKey>, StoreError> {
        let look = move |ids: Vec<ApiKeyId>| {
            let store = store.clone();
            async move { find_all(&store, &ids).await }
        };
        self.0.ask(id, look).await
    }
}

/// Every key, oldest first.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn list(store: &Store) -> Result<Vec<ApiKey>, StoreError> {
    list_on(&mut store.snapshot().await?).await
}

/// The same on a connection of the caller's.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn list_on(on: &mut impl Read) -> Result<Vec<ApiKey>, StoreError> {
    let (mut keys, mut after) = (Vec::new(), Uuid::nil());
    loop {
        let step = fetch_all!(KeyRow, on, KEY_LIST, after, STEP)?;
        let Some(last) = step.last() else { return keys.into_iter().map(ApiKey::try_from).collect() };
        after = last.id;
        keys.extend(step);
    }
}

/// Lets a key end at `at`, unless it ends before.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn end_at(tx: &mut Tx, id: ApiKeyId, at: DateTime<Utc>) -> Result<(), StoreError> {
    execute!(tx, KEY_END, id.uuid(), at).map(|_rows| ())
}

/// Revokes a key; says whether it was active before.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn revoke(tx: &mut Tx, id: ApiKeyId, now: DateTime<Utc>) -> Result<bool, StoreError> {
    execute!(tx, KEY_REVOKE, id.uuid(), now).map(|rows| rows == 1)
}

/// When the youngest key was made.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn youngest(snapshot: &mut Snapshot) -> Result<Option<DateTime<Utc>>, StoreError> {
    Ok(fetch_optional!(InstantRow, snapshot, KEY_YOUNGEST)?.and_then(|row| row.at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minted_key_is_recognised_and_another_is_not() {
        let ambient = Ambient::system();
        let (one, two) = (mint(&ambient).unwrap(), mint(&ambient).unwrap());
        assert_eq!(one.text.len(), KEY_TEXT_LEN);
        let presented = Presented::parse(&one.text).unwrap();
        assert_eq!(presented.id, one.id);
        assert!(presented.matches(&one.secret_sha256));
        assert!(!presented.matches(&two.secret_sha256));
    }

    #[test]
    fn what_is_not_a_key_is_refused_without_looking_it_up() {
        let key = mint(&Ambient::system()).unwrap().text;
        for text in [
            "",
            "nsk_",
            &key.to_uppercase(),
            key.strip_prefix('n').unwrap(),
            &format!("{}x", key.as_str()),
            &key.replace('_', "-"),
        ] {
            assert!(Presented::parse(text).is_none(), "{text}");
        }
    }
}
