//! Puts a back-up in the place of a SQLite file: all of it or nothing, whenever the process dies.
//!
//! 1. The back-up is copied beside the database, read to the last page, compared with what its migrations make, and migrated there.
//! 2. The old database gets a second name.
//! 3. A WAL or a journal beside the old file moves with it, because SQLite would play it into any file of the old name.
//! 4. One rename gives the back-up the database's name.

mod compare;

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use sqlx::{
    ConnectOptions, Connection, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteSynchronous},
};

use super::{
    Conn, Store, StoreError, StoreOptions,
    backup::{
        BUSY, CORRUPT, Contents, CopyError, Counts, NOT_A_DATABASE, Seal, beside, inspect, primary_code,
        sync_folder_of, transfer,
    },
    row, sql, sqlite,
    trusted_file::{self, FileError},
};
use crate::failpoint;

/// Files that SQLite keeps beside a database and plays into it.
const SIDE_FILES: [&str; 3] = ["-wal", "-shm", "-journal"];
/// How often, and with which pause, to wait until our own connections have ended.
const CLOSE_TRIES: usize = 100;
const CLOSE_PAUSE: Duration = Duration::from_millis(50);

/// Why nothing was restored. The database is as it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestoreError {
    /// Another process has the database open: it serves it, or it is a command.
    #[error("another process has the database open: stop it first")]
    InUse,
    /// The back-up is the database itself.
    #[error("the back-up is the database itself")]
    Itself,
    /// A copy of a file in use: its last commits are in the WAL beside it.
    #[error("{0} has a WAL or a journal beside it: it is no back-up, but a copy of a file in use")]
    InTwoParts(PathBuf),
    /// The back-up cannot be read.
    #[error("the back-up cannot be read")]
    Unread(#[source] io::Error),
    /// The back-up is a file that somebody else may lead elsewhere, or change.
    #[error(transparent)]
    File(#[from] FileError),
    /// The back-up is another one than the operator wants.
    #[error("the back-up's SHA-256 is {0}, and not the one that was named")]
    AnotherSeal(String),
    /// The back-up names a migration that this program does not have.
    #[error("the back-up was written by a later version of this program: restore it with that version")]
    Later,
    /// The back-up's schema is not what the migrations that it names make: somebody changed it.
    #[error("the back-up's schema is not this program's: {0}")]
    AnotherSchema(String),
    /// The copy failed, or the back-up is not whole.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// SQLite.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RestoreError {
    /// Whether the schema is refused, of which an operator can take out what no migration makes before the back-up is needed.
    pub(crate) const fn is_about_the_schema(&self) -> bool {
        matches!(self, Self::AnotherSchema(_))
    }
}

/// A back-up that was copied beside the database and found whole. Meanwhile no process can serve the database.
#[derive(Debug)]
pub(crate) struct Staged {
    database: PathBuf,
    staged: PathBuf,
    /// The lock of the process that serves the database.
    _serving: File,
    pub(crate) contents: Contents,
    /// The seal of the back-up that was read.
    pub(crate) seal: Seal,
}

row! {
    struct JournalRow { journal_mode: String }
}

/// Copies a back-up beside the database, and checks it: that it is the one whose SHA-256 is named, if one is, that it is whole,
/// and that its schema is ours.
///
/// # Errors
/// [`RestoreError`].
pub(crate) async fn stage(
    database: &Path,
    from: &mut dyn Read,
    sha256: Option<&str>,
    counts: Counts,
) -> Result<Staged, RestoreError> {
    let serving = sqlite::take_lock(database)?;
    let staged = beside(database, ".restoring");
    for ending in SIDE_FILES {
        remove(&beside(&staged, ending))?;
    }
    let seal = copy_in(&staged, from)?;
    if sha256.is_some_and(|named| !named.eq_ignore_ascii_case(&seal.sha256)) {
        remove(&staged)?;
        return Err(RestoreError::AnotherSeal(seal.sha256));
    }
    failpoint::pass("restore", "copied");
    let contents = checked(&staged, counts).await.inspect_err(|_error| drop(fs::remove_file(&staged)))?;
    failpoint::pass("restore", "inspected");
    Ok(Staged { database: database.to_owned(), staged, _serving: serving, contents, seal })
}

async fn checked(staged: &Path, counts: Counts) -> Result<Contents, RestoreError> {
    let contents = inspect(staged, counts).await?;
    compare::compare(staged).await?;
    Ok(contents)
}

/// Why a back-up that is whole would be refused, if it would: an index or a view that an operator made for reports, for example.
/// Whoever finds out when the database is lost finds out too late.
///
/// # Errors
/// [`StoreError`] when the file cannot be read.
pub(crate) async fn refusal_of(file: &Path) -> Result<Option<RestoreError>, StoreError> {
    refusal(compare::compare(file).await)
}

/// The same of what a back-up of an open database would hold. PostgreSQL has tools of its own, which refuse nothing.
///
/// # Errors
/// [`StoreError`] when the database cannot be read.
pub(crate) async fn refusal_of_open(store: &Store) -> Result<Option<RestoreError>, StoreError> {
    match store.snapshot().await?.conn().await? {
        Conn::Sqlite(connection) => refusal(compare::compare_open(connection).await),
        Conn::Postgres { .. } => Ok(None),
    }
}

fn refusal(compared: Result<(), RestoreError>) -> Result<Option<RestoreError>, StoreError> {
    match compared {
        Ok(()) => Ok(None),
        Err(RestoreError::Store(error)) => Err(error),
        Err(refused) => Ok(Some(refused)),
    }
}

/// Opens a back-up for reading.
///
/// # Errors
/// [`RestoreError`] if the file is the database itself, or only a part of a database.
pub(crate) fn open_backup(file: &Path, database: &Path) -> Result<File, RestoreError> {
    let opened = trusted_file::to_read(file).map_err(|error| match error {
        FileError::Io(_path, error) => RestoreError::Unread(error),
        FileError::Link(_) | FileError::NotPlain(_) | FileError::AnybodyWrites(_) | FileError::NotOurs(_) => {
            error.into()
        }
    })?;
    let same = fs::canonicalize(file).ok().is_some_and(|real| fs::canonicalize(database).is_ok_and(|it| it == real));
    if same {
        return Err(RestoreError::Itself);
    }
    let has_more = |ending: &&str| fs::metadata(beside(file, ending)).is_ok_and(|found| found.len() > 0);
    if ["-wal", "-journal"].iter().any(has_more) {
        return Err(RestoreError::InTwoParts(file.to_owned()));
    }
    Ok(opened)
}

fn remove(file: &Path) -> Result<(), RestoreError> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(CopyError::Io("what an earlier restore left cannot be removed", error).into())
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn copy_in(staged: &Path, from: &mut dyn Read) -> Result<Seal, RestoreError> {
    // What an earlier restore left, or somebody else laid there, is not written into.
    remove(staged)?;
    let mut file = trusted_file::to_write(staged).map_err(CopyError::from)?;
    transfer(from, &mut file).map_err(RestoreError::Unread)
}

impl Staged {
    /// Opens the copy, so that it can be migrated before it takes the database's place.
    pub(crate) async fn open(&self) -> Result<Store, StoreError> {
        let path = self.staged.to_str().ok_or_else(|| StoreError::Open("the path is not UTF-8".to_owned()))?;
        let url = SecretString::from(format!("sqlite://{path}"));
        Store::open(&StoreOptions::of_command(url, 1)).await
    }

    /// Takes the database's place. The old database gets a name with the instant in it, which is returned.
    ///
    /// # Errors
    /// [`RestoreError`]; the database is as it was.
    pub(crate) async fn take_place(self, now: DateTime<Utc>) -> Result<Option<PathBuf>, RestoreError> {
        self.become_one_file().await?;
        let (database, aside) =
            (&self.database, beside(&self.database, &now.format(".before-%Y%m%dT%H%M%S%.3fZ").to_string()));
        fold(database).await?;
        failpoint::pass("restore", "folded");
        let io = |what| move |error| RestoreError::Copy(CopyError::Io(what, error));
        let old = database.exists();
        if old {
            // A second name instead of a rename: at every instant there is a database.
            fs::hard_link(database, &aside).map_err(io("the old database cannot be put aside"))?;
        }
        for ending in SIDE_FILES {
            let left = beside(database, ending);
            if left.exists() {
                fs::rename(&left, beside(&aside, ending)).map_err(io("the old database cannot be put aside"))?;
            }
        }
        failpoint::pass("restore", "aside");
        fs::rename(&self.staged, database).map_err(io("the back-up cannot take the database's place"))?;
        failpoint::pass("restore", "in_place");
        sync_folder_of(database)?;
        Ok(old.then_some(aside))
    }

    /// Brings everything that was written into the one file and onto the disk, and removes what is beside it.
    async fn become_one_file(&self) -> Result<(), RestoreError> {
        // The connections of a closed store end a moment later.
        let mut folded = fold(&self.staged).await;
        for _try in 0..CLOSE_TRIES {
            if !matches!(folded, Err(RestoreError::InUse)) {
                break;
            }
            tokio::time::sleep(CLOSE_PAUSE).await;
            folded = fold(&self.staged).await;
        }
        folded?;
        for ending in SIDE_FILES {
            remove(&beside(&self.staged, ending))?;
        }
        let synced = File::open(&self.staged).and_then(|file| file.sync_all());
        synced.map_err(|error| CopyError::Io("the copy did not reach the disk", error))?;
        failpoint::pass("restore", "synced");
        Ok(())
    }
}

async fn writer(file: &Path) -> Result<SqliteConnection, sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(false)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(1));
    options.disable_statement_logging().connect().await
}

/// Brings a database's WAL into its file, by leaving the WAL mode. That fails while another process has the file open, which
/// would later remove the new database's WAL by its name. A file that cannot be read any more is left as it is.
async fn fold(database: &Path) -> Result<(), RestoreError> {
    if !database.exists() {
        return Ok(());
    }
    let folded = match writer(database).await {
        Ok(mut connection) => {
            let folded: Result<JournalRow, _> =
                sql::sqlite_as("PRAGMA journal_mode = DELETE").fetch_one(&mut connection).await;
            connection.close().await.map_err(|error| StoreError::database("close", error))?;
            folded
        }
        Err(error) => Err(error),
    };
    match folded {
        Ok(row) if row.journal_mode == "delete" => Ok(()),
        Ok(_still_wal) => Err(RestoreError::InUse),
        Err(error) => match primary_code(&error) {
            Some(BUSY) => Err(RestoreError::InUse),
            Some(CORRUPT | NOT_A_DATABASE) => Ok(()),
            Some(_) | None => Err(StoreError::database("fold", error).into()),
        },
    }
}
