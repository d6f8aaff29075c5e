//! The log's filter, changed while the service runs.
//!
//! What libraries may say at most holds whatever is put here: that is another filter, and both must agree.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use tracing_subscriber::EnvFilter;

use crate::kernel::claim_code::looks_like_claim_code;

/// Characters of a filter at most: it is kept, shown and logged.
pub const LENGTH_MAX: usize = 1024;

/// A filter was not taken; the one before holds.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// It is longer than [`LENGTH_MAX`].
    #[error("the filter is longer than {LENGTH_MAX} characters")]
    TooLong,
    /// It is empty: that would be silence, by mistake.
    #[error("the filter is empty; off is silence")]
    Empty,
    /// One of its directives, counted from 1, is none.
    #[error("directive {0} cannot be read: it must be a level, or like noshi=debug")]
    Unreadable(usize),
    /// It holds a character that is none of a filter's, or something shaped like a claim code.
    #[error("the filter holds what no filter does")]
    Odd,
    /// The log is not this process's, as in tests that make a service of their own.
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
    /// The filter of the settings, which `put` replaces.
    pub(super) fn new(settings: &str, put: impl Fn(EnvFilter) -> bool + Send + Sync + 'static) -> Self {
        Self::of(settings, Some(Box::new(put)))
    }

    /// The filter of a log that someone else has set up.
    #[must_use]
    pub fn fixed(settings: &str) -> Self {
        Self::of(settings, None)
    }

    fn of(settings: &str, put: Option<Box<Put>>) -> Self {
        let in_force = Mutex::new(settings.to_owned());
        Self(Arc::new(Inner { settings: settings.to_owned(), in_force, put }))
    }

    /// What holds now.
    #[must_use]
    pub fn in_force(&self) -> String {
        self.0.in_force.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another in force, in all threads at once; says what held before.
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
        // It is logged and shown.
        if !text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) || looks_like_claim_code(text) {
            return Err(FilterError::Odd);
        }
        self.put(text)
    }

    fn put(&self, text: &str) -> Result<String, FilterError> {
        let put = self.0.put.as_ref().ok_or(FilterError::Fixed)?;
        let filter = EnvFilter::builder().parse(text).map_err(|_error| FilterError::Unreadable(first_bad(text)))?;
        // One change after the other, so that what is said to hold does hold.
        let mut in_force = self.0.in_force.lock().unwrap_or_else(PoisonError::into_inner);
        if !put(filter) {
            return Err(FilterError::Fixed);
        }
        Ok(std::mem::replace(&mut in_force, text.to_owned()))
    }

    /// Puts that of the settings in force again; says what held before.
    ///
    /// # Errors
    /// [`FilterError::Fixed`].
    pub fn reset(&self) -> Result<String, FilterError> {
        self.put(&self.0.settings)
    }

    /// That of the settings.
    #[must_use]
    pub fn of_settings(&self) -> &str {
        &self.0.settings
    }
}

/// Which directive it is that cannot be read, counted from 1.
fn first_bad(text: &str) -> usize {
    let is_bad = |directive: &str| EnvFilter::builder().parse(directive).is_err();
    text.split(',').position(is_bad).map_or(1, |at| at.saturating_add(1))
}

impl fmt::Debug for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogFilter").field(&self.in_force()).finish()
    }
}
