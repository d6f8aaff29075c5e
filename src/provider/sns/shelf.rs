//! Certificates that were fetched. Whoever sends a message names one, so a stranger can name as many as they like: few are kept, few are
//! fetched at once, and few in a minute. One that has proven a message is not pushed out by one that has proven none.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Semaphore;

use super::{CertificateUrl, SnsRefusal, certificate::SigningCertificate};
use crate::{
    ambient::Ambient,
    lifecycle::workplaces::outside,
    provider::transport::{self, Cut},
};

/// Certificates that are kept. SNS has one for a region, and exchanges it about once a year.
const KEPT_MAX: usize = 16;
/// Fetches at once, and in a minute. What is refused for that SNS sends again.
const AT_ONCE: usize = 2;
/// How many certificates are fetched in a minute at most, whatever is sent.
pub const CERTIFICATE_FETCHES_PER_MINUTE: usize = 6;
const MINUTE: TimeDelta = TimeDelta::seconds(60);
/// How long a certificate is not asked for again that could not be had.
const FAILED_FOR: TimeDelta = TimeDelta::seconds(60);
/// How long one is kept before it is fetched again.
const KEPT_FOR: TimeDelta = TimeDelta::days(1);
/// Bytes of the largest certificate, with those of its authorities behind it. Amazon's has 2,000.
const PEM_BYTES_MAX: usize = 16 * 1024;

type Fetched = Result<Arc<SigningCertificate>, SnsRefusal>;

/// The certificates of one account.
pub(super) struct CertificateShelf {
    http: reqwest::Client,
    ambient: Ambient,
    places: Mutex<CertificatePlaces>,
    at_once: Semaphore,
}

#[derive(Default)]
struct CertificatePlaces {
    kept: HashMap<CertificateUrl, Arc<CertificatePlace>>,
    /// When the fetches of the last minute began.
    begun: Vec<DateTime<Utc>>,
    /// Counts what was asked for: the oldest makes room.
    turn: u64,
}

struct CertificatePlace {
    turn: u64,
    /// A message was proven by it.
    proven: AtomicBool,
    /// What came of the last fetch, and when. Whoever asks meanwhile waits for it.
    fetched: tokio::sync::Mutex<Option<(DateTime<Utc>, Fetched)>>,
}

impl CertificateShelf {
    pub(super) fn new(http: reqwest::Client, ambient: Ambient) -> Self {
        Self { http, ambient, places: Mutex::default(), at_once: Semaphore::new(AT_ONCE) }
    }

    /// The certificate that lies there.
    pub(super) async fn get(&self, url: &CertificateUrl) -> Fetched {
        let place = self.place(url);
        let mut fetched = outside(place.fetched.lock()).await;
        let now = self.ambient.now();
        let good = match fetched.as_ref() {
            Some((at, known)) if is_within(*at, if known.is_ok() { KEPT_FOR } else { FAILED_FOR }, now) => {
                return known.clone();
            }
            Some((_at, Ok(good))) => Some(Arc::clone(good)),
            _ => None,
        };
        let came = self.fetch_within_limits(url, now).await;
        match (good, came) {
            // Strangers can use up the minute's fetches. Whether a certificate holds is asked for each message.
            (Some(good), Err(_) | Ok(Err(_))) => Ok(good),
            // What is refused here is refused for now, and nothing of this certificate's.
            (None, Err(refused)) => Err(refused),
            (_, Ok(came)) => {
                *fetched = Some((now, came.clone()));
                came
            }
        }
    }

    /// What comes of a fetch, where one may be made now.
    async fn fetch_within_limits(&self, url: &CertificateUrl, now: DateTime<Utc>) -> Result<Fetched, SnsRefusal> {
        let _one = self.at_once.try_acquire().map_err(|_none| SnsRefusal::Unreachable("others are being fetched"))?;
        self.spend(now)?;
        Ok(self.fetch(url).await)
    }

    /// A message was proven by this one.
    pub(super) fn proven(&self, url: &CertificateUrl) {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = places.kept.get(url) {
            place.proven.store(true, Ordering::Relaxed);
        }
    }

    /// The place of this one. Where there is no room, the oldest that has proven nothing makes room.
    fn place(&self, url: &CertificateUrl) -> Arc<CertificatePlace> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = places.kept.get(url) {
            return Arc::clone(place);
        }
        if places.kept.len() >= KEPT_MAX {
            let oldest =
                places.kept.iter().min_by_key(|(_url, place)| (place.proven.load(Ordering::Relaxed), place.turn));
            if let Some(oldest) = oldest.map(|(url, _place)| url.clone()) {
                places.kept.remove(&oldest);
            }
        }
        places.turn = places.turn.saturating_add(1);
        let place = CertificatePlace {
            turn: places.turn,
            proven: AtomicBool::new(false),
            fetched: tokio::sync::Mutex::new(None),
        };
        let place = Arc::new(place);
        places.kept.insert(url.clone(), Arc::clone(&place));
        place
    }

    /// Takes one of the minute's fetches.
    fn spend(&self, now: DateTime<Utc>) -> Result<(), SnsRefusal> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.begun.retain(|begun| is_within(*begun, MINUTE, now));
        if places.begun.len() >= CERTIFICATE_FETCHES_PER_MINUTE {
            return Err(SnsRefusal::Unreachable("too many were fetched in this minute"));
        }
        places.begun.push(now);
        Ok(())
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place from which a certificate is asked for")]
    async fn fetch(&self, url: &CertificateUrl) -> Fetched {
        let answer = outside(self.http.get(url.as_str()).send()).await;
        let answer = answer.map_err(|_lost| SnsRefusal::Unreachable("no answer"))?;
        match answer.status().as_u16() {
            200 => {}
            // None lies there. A redirection is not followed: it leads elsewhere.
            300..400 | 403 | 404 | 410 => return Err(SnsRefusal::Forged("there is no such certificate")),
            _ => return Err(SnsRefusal::Unreachable("no usable answer")),
        }
        match outside(transport::body(answer, PEM_BYTES_MAX)).await {
            Ok(pem) => SigningCertificate::read(&pem).map(Arc::new),
            Err(Cut::TooLong) => Err(SnsRefusal::Forged("what lies there is no certificate")),
            Err(Cut::Broken(_lost)) => Err(SnsRefusal::Unreachable("no whole answer")),
        }
    }
}

/// Whether `at` lies so short ago. After the clock was set back it does not.
fn is_within(at: DateTime<Utc>, span: TimeDelta, now: DateTime<Utc>) -> bool {
    at <= now && now.signed_duration_since(at) < span
}
