//! The log filter: which events are logged. An operator can change it while the service runs, for [`LASTS`].
//!
//! It cannot make a muted library log more: the limits of libraries are a second filter, and a line must pass both. Nor can it
//! silence us: whoever changes it could otherwise act unseen. The settings alone may do so.

use std::{
    fmt,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
};

use chrono::{DateTime, TimeDelta, Utc};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{EnvFilter, filter::ParseError};

use crate::kernel::claim_code::looks_like_claim_code;

/// The most characters of a filter. The process keeps it, shows it and logs it.
pub const LENGTH_MAX: usize = 1024;
/// How long a filter that was put lasts. Then that of the settings comes back: nobody needs to think of it.
pub const LASTS: TimeDelta = TimeDelta::minutes(15);
/// The least of what we log ourselves.
const FLOOR: LevelFilter = LevelFilter::INFO;

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
    /// It would hide what we ourselves log.
    #[error("noshi=info is the least: less would hide what is bought, refused and shown; add noshi=info to it")]
    Silences,
    /// It filters by spans or fields, whose values are compared with patterns.
    #[error("a filter has levels and targets alone: no spans, no fields")]
    Fields,
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
    in_force: Mutex<InForce>,
    put: Option<Box<Put>>,
}

struct InForce {
    text: String,
    /// When it was put; `None` for that of the settings.
    since: Option<DateTime<Utc>>,
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
        let in_force = Mutex::new(InForce { text: settings.to_owned(), since: None });
        Self(Arc::new(Inner { settings: settings.to_owned(), in_force, put }))
    }

    /// The filter that is in force.
    #[must_use]
    pub fn in_force(&self) -> String {
        self.0.in_force.lock().unwrap_or_else(PoisonError::into_inner).text.clone()
    }

    /// Puts a filter in force, in all threads at once, for [`LASTS`]. Returns the one before.
    ///
    /// # Errors
    /// [`FilterError`]; nothing has changed.
    pub fn set(&self, text: &str, now: DateTime<Utc>) -> Result<String, FilterError> {
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
        if text.contains(['[', '{']) {
            return Err(FilterError::Fields);
        }
        self.put(text, Some(now))
    }

    fn put(&self, text: &str, since: Option<DateTime<Utc>>) -> Result<String, FilterError> {
        let put = self.0.put.as_ref().ok_or(FilterError::Fixed)?;
        let filter = parse(text).map_err(|_error| FilterError::Unreadable(first_bad(text)))?;
        if since.is_some() && silences_us(text) {
            return Err(FilterError::Silences);
        }
        // The lock is held over the change, so that `in_force` always names the filter that the log uses.
        let mut in_force = self.0.in_force.lock().unwrap_or_else(PoisonError::into_inner);
        if !put(filter) {
            return Err(FilterError::Fixed);
        }
        Ok(std::mem::replace(&mut *in_force, InForce { text: text.to_owned(), since }).text)
    }

    /// Puts the filter of the settings in force again. Returns the one before.
    ///
    /// # Errors
    /// [`FilterError::Fixed`].
    pub fn reset(&self) -> Result<String, FilterError> {
        self.put(&self.0.settings, None)
    }

    /// Puts the filter of the settings in force again when another has lasted long enough. Returns that other.
    pub fn lapse(&self, now: DateTime<Utc>) -> Option<String> {
        let since = self.0.in_force.lock().unwrap_or_else(PoisonError::into_inner).since?;
        // A clock that was set back must not keep it.
        let lasts = now.signed_duration_since(since);
        if (TimeDelta::zero()..LASTS).contains(&lasts) { None } else { self.reset().ok() }
    }

    /// The filter of the settings.
    #[must_use]
    pub fn of_settings(&self) -> &str {
        &self.0.settings
    }
}

/// Reads a filter. A pattern would be compared with what callers send, and one that takes long holds a request up.
pub(super) fn parse(text: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::builder().with_regex(false).parse(text)
}

/// Whether a filter would hide events of ours at the level [`FLOOR`]. Of directives the one with the longest target that an
/// event's target begins with decides.
fn silences_us(text: &str) -> bool {
    const OURS: &str = super::OURS;
    let directives: Vec<(&str, LevelFilter)> = text.split(',').map(|text| directive(text.trim())).collect();
    let deciding = directives.iter().filter(|(target, _level)| OURS.starts_with(target));
    let longest = deciding.map(|(target, _level)| target.len()).max();
    let concerns =
        |target: &str| target.starts_with(OURS) || (OURS.starts_with(target) && Some(target.len()) == longest);
    longest.is_none() || directives.iter().any(|(target, level)| concerns(target) && *level < FLOOR)
}

/// The target and the level of a directive that can be read: `level`, `target` or `target=level`.
fn directive(text: &str) -> (&str, LevelFilter) {
    match text.split_once('=') {
        Some((target, level)) => (target, LevelFilter::from_str(level).unwrap_or(LevelFilter::TRACE)),
        None => LevelFilter::from_str(text).map_or((text, LevelFilter::TRACE), |level| ("", level)),
    }
}

/// Which directive cannot be read, counted from 1.
fn first_bad(text: &str) -> usize {
    let is_bad = |directive: &str| parse(directive).is_err();
    text.split(',').position(is_bad).map_or(1, |at| at.saturating_add(1))
}

impl fmt::Debug for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogFilter").field(&self.in_force()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn filter(settings: &str) -> (LogFilter, Arc<AtomicUsize>) {
        let puts = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&puts);
        let put = move |_filter| {
            counted.fetch_add(1, Ordering::Relaxed);
            true
        };
        (LogFilter::new(settings, put), puts)
    }

    #[test]
    fn nobody_can_silence_us_but_the_settings() {
        let (log, puts) = filter("off");
        let now = DateTime::UNIX_EPOCH;
        for hides in [
            "off",
            "OFF",
            "0",
            "warn",
            "sqlx=debug",
            "noshi=warn",
            "noshi=off,info",
            "info,noshi::incentives=error",
            "info,noshi::incentives::http=2",
            "info,nosh=off",
            "info,n=warn",
            "info,noshi=info,noshi=error",
            "noshi_more=trace",
        ] {
            assert!(matches!(log.set(hides, now), Err(FilterError::Silences)), "{hides}");
        }
        for fields in ["[request]=trace", "info,noshi[{http.route=.*}]=debug", "info,[{a=(x+x+)+y}]=trace"] {
            assert!(matches!(log.set(fields, now), Err(FilterError::Fields)), "{fields}");
        }
        assert_eq!((log.in_force().as_str(), puts.load(Ordering::Relaxed)), ("off", 0));
        for keeps in
            ["info", "INFO", "3", "trace", "noshi", "noshi=info", "warn,noshi=debug", "warn,nosh=off,noshi=info"]
        {
            assert!(log.set(keeps, now).is_ok(), "{keeps}");
        }
        assert_eq!(log.reset().unwrap(), "warn,nosh=off,noshi=info");
        assert_eq!(log.in_force(), "off", "the settings may");
    }

    #[test]
    fn a_filter_that_was_put_lasts_for_fifteen_minutes() {
        let (log, puts) = filter("info");
        let at = |minutes| DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes);
        assert_eq!(log.lapse(at(100)), None, "that of the settings lasts");
        log.set("debug", at(100)).unwrap();
        assert_eq!(log.lapse(at(114)), None);
        // Put again, it lasts anew.
        log.set("trace", at(114)).unwrap();
        assert_eq!(log.lapse(at(128)), None);
        assert_eq!(log.lapse(at(129)), Some("trace".to_owned()));
        assert_eq!((log.in_force().as_str(), puts.load(Ordering::Relaxed)), ("info", 3));
        log.set("debug", at(200)).unwrap();
        assert_eq!(log.lapse(at(199)), Some("debug".to_owned()), "the clock was set back");
        log.set("debug", at(200)).unwrap();
        log.reset().unwrap();
        assert_eq!(log.lapse(at(300)), None);
    }
}
