//! The book file: one JSON entry a line, appended and synced before the gateway answers the call.
//!
//! **It holds claim codes**, of a sandbox's cards, which buy nothing. Only its owner can read it, and one sandbox at a
//! time may have it open.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::book::Card;
use super::money;
use super::partners::PartnerEntry;

/// One change of the book. An entry holds the whole value after its change, so the last entry of a card or a partner
/// wins.
#[derive(Clone, Deserialize, Serialize)]
#[serde(tag = "entry", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum BookEntry {
    /// A card as it now is, and its partner's funds after that.
    Card {
        card: Card,
        #[serde(with = "money::text")]
        funds: Decimal,
    },
    /// A partner's funds, set by hand.
    Funds {
        partner_id: String,
        /// Absent where the partner has funds in one currency only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        currency: Option<String>,
        #[serde(with = "money::text")]
        amount: Decimal,
    },
    /// A state was loaded: no card before this counts.
    Reset,
    /// A partner, added or changed while the sandbox ran, with its keys.
    Partner { partner: PartnerEntry },
    /// The sandbox clock, moved by hand. Without this entry a restart would set the clock back: cards would lie in the
    /// future, and every cancel window would be open again.
    Clock { offset_seconds: i64 },
}

/// Why a book file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BookFileError {
    /// It could not be opened, read, locked or written.
    #[error("the book file could not be opened")]
    Io(#[from] io::Error),
    /// Another sandbox has the file open.
    #[error("the book file is in use by another sandbox")]
    InUse,
    /// A line before the last is not a book entry. The file is unchanged.
    #[error("line {line} of the book file is not a book entry")]
    Foreign {
        /// Counted from one.
        line: usize,
        /// What was wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// An entry makes a partner that cannot be.
    #[error("the book file: {problem}")]
    Partner {
        /// What is wrong with it.
        problem: String,
    },
    /// An entry names a partner that has no account.
    #[error("the book file has entries of partner {partner_id}, which has no account")]
    UnknownPartner {
        /// The partner it names.
        partner_id: String,
    },
}

/// An open, locked book file.
#[derive(Debug)]
pub(super) struct BookFile {
    file: File,
    /// How many bytes of the file are whole entries. A failed append is cut back to this length.
    length: u64,
    /// Set when cutting back failed as well: the next entry would continue a torn line.
    broken: bool,
}

impl BookFile {
    /// Opens or creates the file and reads its entries. A torn last line is dropped with a warning: its writer was
    /// killed before it answered the call. A last line that is no entry's beginning is nobody's to drop.
    pub(super) fn open(path: &Path) -> Result<(Self, Vec<BookEntry>), BookFileError> {
        let created = !path.exists();
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(BookFileError::InUse),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let BookLines { entries, length, unended } = read_entries(&bytes)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        if created {
            sync_directory(path)?;
        }
        let mut book_file = Self { file, length, broken: false };
        if usize::try_from(length).is_ok_and(|whole| whole < bytes.len()) {
            tracing::warn!(book.dropped_bytes = bytes.len(), "the last line of the book file was torn; it was dropped");
            book_file.cut_back()?;
        }
        book_file.file.seek(SeekFrom::Start(length))?;
        if unended {
            book_file.append_bytes(b"\n")?;
        }
        Ok((book_file, entries))
    }

    /// Appends entries. Once this returns, they survive a kill and a power cut.
    pub(super) fn append(&mut self, entries: &[BookEntry]) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("an earlier write to the book file failed and could not be undone"));
        }
        let mut lines = Vec::new();
        for entry in entries {
            serde_json::to_writer(&mut lines, entry)?;
            lines.push(b'\n');
        }
        self.append_bytes(&lines)
    }

    fn append_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = self.file.write_all(bytes).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            self.broken = self.cut_back().is_err();
            return Err(error);
        }
        self.length = self.length.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    /// A book file whose every write fails.
    #[cfg(test)]
    pub(super) fn unwritable(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::open(path)?, length: 0, broken: false })
    }

    fn cut_back(&mut self) -> io::Result<()> {
        self.file.set_len(self.length)?;
        self.file.seek(SeekFrom::Start(self.length))?;
        self.file.sync_data()
    }
}

/// What a book file holds.
struct BookLines {
    entries: Vec<BookEntry>,
    /// How many bytes of the file they take.
    length: u64,
    /// The last of them lacks its line's end.
    unended: bool,
}

/// How every entry begins.
const BEGINNING: &[u8] = br#"{"entry":""#;

/// Reads the entries. Only the very last line may be torn.
fn read_entries(bytes: &[u8]) -> Result<BookLines, BookFileError> {
    let (mut entries, mut length, mut unended) = (Vec::new(), 0_usize, false);
    for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let whole = line.strip_suffix(b"\n");
        match serde_json::from_slice(whole.unwrap_or(line)) {
            Ok(entry) => entries.push(entry),
            Err(_empty) if whole.is_some_and(<[u8]>::is_empty) => {}
            Err(_torn) if whole.is_none() && is_torn(line) => break,
            Err(source) => return Err(BookFileError::Foreign { line: index.saturating_add(1), source }),
        }
        unended = whole.is_none();
        length = length.saturating_add(line.len());
    }
    Ok(BookLines { entries, length: u64::try_from(length).unwrap_or(u64::MAX), unended })
}

/// Whether a line is the beginning of an entry, or what a file system leaves in the place of one.
fn is_torn(line: &[u8]) -> bool {
    line.starts_with(BEGINNING) || BEGINNING.starts_with(line) || line.iter().all(|byte| *byte == 0)
}

/// A new file's name is durable only once its directory is.
fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}
