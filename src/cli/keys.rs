//! `noshi keys`: the only way to a new API key. The command shows the key's text once, and nothing keeps it.

mod rotate;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use chrono::{DateTime, Days, SecondsFormat, Utc};
use clap::Subcommand;
use serde_json::{Value, json};

use super::{CommandError, NamedAsker, arm_failpoint, say};
use crate::{
    ambient::{Ambient, NoRandomness},
    audit::{AuditAction, AuditActor, Deed, Scribe},
    bootstrap::{open_with_clock, scribe},
    config::Settings,
    identity::{
        Scopes,
        caller::{CLIENTS_ALL, REWARDS_ALL},
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

/// The most days that a key is good for, where its maker does not say that it never ends.
const DAYS_MAX: u64 = 3650;

#[derive(Subcommand)]
pub(super) enum KeysCommand {
    /// Make a key and show it, this once. The last line of stderr says when it ends.
    Create {
        /// Whose it is. Idempotency keys and rewards belong to the client, not to the key.
        #[arg(long)]
        client: String,
        /// The client is to be a new one. Not needed for the first client of a database.
        #[arg(long)]
        new_client: bool,
        /// The id that the client had in another database, `cli_…`, as `noshi keys list` shows it there. A client that
        /// release 0.1.0 made keeps its idempotency keys only under this id; the id of any other derives from its name.
        #[arg(long, value_name = "CLIENT_ID")]
        id: Option<ClientId>,
        /// What it is for.
        #[arg(long, default_value = "default")]
        name: String,
        /// Its scopes, divided by commas. When left out: what buys, reads and cancels rewards and reads programs.
        #[arg(long, value_parser = read_scopes)]
        scopes: Option<Scopes>,
        /// After how many days it is refused, or `never`.
        #[arg(long, alias = "expires-in-days", value_name = "DAYS", default_value = "365", value_parser = read_expiry)]
        expires: Expiry,
        /// Let it deal with this program only, `prg_…`.
        #[arg(long)]
        program: Option<ProgramId>,
        #[command(flatten)]
        asker: NamedAsker,
    },
    /// List all keys, without their secrets.
    List,
    /// Make the successor of a key and show it, this once: the same client, scopes, program and limits. The old key goes on for some
    /// days, in which its caller takes the new one.
    Rotate {
        /// The id of the old one, `key_…`.
        id: ApiKeyId,
        /// For how many days the old key goes on; 0 ends it now.
        #[arg(long, value_name = "DAYS", default_value = "7", value_parser = clap::value_parser!(u64).range(0..=365))]
        overlap: u64,
        /// After how many days the new one is refused, or `never`.
        #[arg(long, value_name = "DAYS", default_value = "365", value_parser = read_expiry)]
        expires: Expiry,
        #[command(flatten)]
        asker: NamedAsker,
    },
    /// Refuse a key from now on.
    Revoke {
        /// Its id, `key_…`.
        id: ApiKeyId,
        #[command(flatten)]
        asker: NamedAsker,
    },
}

impl KeysCommand {
    fn asker(&self) -> Option<&str> {
        match self {
            Self::Create { asker, .. } | Self::Rotate { asker, .. } | Self::Revoke { asker, .. } => asker.name(),
            Self::List => None,
        }
    }
}

fn read_scopes(text: &str) -> Result<Scopes, UnknownScope> {
    Scopes::parse(text, &server::scopes())
}

/// How long a key is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expiry {
    /// It has no end.
    Never,
    /// So many days.
    Days(u64),
}

impl Expiry {
    fn end(self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Never => None,
            Self::Days(days) => now.checked_add_days(Days::new(days)),
        }
    }
}

/// The text is neither a number of days nor `never`.
#[derive(Debug, thiserror::Error)]
#[error("expected 1 to {DAYS_MAX} days, or never")]
struct BadExpiry;

fn read_expiry(text: &str) -> Result<Expiry, BadExpiry> {
    if text == "never" {
        return Ok(Expiry::Never);
    }
    let days = text.parse().ok().filter(|days| (1..=DAYS_MAX).contains(days));
    days.map(Expiry::Days).ok_or(BadExpiry)
}

/// Why a key was not made or revoked.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeysError {
    #[error("names have 1 to 100 characters, none of them control characters")]
    Name,
    #[error("no key was made")]
    Client(#[from] ClientError),
    #[error(
        "there is no client of that name, but {}: write one of these, or say --new-client. A client of another name \
         has other idempotency keys: the same order would be bought again",
        .0.join(", ")
    )]
    NewClient(Vec<String>),
    #[error("there is no program of that id: `noshi programs create` makes one")]
    UnknownProgram,
    #[error("the program belongs to another client")]
    ForeignProgram,
    #[error(
        "a key that is bound to a program deals with nothing else: leave --program out, or clients:all and rewards:all"
    )]
    BoundToAll,
    #[error("there is no active key of that id")]
    Unknown,
    #[error("the key has a successor already, {0}: rotate that one, or revoke it first")]
    Succeeded(ApiKeyId),
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub(super) async fn run(command: KeysCommand, settings: &Settings) -> Result<ExitCode, CommandError> {
    arm_failpoint();
    let (store, ambient) = open_with_clock(&settings.store).await?;
    let scribe = scribe(settings, AuditActor::command(command.asker()))?;
    let lines = match command {
        KeysCommand::Create { client, new_client, id, name, scopes, expires, program, asker: _ } => {
            let default = || Scopes::new(server::scopes().into_iter().filter(|scope| scope.is_by_default()));
            let may_be_new = new_client || id.is_some();
            let scopes = scopes.unwrap_or_else(default);
            let new = NewKey { client: &client, may_be_new, client_id: id, name: &name, scopes, program, expires };
            let made = create(&store, &ambient, new, &scribe).await?;
            writeln!(io::stderr(), "{}", made.line())?;
            vec![made.text]
        }
        KeysCommand::List => keys::list(&store).await?.iter().map(line).collect(),
        KeysCommand::Rotate { id, overlap, expires, asker: _ } => {
            let rotated = rotate::rotate(&store, &ambient, rotate::Rotation { id, overlap, expires }, &scribe).await?;
            writeln!(io::stderr(), "{}\n{}", rotated.old_line(), rotated.made.line())?;
            vec![rotated.made.text]
        }
        KeysCommand::Revoke { id, asker: _ } => vec![revoke(&store, &ambient, id, &scribe).await?],
    };
    store.close().await;
    say(&lines.join("\n"))
}

/// A key that is to be made.
pub(super) struct NewKey<'a> {
    /// The name of the client that it is for.
    pub(super) client: &'a str,
    /// Whether the database may have clients, and none of that name.
    pub(super) may_be_new: bool,
    /// The id that the client had in another database.
    pub(super) client_id: Option<ClientId>,
    /// What it is for.
    pub(super) name: &'a str,
    pub(super) scopes: Scopes,
    /// The only program that it deals with.
    pub(super) program: Option<ProgramId>,
    pub(super) expires: Expiry,
}

/// A key that was made.
pub(super) struct MadeKey {
    /// What its caller sends: shown once.
    pub(super) text: String,
    id: ApiKeyId,
    end: Option<DateTime<Utc>>,
}

impl MadeKey {
    fn line(&self) -> String {
        let end = self.end.map_or_else(|| "never ends".to_owned(), |end| format!("ends {}", second(end)));
        format!("{} {end}", self.id)
    }
}

/// Makes a key. A client that is new is made with it.
pub(super) async fn create(
    store: &Store,
    ambient: &Ambient,
    new: NewKey<'_>,
    scribe: &Scribe,
) -> Result<MadeKey, KeysError> {
    let NewKey { client, may_be_new, client_id, name, scopes, program, expires } = new;
    for text in [client, name] {
        let good = !text.is_empty() && text.chars().count() <= 100 && !text.chars().any(char::is_control);
        if !good || looks_like_claim_code(text) || ClientId::of_name(text) == ClientId::of_name(orphans::CLIENT_NAME) {
            return Err(KeysError::Name);
        }
    }
    if program.is_some() && [CLIENTS_ALL, REWARDS_ALL].into_iter().any(|scope| scopes.allow(scope)) {
        return Err(KeysError::BoundToAll);
    }
    let now = ambient.now();
    let minted = mint(ambient)?;
    let mut tx = store.begin().await?;
    let known = clients::names(&mut tx).await?;
    let client_name = client.to_owned();
    let client = clients::find_or_make(&mut tx, client, client_id, now).await?;
    if !may_be_new && !known.is_empty() && !known.contains(&client_name) {
        return Err(KeysError::NewClient(known));
    }
    let key = ApiKey {
        id: minted.id,
        client,
        client_name,
        name: name.to_owned(),
        secret_sha256: minted.secret_sha256,
        scopes,
        created_at: now,
        expires_at: expires.end(now),
        revoked_at: None,
        program,
        replaces: None,
    };
    if let Some(program) = &key.program {
        let policy = programs::policy_in(&mut tx, program, key.id).await?.ok_or(KeysError::UnknownProgram)?;
        if policy.owner.is_some_and(|owner| owner != client) {
            return Err(KeysError::ForeignProgram);
        }
    }
    keys::insert(&mut tx, &key).await?;
    let deed = Deed { action: AuditAction::KeyCreated, subject: &key.id.to_string(), details: details(&key) };
    scribe.write(&mut tx, deed, now).await?;
    tx.commit(()).await?;
    Ok(MadeKey { text: minted.text.to_string(), id: key.id, end: key.expires_at })
}

/// What the audit holds of a key, beside its id.
fn details(key: &ApiKey) -> Value {
    json!({
        "client_id": key.client.to_string(),
        "name": key.name,
        "scopes": key.scopes.to_string(),
        "program_id": key.program.as_ref().map(ToString::to_string),
        "expires_at": key.expires_at.map(second),
    })
}

async fn revoke(store: &Store, ambient: &Ambient, id: ApiKeyId, scribe: &Scribe) -> Result<String, KeysError> {
    let (mut tx, now) = (store.begin().await?, ambient.now());
    if !keys::revoke(&mut tx, id, now).await? {
        return Err(KeysError::Unknown);
    }
    let deed = Deed { action: AuditAction::KeyRevoked, subject: &id.to_string(), details: json!({}) };
    // A key that a thief has is revoked from whatever desk is near.
    let recorded = scribe.write_or_log(&mut tx, deed, now).await?;
    tx.commit(()).await?;
    let unrecorded =
        if recorded { "" } else { "; this is not recorded in the audit: the settings list no sealing key" };
    Ok(format!("{id} is revoked{unrecorded}"))
}

fn second(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A key as it is listed.
pub(super) fn line(key: &ApiKey) -> String {
    let state = match (key.revoked_at, key.expires_at) {
        (Some(at), _) => format!("revoked {}", second(at)),
        (None, Some(at)) => format!("until {}", second(at)),
        (None, None) => "active".to_owned(),
    };
    let (id, client, client_id, name, scopes) = (key.id, &key.client_name, key.client, &key.name, &key.scopes);
    let bound = key.program.as_ref().map_or(String::new(), |program| format!("  bound to {program}"));
    let replaces = key.replaces.map_or(String::new(), |old| format!("  replaces {old}"));
    let created = second(key.created_at);
    format!("{id}  {client}  {client_id}  {name}  [{scopes}]  created {created}  {state}{bound}{replaces}")
}
