//! The log filter: which events are logged. An operator can change it while the service runs.
//!
//! It cannot make a muted library log more: the limits of libraries are a second filter, and a line must pass both.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use tracing_subscriber::EnvFilter;

use crate::kernel::claim_code::looks_like_claim_code;

/// The most characters of a filter. The process keeps it, shows it and logs it.
pub const LENGTH_MAX: usize = 1024;

/// Why a filter was refused. The filter before it stays in force.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// It is longer than [`LENGTH_MAX`].
    #[error("the filter is longer than {LENGTH_MAX} characters")]
    TooLong,
    /// It is empty. It would silence the log, most likely by mistake.
    #[error("the filter is empty; off is silence")]
    Empty,
    /// One of its directives, counted from 1, cannot be read.
    #[error("directive {0} cannot be read: it must be a level, or like noshi=debug")]
    Unreadable(usize),
    /// It holds a character that cannot be in a filter, or text shaped like a claim code.
    #[error("the filter holds what no filter does")]
    Odd,
    /// Another part of the process set the log up, as in tests that start a service.
    #[error("the log's filter cannot be changed here")]
    Fixed,
}

/// Puts a filter in force.
type Put = dyn Fn(EnvFilter) -> bool + Send + Sync;

/// The filter in force. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct LogFilter(Arc<Inner>);

struct Inner {
    settings: String,
    in_force: Mutex<String>,
    put: Option<Box<Put>>,
}

impl LogFilter {
    /// The filter of the settings. `put` replaces it in the log.
    pub(super) fn new(settings: &str, put: impl Fn(EnvFilter) -> bool + Send + Sync + 'static) -> Self {
        Self::of(settings, Some(Box::new(put)))
    }

    /// A filter that cannot be changed: another part of the process set the log up.
    #[must_use]
    pub fn fixed(settings: &str) -> Self {
        Self::of(settings, None)
    }

    fn of(settings: &str, put: Option<Box<Put>>) -> Self {
        let in_force = Mutex::new(settings.to_owned());
        Self(Arc::new(Inner { settings: settings.to_owned(), in_force, put }))
    }

    /// The filter that is in force.
    #[must_use]
    pub fn in_force(&self) -> String {
        self.0.in_force.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts a filter in force, in all threads at once. Returns the one before.
    ///
    /// # Errors
    /// [`FilterError`]; nothing has changed.
    pub fn set(&self, text: &str) -> Result<String, FilterError> {
        if text.trim().is_empty() {
            return Err(FilterError::Empty);
        }
        if text.len() > LENGTH_MAX {
            return Err(FilterError::TooLong);
        }
        // The process logs and shows a filter, so it must be printable and free of secrets.
        if !text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) || looks_like_claim_code(text) {
            return Err(FilterError::Odd);
        }
        self.put(text)
    }

    fn put(&self, text: &str) -> Result<String, FilterError> {
        let put = self.0.put.as_ref().ok_or(FilterError::Fixed)?;
        let filter = EnvFilter::builder().parse(text).map_err(|_error| FilterError::Unreadable(first_bad(text)))?;
        // The lock is held over the change, so that `in_force` always names the filter that the log uses.
        let mut in_force = self.0.in_force.lock().unwrap_or_else(PoisonError::into_inner);
        if !put(filter) {
            return Err(FilterError::Fixed);
        }
        Ok(std::mem::replace(&mut in_force, text.to_owned()))
    }

    /// Puts the filter of the settings in force again. Returns the one before.
    ///
    /// # Errors
    /// [`FilterError::Fixed`].
    pub fn reset(&self) -> Result<String, FilterError> {
        self.put(&self.0.settings)
    }

    /// The filter of the settings.
    #[must_use]
    pub fn of_settings(&self) -> &str {
        &self.0.settings
    }
}

/// Which directive cannot be read, counted from 1.
fn first_bad(text: &str) -> usize {
    let is_bad = |directive: &str| EnvFilter::builder().parse(directive).is_err();
    text.split(',').position(is_bad).map_or(1, |at| at.saturating_add(1))
}

impl fmt::Debug for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogFilter").field(&self.in_force()).finish()
    }
}
