//! `noshi accounts`: what an operator asks of the partner accounts of the settings.

use std::process::ExitCode;

use chrono::{DateTime, SecondsFormat, Utc};
use clap::Subcommand;

use super::{CommandError, NamedAsker, doctor::amazon::WRONG_PAIR, say};
use crate::{
    accounts::{
        Account, KeyPairs, KeySlot,
        key_pairs::{
            KeyState,
            book::KeyProof,
            commands::{KeyPairStatus, NotActivated, PairOrder, Verified},
            status::{KeyAdvice, SlotStatus},
        },
    },
    audit::AuditActor,
    bootstrap,
    config::Settings,
    store::StoreError,
};

#[derive(Subcommand)]
pub(super) enum AccountsCommand {
    /// Amazon's key pairs, and their exchange without a restart.
    #[command(subcommand)]
    Keys(AccountKeysCommand),
}

#[derive(Subcommand)]
pub(super) enum AccountKeysCommand {
    /// Show each account's pairs: what Amazon says of them, which is in force, and what is to be done.
    Status {
        /// This account only.
        #[arg(long)]
        account: Option<String>,
    },
    /// Ask Amazon whether it takes the pair of a slot, with one signed GetAvailableFunds. Exit codes: 0 it does, 1 it does not.
    Verify {
        /// The account.
        #[arg(long)]
        account: String,
        /// The slot: primary or second.
        #[arg(long, value_parser = read_slot)]
        slot: KeySlot,
    },
    /// Let every replica sign with the pair of a slot, once Amazon has taken it.
    Activate {
        /// The account.
        #[arg(long)]
        account: String,
        /// The slot: primary or second.
        #[arg(long, value_parser = read_slot)]
        slot: KeySlot,
        #[command(flatten)]
        asker: NamedAsker,
    },
}

fn read_slot(text: &str) -> Result<KeySlot, String> {
    KeySlot::from_word(text).ok_or_else(|| "there are the slots primary and second".to_owned())
}

/// Why an account's key pairs are not shown or changed.
#[derive(Debug, thiserror::Error)]
pub(super) enum AccountsError {
    #[error("there is no account of that name in the settings")]
    Unknown,
    #[error("the account's key pair is not in files: set access_key_id_file and secret_access_key_file")]
    NotInFiles,
    #[error("Amazon did not answer for this pair: try again in a few seconds")]
    Unanswered,
    #[error("Amazon refuses this pair: {WRONG_PAIR}")]
    Refused,
    #[error(transparent)]
    NotActivated(#[from] NotActivated),
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub(super) async fn run(command: AccountsCommand, settings: &Settings) -> Result<ExitCode, CommandError> {
    let AccountsCommand::Keys(command) = command;
    let (accounts, store) = bootstrap::partner_accounts(settings).await?;
    let lines = match command {
        AccountKeysCommand::Status { account } => {
            if account.as_ref().is_some_and(|account| accounts.get(account).is_none()) {
                return Err(AccountsError::Unknown.into());
            }
            let mut lines = Vec::new();
            for one in accounts.iter().filter(|one| account.as_deref().is_none_or(|account| account == one.id())) {
                lines.extend(status(one).await?);
            }
            lines
        }
        AccountKeysCommand::Verify { account, slot } => {
            let account = accounts.get(&account).ok_or(AccountsError::Unknown)?;
            vec![verify(account, in_files(account)?, slot).await?]
        }
        AccountKeysCommand::Activate { account, slot, asker } => {
            let account = accounts.get(&account).ok_or(AccountsError::Unknown)?;
            let pairs = in_files(account)?;
            let scribe = pairs.scribe().of(AuditActor::command(asker.name()));
            let order = PairOrder { slot, key: None };
            pairs.activate(account, &order, &scribe).await.map_err(AccountsError::from)?;
            let (id, slot) = (account.id(), slot.as_str());
            vec![format!("{id}  {slot}  is in force: every replica that holds it signs with it within a few seconds")]
        }
    };
    store.close().await;
    say(&lines.join("\n"))
}

fn in_files(account: &Account) -> Result<&KeyPairs, AccountsError> {
    account.key_pairs().ok_or(AccountsError::NotInFiles)
}

async fn verify(account: &Account, key_pairs: &KeyPairs, slot: KeySlot) -> Result<String, AccountsError> {
    match key_pairs.verify(account, slot).await? {
        Verified::Answered(KeyProof::Accepted) => {
            Ok(format!("{}  {}  Amazon takes this pair", account.id(), slot.as_str()))
        }
        Verified::Answered(KeyProof::Refused) => Err(AccountsError::Refused),
        Verified::Unanswered | Verified::Asking => Err(AccountsError::Unanswered),
        Verified::Empty => Err(NotActivated::Empty.into()),
    }
}

async fn status(account: &Account) -> Result<Vec<String>, AccountsError> {
    let Some(key_pairs) = account.key_pairs() else {
        return Ok(vec![format!("{}  the key pair is not in files: it changes with a restart", account.id())]);
    };
    let status = key_pairs.status(account).await?;
    Ok(status.slots.iter().map(|slot| line(account.id(), slot, &status)).collect())
}

fn line(account: &str, slot: &SlotStatus, status: &KeyPairStatus) -> String {
    let SlotStatus { slot, key, state, asked_at, in_force_at, held_by, signed_by, advice } = slot;
    let replicas = status.replicas;
    let key = key.as_deref().unwrap_or("-");
    let asked = asked_at.map_or_else(String::new, |at| format!(", asked {}", second(at)));
    let in_force = in_force_at.map_or_else(String::new, |at| format!(", last put in force {}", second(at)));
    let held = format!("held by {held_by} and signed with by {signed_by} of {replicas} replicas");
    format!("{account}  {}  {key}  {}{asked}{in_force}; {held}{}", slot.as_str(), word(*state), what_to_do(*advice))
}

fn second(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

const fn word(state: KeyState) -> &'static str {
    match state {
        KeyState::Empty => "empty",
        KeyState::Unproven => "Amazon has not been asked",
        KeyState::Refused => "refused by Amazon",
        KeyState::Ended => "made inactive at Amazon",
        KeyState::Accepted => "taken by Amazon, not in force",
        KeyState::InForce => "in force",
    }
}

const fn what_to_do(advice: KeyAdvice) -> &'static str {
    match advice {
        KeyAdvice::None => "",
        KeyAdvice::WaitForAmazon => "; wait: a replica asks Amazon within seconds, or verify it",
        KeyAdvice::WaitForReplicas => "; wait: it comes in force once every replica holds it",
        KeyAdvice::Activate => "; activate it",
        KeyAdvice::Correct => "; compare it with Amazon's portal",
        KeyAdvice::WaitForRequests => "; wait a minute: requests that it has signed may be under way",
        KeyAdvice::Deactivate => "; make it inactive in Amazon's portal",
        KeyAdvice::Delete => "; delete it in Amazon's portal, and take it out of the files",
    }
}
