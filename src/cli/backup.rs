//! `noshi backup` and `noshi restore`: the SQLite file, copied and put back. The runbook says what an old back-up means
//! for rewards, and how PostgreSQL is backed up.

use std::{
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use chrono::{DateTime, Utc};
use clap::Args;

use super::{CommandError, NamedAsker, arm_failpoint, say};
use crate::{
    ambient::Ambient,
    audit::AuditActor,
    bootstrap::{note_restore, open_with_clock, scribe},
    config::Settings,
    http::problem::timestamp,
    identity::keys,
    incentives::{
        restore_note::{self, RestoreNoteError},
        statement,
    },
    kernel::{Chain, calendar::is_storable},
    ledger::journal,
    store::{
        Store, StoreError,
        backup::{self, Contents, Copied, CopyError, Counts, Seal},
        migrate::migrate,
        restore::{self, RestoreError},
    },
};

/// What a back-up's line counts: rewards and ledger entries.
const COUNTS: Counts = [statement::COUNT, journal::COUNT];

/// Follows why a back-up would be refused.
const WAY_OUT: &str = ". Drop what no migration makes with sqlite3, in the database and in each back-up of it: see Back up SQLite in \
    k8s/monitoring/RUNBOOK.md";

/// Standard output, or standard input.
const STREAM: &str = "-";

#[derive(Args)]
pub(super) struct BackupArguments {
    /// The file to write, which must not be there yet; `-` for standard output.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

#[derive(Args)]
pub(super) struct RestoreArguments {
    /// A back-up that `noshi backup` wrote; `-` for standard input. A link, or a file that anybody may write, is refused.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// The SHA-256 that `noshi backup` printed: another file is refused.
    #[arg(long, value_name = "HEX", value_parser = sha256_argument)]
    sha256: Option<String>,
    #[command(flatten)]
    asker: NamedAsker,
}

#[derive(Args)]
pub(super) struct RestoredArguments {
    /// The instant from which on the database knows nothing, as in 2026-11-01T10:00:00Z. When left out, soon before the
    /// youngest instant in the database.
    #[arg(long, value_parser = instant_argument, value_name = "TIME")]
    lost_from: Option<DateTime<Utc>>,
    #[command(flatten)]
    asker: NamedAsker,
}

fn sha256_argument(text: &str) -> Result<String, &'static str> {
    let is_one = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_one { Ok(text.to_owned()) } else { Err("expected 64 hexadecimal digits") }
}

fn instant_argument(text: &str) -> Result<DateTime<Utc>, &'static str> {
    let at = DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc());
    at.filter(|at| is_storable(at.date_naive())).ok_or("expected an instant as in 2026-11-01T10:00:00Z")
}

/// Why a back-up, a restore, or its note failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum BackupError {
    #[error("the database is PostgreSQL, which has tools of its own: see Back-up in k8s/monitoring/RUNBOOK.md")]
    OwnTools,
    #[error("a back-up is not for a terminal: lead it into a file")]
    Terminal,
    #[error("no back-up was made")]
    Copy(#[from] CopyError),
    #[error("no back-up was made: run `noshi migrate` first, or correct store.url")]
    Unprepared(#[source] CopyError),
    #[error("nothing was restored")]
    Restore(#[from] RestoreError),
    #[error("the restore is not noted")]
    Note(#[from] RestoreNoteError),
}

fn not_copied(error: CopyError) -> BackupError {
    if matches!(error, CopyError::Absent(_) | CopyError::Foreign) {
        BackupError::Unprepared(error)
    } else {
        BackupError::Copy(error)
    }
}

/// The SQLite file of the settings.
fn file_of(settings: &Settings) -> Result<PathBuf, BackupError> {
    settings.store.url.file().map(Path::to_owned).ok_or(BackupError::OwnTools)
}

pub(super) async fn back_up(
    BackupArguments { to }: BackupArguments,
    settings: &Settings,
) -> Result<ExitCode, CommandError> {
    arm_failpoint();
    let database = file_of(settings)?;
    if to != Path::new(STREAM) {
        if to.exists() {
            return Err(BackupError::from(CopyError::Taken(to)).into());
        }
        let copied = backup::copy(&database, backup::part_of(&to), COUNTS).await.map_err(not_copied)?;
        let (contents, warning) = (copied.contents, warning(&copied).await);
        let seal = copied.keep_as(&to).map_err(BackupError::from)?;
        let made = say(&line(&to.display().to_string(), contents, &seal))?;
        warn(warning.as_deref())?;
        return Ok(made);
    }
    let mut out = io::stdout().lock();
    if out.is_terminal() {
        return Err(BackupError::Terminal.into());
    }
    // The disk of the database can hold a copy; a container's /tmp may be memory.
    let beside = backup::part_of(&database);
    let copied = backup::copy(&database, beside, COUNTS).await.map_err(not_copied)?;
    let (contents, warning) = (copied.contents, warning(&copied).await);
    let seal = copied.pour(&mut out).map_err(BackupError::from)?;
    writeln!(io::stderr(), "{}", line(STREAM, contents, &seal))?;
    warn(warning.as_deref())?;
    Ok(ExitCode::SUCCESS)
}

/// What `noshi restore` would say of this copy. The copy is whole and may be all that is left one day, and a script that sends it away must
/// go on: so it is no failure, and the exit code is 0. That nobody reads what a script prints is known: the service finds the same by
/// itself, and NoshiBackupRefused reports it.
async fn warning(copied: &Copied) -> Option<String> {
    match restore::refusal_of(copied.file()).await {
        Ok(None) => None,
        Ok(Some(refused)) => {
            let way_out = if refused.is_about_the_schema() { WAY_OUT } else { "" };
            Some(format!("`noshi restore` refuses this back-up: {refused}{way_out}"))
        }
        Err(error) => Some(format!("it is not known whether `noshi restore` takes this back-up: {}", Chain(&error))),
    }
}

fn warn(warning: Option<&str>) -> io::Result<()> {
    warning.map_or(Ok(()), |warning| writeln!(io::stderr(), "warning: {warning}"))
}

pub(super) async fn restore(
    RestoreArguments { from, sha256, asker }: RestoreArguments,
    settings: &Settings,
) -> Result<ExitCode, CommandError> {
    arm_failpoint();
    let database = file_of(settings)?;
    let scribe = scribe(settings, AuditActor::command(asker.name()))?;
    let staged = if from == Path::new(STREAM) {
        restore::stage(&database, &mut io::stdin(), sha256.as_deref(), COUNTS).await
    } else {
        match restore::open_backup(&from, &database) {
            Ok(mut file) => restore::stage(&database, &mut file, sha256.as_deref(), COUNTS).await,
            Err(error) => Err(error),
        }
    };
    let staged = staged.map_err(BackupError::from)?;
    let (contents, seal) = (staged.contents, staged.seal.clone());
    let ambient = Ambient::system();
    let store = staged.open().await.map_err(RestoreError::from).map_err(BackupError::from)?;
    migrate(&store).await?;
    let gap = note_restore(&store, &ambient, None, &scribe).await.map_err(BackupError::from)?;
    let keys = good_keys(&store, ambient.now()).await?;
    store.close().await;
    drop(store);
    let aside = staged.take_place(ambient.now()).await.map_err(BackupError::from)?;
    let old = aside.map_or_else(String::new, |aside| format!("\nwhat was there before is {}", aside.display()));
    let restored = line(&from.display().to_string(), contents, &seal);
    say(&format!("restored {restored}{old}\n{}\n{keys}", next(&gap)))
}

/// The keys that open the restored database: one that was revoked since the back-up does so again, and a stranger's back-up brings
/// the stranger's.
async fn good_keys(store: &Store, now: DateTime<Utc>) -> Result<String, StoreError> {
    let keys = keys::list(store).await?;
    let good: Vec<_> = keys.iter().filter(|key| key.is_active(now)).map(super::keys::line).collect();
    let heading = format!("{} API keys are good; revoke those that should not be: `noshi keys revoke`", good.len());
    Ok(std::iter::once(heading).chain(good).collect::<Vec<_>>().join("\n"))
}

pub(super) async fn restored(
    RestoredArguments { lost_from, asker }: RestoredArguments,
    settings: &Settings,
) -> Result<ExitCode, CommandError> {
    let (store, ambient) = open_with_clock(&settings.store).await?;
    let gap = note_restore(&store, &ambient, lost_from, &scribe(settings, AuditActor::command(asker.name()))?).await;
    store.close().await;
    say(&next(&gap.map_err(BackupError::from)?))
}

/// What the operator does next.
fn next(gap: &restore_note::RestoreNote) -> String {
    let (from, to) = (gap.lost_from.date_naive(), gap.restored_at.date_naive());
    let lost = timestamp(gap.lost_from);
    format!("what happened from {lost} on is not in it: `noshi reconcile --from {from} --to {to}` for each account")
}

fn line(name: &str, contents: Contents, seal: &Seal) -> String {
    let Contents { schema, rows: [rewards, ledger_entries] } = contents;
    let Seal { bytes, sha256 } = seal;
    format!(
        "{name}: {rewards} rewards, {ledger_entries} ledger entries, schema {schema}, {bytes} bytes, SHA-256 {sha256}"
    )
}
