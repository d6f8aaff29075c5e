//! Clients: who owns idempotency keys and rewards.
//!
//! Amazon's id of a purchase derives from the client's id and the caller's key. So a client that is made again, after a restore
//! or in another database, must have the id that it had: the id derives from the name ([`ClientId::of_name`]). A client that
//! release 0.1.0 made has a random id, which its row keeps; whoever moves it to another database states that id.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    kernel::ClientId,
    store::{Read, Sql, StoreError, Tx, execute, fetch_all, row, statements},
};

statements! {
    INSERT = Sql::same(
        "clients.insert",
        "INSERT INTO clients (id, name, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    );
    // All of them: an operator makes each, and a name that is nearly the same may be any of them.
    ALL = Sql::same("clients.all", "SELECT id, name FROM clients ORDER BY name");
}

row! {
    struct ClientRow { id: Uuid, name: String }
}

/// Why there is no client of this name and id.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The same to a reader, but not to a program.
    #[error(
        "there is a client {0:?}, whose name differs in capitals, in spaces or in the form of a letter: write it so; \
         a client of release 0.1.0 that is another one is carried over under another name, by its --id"
    )]
    NearlyTheSame(String),
    /// The id stands for whoever bought what only Amazon knew of.
    #[error("the id {0} is the service's own")]
    OwnId(ClientId),
    /// The name's owner is another client.
    #[error("the client of this name has the id {0}")]
    OtherId(ClientId),
    /// The id's owner is another client.
    #[error("the client of this id has the name {0:?}")]
    OtherName(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The client of this name. One that is new is made, with the stated id or else with the one that derives from its name.
///
/// # Errors
/// [`ClientError`]; no client is made then.
pub async fn find_or_make(
    tx: &mut Tx,
    name: &str,
    stated: Option<ClientId>,
    now: DateTime<Utc>,
) -> Result<ClientId, ClientError> {
    let id = stated.unwrap_or_else(|| ClientId::of_name(name));
    if id == ClientId::ADOPTED {
        return Err(ClientError::OwnId(id));
    }
    if let Some(known) = known(tx, name, id).await? {
        return check(&known, name, stated);
    }
    execute!(tx, INSERT, id.uuid(), name, now)?;
    // Another process may have made it in the same instant, and differently.
    let made = known(tx, name, id).await?.ok_or(StoreError::Inconsistent { table: "clients", column: "name" })?;
    check(&made, name, stated)
}

/// The names of all clients that people made, in their order.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn names(on: &mut impl Read) -> Result<Vec<String>, StoreError> {
    let all = fetch_all!(ClientRow, on, ALL)?;
    Ok(all.into_iter().filter(|row| row.id != ClientId::ADOPTED.uuid()).map(|row| row.name).collect())
}

/// The names of all clients by their ids, the service's own included.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn by_id(on: &mut impl Read) -> Result<BTreeMap<ClientId, String>, StoreError> {
    Ok(fetch_all!(ClientRow, on, ALL)?.into_iter().map(|row| (ClientId::new(row.id), row.name)).collect())
}

/// The client that has exactly this name.
///
/// # Errors
/// [`StoreError`] from the database.
pub async fn find(on: &mut impl Read, name: &str) -> Result<Option<ClientId>, StoreError> {
    let all = fetch_all!(ClientRow, on, ALL)?;
    Ok(all.into_iter().find(|row| row.name == name).map(|row| ClientId::new(row.id)))
}

/// The client that has this name, nearly this name, or this id.
async fn known(on: &mut impl Read, name: &str, id: ClientId) -> Result<Option<ClientRow>, StoreError> {
    let (mut nearly, of_name) = (None, ClientId::of_name(name));
    for row in fetch_all!(ClientRow, on, ALL)? {
        if row.name == name {
            return Ok(Some(row));
        }
        if row.id == id.uuid() || ClientId::of_name(&row.name) == of_name {
            nearly = Some(row);
        }
    }
    Ok(nearly)
}

fn check(known: &ClientRow, name: &str, stated: Option<ClientId>) -> Result<ClientId, ClientError> {
    let id = ClientId::new(known.id);
    if known.name != name {
        let same = ClientId::of_name(&known.name) == ClientId::of_name(name);
        let other = known.name.clone();
        return Err(if same { ClientError::NearlyTheSame(other) } else { ClientError::OtherName(other) });
    }
    if stated.is_some_and(|stated| stated != id) { Err(ClientError::OtherId(id)) } else { Ok(id) }
}
