//! Keys that callers ask with.

use chrono::{DateTime, Utc};
use noshi::{
    identity::{
        Scope, Scopes, clients,
        keys::{self, ApiKey, Presented, mint},
    },
    kernel::{ClientId, ProgramId},
};

use super::App;

/// The scope of this word.
pub(crate) fn scope(word: &str) -> Scope {
    noshi::server::scopes().into_iter().find(|scope| scope.as_str() == word).unwrap()
}

impl App {
    /// The key that the test asks with.
    pub(crate) async fn mint_own_key(&mut self) {
        (self.client, self.key) = self.mint_key("tests", Scopes::new(noshi::server::scopes())).await;
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
        let key = ApiKey {
            id: minted.id,
            client,
            client_name: String::new(),
            name: "test".to_owned(),
            secret_sha256: minted.secret_sha256,
            scopes,
            created_at: now,
            expires_at,
            revoked_at: None,
            program,
        };
        keys::insert(&mut tx, &key).await.unwrap();
        tx.commit(()).await.unwrap();
        store.close().await;
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
