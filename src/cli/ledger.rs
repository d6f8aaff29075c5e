//! `noshi programs` and `noshi ledger`: what an operator does with programs and the ledger on the machine itself.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{CommandError, NamedAsker, month, say};
use crate::{
    ambient::Ambient,
    audit::{AuditAction, AuditActor, Deed, Scribe},
    bootstrap::{open_with_clock, scribe},
    config::Settings,
    identity::clients,
    kernel::{
        ClientId, Money, ProgramId,
        claim_code::{looks_like_claim_code, may_hold_claim_code},
    },
    ledger::{
        journal::{self, Posting},
        movements::{ADJUSTMENT, CANCEL, DEPOSIT, ISSUE, OPENING},
        programs::{self, ChangedBy, NewProgram, ProgramState},
        sums::Sums,
    },
    store::{Store, StoreError},
};

#[derive(Subcommand)]
pub(super) enum ProgramsCommand {
    /// Make a program. Limits are set by the API: PATCH /v1/programs/{id}.
    Create {
        /// Its id, `prg_…`: 1 to 40 characters of a-z, 0-9 and underscore after the prefix.
        id: ProgramId,
        /// The account that pays.
        #[arg(long)]
        account: String,
        /// What it is for.
        #[arg(long)]
        name: String,
        /// Whose it is: no other client may charge it or see it.
        #[arg(long, value_name = "NAME", required_unless_present = "any_client")]
        client: Option<String>,
        /// Let every client charge it and see it.
        #[arg(long, conflicts_with = "client")]
        any_client: bool,
        #[command(flatten)]
        asker: NamedAsker,
    },
    /// List all programs, and whose they are. One that release 0.1.0 made is any client's until it is given to one.
    List,
    /// Give a program to a client: no other may charge it or see it from now on, in all replicas.
    Own {
        /// Its id.
        id: ProgramId,
        /// Whose it is to be.
        #[arg(long, value_name = "NAME")]
        client: String,
        /// Who decided.
        #[arg(long)]
        by: String,
    },
    /// Refuse new rewards from now on, in all replicas.
    Suspend {
        /// Its id.
        id: ProgramId,
        /// Who decided.
        #[arg(long)]
        by: String,
    },
    /// Take new rewards again.
    Resume {
        /// Its id.
        id: ProgramId,
        /// Who decided.
        #[arg(long)]
        by: String,
    },
}

impl ProgramsCommand {
    fn asker(&self) -> Option<&str> {
        match self {
            Self::Create { asker, .. } => asker.name(),
            Self::Own { by, .. } | Self::Suspend { by, .. } | Self::Resume { by, .. } => Some(by),
            Self::List => None,
        }
    }
}

#[derive(Subcommand)]
pub(super) enum LedgerCommand {
    /// The sums of every account, and what Amazon must say can be spent.
    Sums,
    /// A month's books of an account: what it held, what came, what each program bought and what was taken back.
    Statement(month::StatementArguments),
    /// Write a month as plain text that hledger or Beancount reads: a transaction for each entry that changes the balance.
    Export(month::ExportArguments),
    /// Book a correction of an account's funds, where no purchase, cancel or deposit explains the difference.
    Adjust(AdjustArguments),
}

#[derive(Args)]
pub(super) struct AdjustArguments {
    /// The account.
    #[arg(long)]
    account: String,
    /// By how much, in the account's currency; below zero takes funds off.
    #[arg(long, allow_hyphen_values = true)]
    amount: String,
    /// Why.
    #[arg(long)]
    reason: String,
    /// Who decided.
    #[arg(long)]
    by: String,
}

/// Why a program or the ledger was not changed.
#[derive(Debug, thiserror::Error)]
pub(super) enum LedgerError {
    #[error("names and reasons have 1 to 100 characters, no control characters, and nothing shaped like a claim code")]
    Text,
    #[error("there is a program of that id")]
    Taken,
    #[error("there is no such program, or it is so already")]
    Unchanged,
    #[error("there is no account of that id")]
    UnknownAccount,
    #[error("there is no client of that name: `noshi keys list` shows them")]
    UnknownClient,
    #[error("not an amount of {0}: {1}")]
    Amount(crate::kernel::Currency, crate::kernel::money::MoneyError),
    #[error("an adjustment moves something")]
    Nothing,
    #[error("the month has not begun")]
    NotBegun,
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub(super) fn checked(text: &str) -> Result<&str, LedgerError> {
    let good = !text.is_empty() && text.chars().count() <= 100 && !text.chars().any(char::is_control);
    if good && !looks_like_claim_code(text) { Ok(text) } else { Err(LedgerError::Text) }
}

/// A reason may name an order.
fn checked_reason(text: &str) -> Result<&str, LedgerError> {
    let good = !text.is_empty() && text.chars().count() <= 100 && !text.chars().any(char::is_control);
    if good && !may_hold_claim_code(text) { Ok(text) } else { Err(LedgerError::Text) }
}

/// Where a command writes, by which clock, and who writes it down.
struct CommandWriter<'a> {
    store: &'a Store,
    ambient: &'a Ambient,
    scribe: &'a Scribe,
}

pub(super) async fn run(command: ProgramsCommand, settings: &Settings) -> Result<ExitCode, CommandError> {
    let (store, ambient) = open_with_clock(&settings.store).await?;
    let scribe = scribe(settings, AuditActor::command(command.asker()))?;
    let writer = CommandWriter { store: &store, ambient: &ambient, scribe: &scribe };
    let lines = programs_lines(command, settings, &writer).await?;
    store.close().await;
    say(&lines)
}

async fn programs_lines(
    command: ProgramsCommand,
    settings: &Settings,
    writer: &CommandWriter<'_>,
) -> Result<String, LedgerError> {
    let CommandWriter { store, ambient, scribe } = *writer;
    let now = ambient.now();
    match command {
        // `any_client` is what remains when no client is named.
        ProgramsCommand::Create { id, account, name, client, any_client: _, asker } => {
            if !settings.accounts.contains_key(&account) {
                return Err(LedgerError::UnknownAccount);
            }
            let owner = match client {
                Some(client) => Some(client_of_name(store, &client).await?),
                None => None,
            };
            let mut tx = store.begin().await?;
            let by = ChangedBy { name: asker.name().unwrap_or("command line").to_owned(), scribe: scribe.clone() };
            let new = NewProgram { id: &id, name: checked(&name)?, account: &account, owner };
            if !programs::create(&mut tx, new, &by, now).await? {
                return Err(LedgerError::Taken);
            }
            tx.commit(()).await?;
            Ok(format!("{id} is made"))
        }
        ProgramsCommand::List => {
            let all = programs::list(&mut store.snapshot().await?).await?;
            let line = |program: &programs::Program| {
                let owner = program.owner.as_ref().map_or("any client", |owner| owner.name.as_str());
                let (id, state, account) = (&program.id, program.state.as_str(), &program.account);
                format!("{id}  {state}  account {account}  {owner}  {}", program.name)
            };
            Ok(all.iter().map(line).collect::<Vec<_>>().join("\n"))
        }
        ProgramsCommand::Own { id, client, by } => {
            let owner = client_of_name(store, &client).await?;
            let by = ChangedBy { name: checked(&by)?.to_owned(), scribe: scribe.clone() };
            let mut tx = store.begin().await?;
            let changed = programs::own(&mut tx, &id, owner, &by, now).await?;
            tx.commit(()).await?;
            if changed { Ok(format!("{id} is {client}'s")) } else { Err(LedgerError::Unchanged) }
        }
        ProgramsCommand::Suspend { id, by } => set_state(writer, &id, &by, ProgramState::Suspended).await,
        ProgramsCommand::Resume { id, by } => set_state(writer, &id, &by, ProgramState::Active).await,
    }
}

async fn client_of_name(store: &Store, name: &str) -> Result<ClientId, LedgerError> {
    clients::find(&mut store.snapshot().await?, name).await?.ok_or(LedgerError::UnknownClient)
}

async fn set_state(
    writer: &CommandWriter<'_>,
    id: &ProgramId,
    by: &str,
    state: ProgramState,
) -> Result<String, LedgerError> {
    let CommandWriter { store, ambient, scribe } = *writer;
    let by = ChangedBy { name: checked(by)?.to_owned(), scribe: scribe.clone() };
    let mut tx = store.begin().await?;
    let changed = programs::set_state(&mut tx, id, state, &by, ambient.now()).await?;
    tx.commit(()).await?;
    if changed { Ok(format!("{id} is {}", state.as_str())) } else { Err(LedgerError::Unchanged) }
}

pub(super) async fn run_ledger(command: LedgerCommand, settings: &Settings) -> Result<ExitCode, CommandError> {
    match command {
        LedgerCommand::Statement(asked) => month::print_statement(asked, settings).await,
        LedgerCommand::Export(asked) => month::print_export(asked, settings).await,
        LedgerCommand::Sums => {
            let (store, _ambient) = open_with_clock(&settings.store).await?;
            let sums = journal::sums(&mut store.snapshot().await?).await?;
            store.close().await;
            say(&sums.iter().map(|(account, sums)| line(account, sums)).collect::<Vec<_>>().join("\n"))
        }
        LedgerCommand::Adjust(asked) => {
            let (store, ambient) = open_with_clock(&settings.store).await?;
            let scribe = scribe(settings, AuditActor::command(Some(&asked.by)))?;
            let writer = CommandWriter { store: &store, ambient: &ambient, scribe: &scribe };
            let said = adjust(asked, settings, &writer).await?;
            store.close().await;
            say(&said)
        }
    }
}

async fn adjust(
    asked: AdjustArguments,
    settings: &Settings,
    writer: &CommandWriter<'_>,
) -> Result<String, LedgerError> {
    let CommandWriter { store, ambient, scribe } = *writer;
    let AdjustArguments { account, amount, reason, by } = asked;
    let of_settings = settings.accounts.get(&account).ok_or(LedgerError::UnknownAccount)?;
    let currency = of_settings.marketplace.currency();
    let (sign, digits) = amount.strip_prefix('-').map_or((1, amount.as_str()), |digits| (-1, digits));
    let value = Money::parse(digits, currency).map_err(|error| LedgerError::Amount(currency, error))?;
    if value.minor() == 0 {
        return Err(LedgerError::Nothing);
    }
    let value = Money::from_minor(value.minor().saturating_mul(sign), currency);
    let posting = Posting {
        note: Some(checked_reason(&reason)?),
        made_by: Some(checked(&by)?),
        ..Posting::new(&ADJUSTMENT, &account, value)
    };
    let (mut tx, now) = (store.begin().await?, ambient.now());
    journal::write(&mut tx, &posting, now).await?;
    // The reason stands in the ledger.
    let details = json!({"amount": value.to_string(), "currency": currency.code(), "by": checked(&by)?});
    let deed = Deed { action: AuditAction::LedgerAdjusted, subject: &account, details };
    scribe.write(&mut tx, deed, now).await?;
    tx.commit(()).await?;
    Ok(format!("adjusted by {amount} {currency}"))
}

fn line(account: &str, sums: &Sums) -> String {
    let money = |minor| Money::from_minor(minor, sums.currency).to_string();
    format!(
        "{account}  {}  opening {}  deposits {}  adjustments {}  issued {}  canceled {}  on the way {}  to be spent {}",
        sums.currency,
        money(sums.of(&OPENING)),
        money(sums.of(&DEPOSIT)),
        money(sums.of(&ADJUSTMENT)),
        money(sums.of(&ISSUE)),
        money(sums.of(&CANCEL)),
        money(sums.on_the_way()),
        money(sums.expected())
    )
}
