//! Files that a back-up is written to and read from. They lie where others may write, and whoever can put a file or a link there in
//! our place could have our money copied to them, or theirs taken for ours.

use std::{
    fs::File,
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, Mode, OFlags, RenameFlags, fchmod, open, renameat_with},
    io::Errno,
    process::geteuid,
};

/// For the owner alone.
const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);
/// Anybody may write. A group may: Kubernetes gives it the right on every volume of a pod with `fsGroup`.
const ANYBODY_WRITES: u32 = 0o002;

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// A link could be led elsewhere at any time.
    #[error("{0} is a link: name the file itself")]
    Link(PathBuf),
    /// A pipe, a folder, a device.
    #[error("{0} is no plain file (`-` is standard input, or standard output)")]
    NotPlain(PathBuf),
    /// Anybody may have put anything into it.
    #[error("{0} can be written by anybody: if you know what is in it, take that right away (chmod o-w) and try again")]
    AnybodyWrites(PathBuf),
    /// Somebody else made it, or it has another name, too.
    #[error("{0} is there already, and is not this user's alone")]
    NotOurs(PathBuf),
    /// The operating system's reason.
    #[error("{0}: {1}")]
    Io(PathBuf, #[source] io::Error),
}

/// Opens a file for reading.
///
/// # Errors
/// [`FileError`].
pub(super) fn to_read(path: &Path) -> Result<File, FileError> {
    // A pipe that nobody writes to would be waited for.
    let file = opened(path, OFlags::RDONLY | OFlags::NONBLOCK)?;
    let found = file.metadata().map_err(|error| FileError::Io(path.to_owned(), error))?;
    if !found.is_file() {
        return Err(FileError::NotPlain(path.to_owned()));
    }
    if found.mode() & ANYBODY_WRITES != 0 {
        return Err(FileError::AnybodyWrites(path.to_owned()));
    }
    Ok(file)
}

/// Opens a file for writing, for its owner alone. One that is there must be this user's own under this one name; what it holds
/// stays, until the caller knows that no other process writes it.
///
/// # Errors
/// [`FileError`].
pub(super) fn to_write(path: &Path) -> Result<File, FileError> {
    let file = opened(path, OFlags::RDWR | OFlags::CREATE | OFlags::NONBLOCK)?;
    let io = |error: io::Error| FileError::Io(path.to_owned(), error);
    let found = file.metadata().map_err(io)?;
    if !found.is_file() {
        return Err(FileError::NotPlain(path.to_owned()));
    }
    if found.uid() != geteuid().as_raw() || found.nlink() != 1 {
        return Err(FileError::NotOurs(path.to_owned()));
    }
    fchmod(&file, PRIVATE).map_err(|error| io(error.into()))?;
    Ok(file)
}

fn opened(path: &Path, how: OFlags) -> Result<File, FileError> {
    match open(path, how | OFlags::NOFOLLOW | OFlags::CLOEXEC, PRIVATE) {
        Ok(file) => Ok(File::from(file)),
        Err(Errno::LOOP) => Err(FileError::Link(path.to_owned())),
        Err(Errno::NXIO) => Err(FileError::NotPlain(path.to_owned())),
        Err(error) => Err(FileError::Io(path.to_owned(), error.into())),
    }
}

/// Gives a file a name that nothing has; says whether nothing had it.
///
/// # Errors
/// The operating system's.
pub(super) fn rename_to_new(from: &Path, to: &Path) -> io::Result<bool> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        // Network file systems cannot do it in one step.
        Err(Errno::INVAL | Errno::NOSYS) if to.symlink_metadata().is_err() => std::fs::rename(from, to).map(|()| true),
        Err(Errno::INVAL | Errno::NOSYS) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
