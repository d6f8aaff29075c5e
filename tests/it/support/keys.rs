//! Keys that callers ask with.

use chrono::{DateTime, Utc};
use noshi::{
    identity::{
        Scope, Scopes, clients,
        keys::{self, Presented, mint},
    },
    kernel::{ClientId, ProgramId},
};

use super::{App, Backend};

/// The words that release 0.1.0 reads; one more in its column, and it refuses the whole key. What is new goes elsewhere, unasked.
const OF_FIRST_RELEASE: [&str; 9] = [
    "rewards:write",
    "rewards:read",
    "rewards:cancel",
    "claim_codes:reveal",
    "balances:read",
    "ledger:read",
    "programs:read",
    "programs:write",
    "reconciliations:write",
];

/// The scope of this word.
pub(crate) fn scope(word: &str) -> Scope {
    noshi::server::scopes().into_iter().find(|scope| scope.as_str() == word).unwrap()
}

/// Every scope but the one that shows a key the rewards of other clients.
pub(crate) fn but_for_all_rewards() -> Scopes {
    Scopes::new(noshi::server::scopes().into_iter().filter(|scope| scope.as_str() != "rewards:all"))
}

impl App {
    /// The key that the test asks with.
    pub(crate) async fn mint_own_key(&mut self) {
        (self.client, self.key) = self.mint_key("tests", but_for_all_rewards()).await;
    }

    /// A new key of a client of this name.
    pub(crate) async fn mint_key(&self, client: &str, scopes: Scopes) -> (ClientId, String) {
        self.mint_key_until(client, scopes, None).await
    }

    /// A new key that is refused from an instant on.
    pub(crate) async fn mint_key_until(
        &self,
        client: &str,
        scopes: Scopes,
        expires_at: Option<DateTime<Utc>>,
    ) -> (ClientId, String) {
        self.mint(client, (scopes, None), expires_at).await
    }

    /// A new key that may charge this program only.
    pub(crate) async fn mint_bound_key(&self, client: &str, program: &str) -> (ClientId, String) {
        self.mint(client, (Scopes::new(noshi::server::scopes()), Some(program.parse().unwrap())), None).await
    }

    async fn mint(
        &self,
        client: &str,
        (scopes, program): (Scopes, Option<ProgramId>),
        expires_at: Option<DateTime<Utc>>,
    ) -> (ClientId, String) {
        let store = self.open_store().await;
        let now = self.ambient.now();
        let minted = mint(&self.ambient).unwrap();
        let mut tx = store.begin().await.unwrap();
        let client = clients::find_or_make(&mut tx, client, None, now).await.unwrap();
        tx.commit(()).await.unwrap();
        store.close().await;
        // Through the columns of every schema: the release before may have made this database.
        let (blob, instant) = match self.database.backend {
            Backend::Sqlite => ("X'", "%Y-%m-%dT%H:%M:%S%.6f+00:00"),
            Backend::Postgres => ("'\\x", "%Y-%m-%dT%H:%M:%S%.6f+00:00"),
        };
        let uuid = |id: uuid::Uuid| match self.database.backend {
            Backend::Sqlite => format!("X'{}'", id.simple()),
            Backend::Postgres => format!("'{id}'"),
        };
        let time = |at: DateTime<Utc>| format!("'{}'", at.format(instant));
        let hash = data_encoding::HEXLOWER.encode(&minted.secret_sha256);
        let (all, words): (Vec<&str>, Vec<&str>) = scopes.iter().partition(|word| *word == "clients:all");
        let (words, later): (Vec<&str>, Vec<&str>) =
            words.into_iter().partition(|word| OF_FIRST_RELEASE.contains(word));
        let insert = format!(
            "INSERT INTO api_keys (id, client_id, name, secret_sha256, scopes, created_at, expires_at, program_id) \
             VALUES ({}, {}, 'test', {blob}{hash}', '{}', {}, {}, {})",
            uuid(minted.id.uuid()),
            uuid(client.uuid()),
            words.join(" "),
            time(now),
            expires_at.map_or_else(|| "NULL".to_owned(), time),
            program.map_or_else(|| "NULL".to_owned(), |program| format!("'{program}'")),
        );
        assert_eq!(self.database.execute(&insert).await.unwrap(), 1);
        // Columns that a schema of before does not have.
        let whole = [
            ("all_clients", (!all.is_empty()).then(|| "TRUE".to_owned())),
            ("later_scopes", (!later.is_empty()).then(|| format!("'{}'", later.join(" ")))),
        ];
        for (column, value) in whole.into_iter().filter_map(|(column, value)| Some((column, value?))) {
            let more = format!("UPDATE api_keys SET {column} = {value} WHERE id = {}", uuid(minted.id.uuid()));
            if let Err(early) = self.database.execute(&more).await {
                assert!(early.to_string().contains(column), "{early}");
            }
        }
        (client, minted.text.to_string())
    }

    /// Revokes the key of this text.
    pub(crate) async fn revoke_key(&self, text: &str) {
        let store = self.open_store().await;
        let mut tx = store.begin().await.unwrap();
        assert!(keys::revoke(&mut tx, Presented::parse(text).unwrap().id, self.ambient.now()).await.unwrap());
        tx.commit(()).await.unwrap();
        store.close().await;
    }
}
