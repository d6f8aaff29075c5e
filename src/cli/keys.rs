//! `noshi keys`: the only way to a new API key. The command shows the key's text once, and nothing keeps it.

use std::process::ExitCode;

use chrono::{Days, SecondsFormat};
use clap::Subcommand;

use super::{CommandError, say};
use crate::{
    ambient::{Ambient, NoRandomness},
    bootstrap::open_with_clock,
    config::Settings,
    identity::{
        Scopes,
        clients::{self, ClientError},
        keys::{self, ApiKey, mint},
        scope::UnknownScope,
    },
    incentives::orphans,
    kernel::{ApiKeyId, ClientId, ProgramId, claim_code::looks_like_claim_code},
    ledger::programs,
    server,
    store::{Store, StoreError},
};

#[derive(Subcommand)]
pub(super) enum KeysCommand {
    /// Make a key and show it, this once.
    Create {
        /// Whose it is. Idempotency keys and rewards belong to the client, not to the key.
        #[arg(long)]
        client: String,
        /// The id that the client had in another database, `cli_…`, as `noshi keys list` shows it there. A client that
        /// release 0.1.0 made keeps its idempotency keys only under this id; the id of any other derives from its name.
        #[arg(long, value_name = "CLIENT_ID")]
        id: Option<ClientId>,
        /// What it is for.
        #[arg(long, default_value = "default")]
        name: String,
        /// Its scopes, divided by commas. When left out: every scope of a caller, and none of an operator.
        #[arg(long, value_parser = read_scopes)]
        scopes: Option<Scopes>,
        /// Refuse it after so many days.
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u64).range(1..=3650))]
        expires_in_days: Option<u64>,
        /// Let it charge this program only, `prg_…`.
        #[arg(long)]
        program: Option<ProgramId>,
    },
    /// List all keys, without their secrets.
    List,
    /// Refuse a key from now on.
    Revoke {
        /// Its id, `key_…`.
        id: ApiKeyId,
    },
}

fn read_scopes(text: &str) -> Result<Scopes, UnknownScope> {
    Scopes::parse(text, &server::scopes())
}

/// Why a key was not made or revoked.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeysError {
    #[error("names have 1 to 100 characters, none of them control characters")]
    Name,
    #[error("no key was made")]
    Client(#[from] ClientError),
    #[error("there is no program of that id: `noshi programs create` makes one")]
    UnknownProgram,
    #[error("there is no active key of that id")]
    Unknown,
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub(super) async fn run(command: KeysCommand, settings: &Settings) -> Result<ExitCode, CommandError> {
    let (store, ambient) = open_with_clock(&settings.store).await?;
    let lines = match command {
        KeysCommand::Create { client, id, name, scopes, expires_in_days, program } => {
            let scopes = scopes
                .unwrap_or_else(|| Scopes::new(server::scopes().into_iter().filter(|scope| !scope.is_for_operators())));
            let new = NewKey { client: &client, client_id: id, name: &name, scopes, program, expires_in_days };
            vec![create(&store, &ambient, new).await?]
        }
        KeysCommand::List => keys::list(&store).await?.iter().map(line).collect(),
        KeysCommand::Revoke { id } => vec![revoke(&store, &ambient, id).await?],
    };
    store.close().await;
    say(&lines.join("\n"))
}

/// A key that is to be made.
pub(super) struct NewKey<'a> {
    /// The name of the client that it is for.
    pub(super) client: &'a str,
    /// The id that the client had in another database.
    pub(super) client_id: Option<ClientId>,
    /// What it is for.
    pub(super) name: &'a str,
    pub(super) scopes: Scopes,
    /// The only program that it may charge.
    pub(super) program: Option<ProgramId>,
    pub(super) expires_in_days: Option<u64>,
}

/// Makes a key and returns its text. A client that is new is made with it.
pub(super) async fn create(store: &Store, ambient: &Ambient, new: NewKey<'_>) -> Result<String, KeysError> {
    let NewKey { client, client_id, name, scopes, program, expires_in_days } = new;
    for text in [client, name] {
        let good = !text.is_empty() && text.chars().count() <= 100 && !text.chars().any(char::is_control);
        if !good || looks_like_claim_code(text) || ClientId::of_name(text) == ClientId::of_name(orphans::CLIENT_NAME) {
            return Err(KeysError::Name);
        }
    }
    let now = ambient.now();
    let minted = mint(ambient)?;
    let mut tx = store.begin().await?;
    let client = clients::find_or_make(&mut tx, client, client_id, now).await?;
    let key = ApiKey {
        id: minted.id,
        client,
        client_name: String::new(),
        name: name.to_owned(),
        secret_sha256: minted.secret_sha256,
        scopes,
        created_at: now,
        expires_at: expires_in_days.and_then(|days| now.checked_add_days(Days::new(days))),
        revoked_at: None,
        program,
    };
    if let Some(program) = &key.program
        && programs::policy_in(&mut tx, program, key.id).await?.is_none()
    {
        return Err(KeysError::UnknownProgram);
    }
    keys::insert(&mut tx, &key).await?;
    tx.commit(()).await?;
    Ok(minted.text.to_string())
}

async fn revoke(store: &Store, ambient: &Ambient, id: ApiKeyId) -> Result<String, KeysError> {
    let mut tx = store.begin().await?;
    let revoked = keys::revoke(&mut tx, id, ambient.now()).await?;
    tx.commit(()).await?;
    if revoked { Ok(format!("{id} is revoked")) } else { Err(KeysError::Unknown) }
}

fn line(key: &ApiKey) -> String {
    let day = |at: chrono::DateTime<chrono::Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let state = match (key.revoked_at, key.expires_at) {
        (Some(at), _) => format!("revoked {}", day(at)),
        (None, Some(at)) => format!("until {}", day(at)),
        (None, None) => "active".to_owned(),
    };
    let (id, client, client_id, name, scopes) = (key.id, &key.client_name, key.client, &key.name, &key.scopes);
    format!("{id}  {client}  {client_id}  {name}  [{scopes}]  created {}  {state}", day(key.created_at))
}
