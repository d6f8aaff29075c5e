//! Notifications of Amazon Pay, as Amazon SNS sends them: signed, again on a failure, and in no order.
//!
//! A merchant's receiver is named on the control port. From then on each change of what the merchant has is sent to it. The key that signs is
//! made when the first message is, so nobody else pays for it; its certificate lies on the gateway's port. The control port repeats, shuffles,
//! holds back and forges messages, and plays what no call brings about: a sample, a subscription, a charge-back.
//!
//! Amazon sends a message again each hour, for 14 days; so does the sandbox, by its own clock.

mod compose;
mod send;
mod signer;
mod watch;

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

pub use self::compose::{NoticeCertificate, NoticeDraft};

pub(super) use self::compose::NoticeState;
pub(super) use self::signer::certificate_named;
pub(super) use self::watch::run;

use self::signer::Signer;

/// How long until a message is sent again that was not taken.
const AGAIN_AFTER: TimeDelta = TimeDelta::hours(1);
/// How often one is sent: each hour of 14 days.
const ATTEMPTS_MAX: u32 = 14 * 24;

/// Of which generation a merchant's notifications are.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeGeneration {
    /// Checkout v2.
    CheckoutV2,
    /// MWS.
    Mws,
}

/// Where a merchant's notifications are to be sent.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewNoticeReceiver {
    /// The merchant, or the seller.
    pub merchant_id: String,
    /// Where: `http://` and an address. The sandbox speaks no TLS to it.
    pub url: String,
    /// Of which generation they are.
    pub generation: NoticeGeneration,
    /// The marketplace, whose id the topic begins with; Japan's when left out.
    #[serde(default = "japan")]
    pub marketplace_id: String,
    /// `1` (RSA with SHA-1) or `2` (RSA with SHA-256).
    #[serde(default = "first_version")]
    pub signature_version: String,
}

fn japan() -> String {
    "A1VC38T7YXB528".to_owned()
}

fn first_version() -> String {
    "1".to_owned()
}

/// A receiver as the control port shows it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ShownNoticeReceiver {
    /// The merchant, or the seller.
    pub merchant_id: String,
    /// Where.
    pub url: String,
    /// Of which generation they are.
    pub generation: NoticeGeneration,
    /// The topic that they are published on: what the receiver expects.
    pub topic: String,
}

/// A message as the control port shows it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ShownNotice {
    /// SNS's id of it.
    pub message_id: String,
    /// Whose.
    pub merchant_id: String,
    /// What it is about: an id of Amazon's, or `sample`, `subscription` or `forged`.
    pub about: String,
    /// `waiting`, `delivered`, `refused` (4xx: it is not sent again), or `given_up`.
    pub status: String,
    /// How often it was sent.
    pub attempts: u32,
    /// What the receiver answered last; none where it did not.
    pub answer: Option<u16>,
}

/// Something that is done with messages.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", tag = "act", deny_unknown_fields)]
pub enum NoticeAct {
    /// Nothing is sent until they are released.
    Hold,
    /// What was held back is sent.
    Release {
        /// In an order that chance makes.
        #[serde(default)]
        shuffled: bool,
    },
    /// Everything that was delivered is sent once more, under the same ids.
    Repeat,
    /// So many messages that SNS did not sign.
    Forge {
        /// In whose name.
        merchant_id: String,
        /// How many.
        count: u32,
    },
    /// The test button of Seller Central.
    Sample {
        /// Whose.
        merchant_id: String,
    },
    /// Somebody wants the receiver to be subscribed.
    Subscribe {
        /// Whose.
        merchant_id: String,
    },
    /// The buyer's bank takes a charge back.
    ChargeBack {
        /// Whose.
        merchant_id: String,
        /// The charge, in MWS the authorization.
        charge_id: String,
    },
    /// What has not been delivered goes to this address: its receiver has moved.
    Redirect {
        /// Where.
        url: String,
    },
    /// Whether certificates can be had. Where not, they are answered with 503.
    Certificates {
        /// They can.
        available: bool,
    },
}

/// A message on its way.
#[derive(Clone)]
struct Outgoing {
    message_id: String,
    merchant_id: String,
    about: String,
    url: String,
    topic: String,
    kind: &'static str,
    body: String,
    /// When it is sent next; none where it is not.
    due: Option<DateTime<Utc>>,
    status: &'static str,
    attempts: u32,
    answer: Option<u16>,
    is_under_way: bool,
}

#[derive(Default)]
struct NoticeDesk {
    receivers: Vec<NewNoticeReceiver>,
    /// Each object that was seen, and how it stood.
    seen: HashMap<(String, String), String>,
    out: VecDeque<Outgoing>,
    held: bool,
    watched: bool,
    /// Certificates cannot be had.
    hidden: bool,
    fetches: u64,
    /// Tokens of subscriptions, and whether they were confirmed.
    tokens: HashMap<String, bool>,
}

/// All that the sandbox knows of notifications.
#[derive(Default)]
pub(super) struct NoticeOffice {
    desk: Mutex<NoticeDesk>,
    signer: OnceLock<Signer>,
}

impl NoticeOffice {
    fn desk(&self) -> MutexGuard<'_, NoticeDesk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names a merchant's receiver, in the place of the one before. Says whether nobody watches yet.
    pub(super) fn register(&self, new: NewNoticeReceiver) -> Result<bool, String> {
        if new.merchant_id.is_empty() || send::address_of(&new.url).is_none() {
            return Err("merchant_id must not be empty, and url must be http:// with an address and a path".to_owned());
        }
        if !["1", "2"].contains(&new.signature_version.as_str()) {
            return Err("signature_version must be 1 or 2".to_owned());
        }
        let mut desk = self.desk();
        desk.receivers.retain(|known| known.merchant_id != new.merchant_id || known.generation != new.generation);
        desk.receivers.push(new);
        Ok(!std::mem::replace(&mut desk.watched, true))
    }

    pub(super) fn receivers(&self) -> Vec<ShownNoticeReceiver> {
        let shown = |one: &NewNoticeReceiver| ShownNoticeReceiver {
            merchant_id: one.merchant_id.clone(),
            url: one.url.clone(),
            generation: one.generation,
            topic: one.topic(),
        };
        self.desk().receivers.iter().map(shown).collect()
    }

    /// Every message, oldest first.
    pub(super) fn shown(&self) -> Vec<ShownNotice> {
        let shown = |one: &Outgoing| ShownNotice {
            message_id: one.message_id.clone(),
            merchant_id: one.merchant_id.clone(),
            about: one.about.clone(),
            status: one.status.to_owned(),
            attempts: one.attempts,
            answer: one.answer,
        };
        self.desk().out.iter().map(shown).collect()
    }

    /// How many messages are still to be sent, or on their way.
    pub(super) fn due(&self) -> usize {
        let desk = self.desk();
        desk.out.iter().filter(|message| message.due.is_some() || message.is_under_way).count()
    }

    /// How many certificates were asked for.
    pub(super) fn fetches(&self) -> u64 {
        self.desk().fetches
    }

    /// Which subscriptions were confirmed, by their tokens.
    pub(super) fn confirmed(&self) -> Vec<String> {
        let desk = self.desk();
        let confirmed = desk.tokens.iter().filter(|(_token, confirmed)| **confirmed);
        confirmed.map(|(token, _confirmed)| token.clone()).collect()
    }

    /// Confirms a subscription, as SNS does.
    pub(super) fn confirm(&self, token: &str) -> bool {
        self.desk().tokens.get_mut(token).map(|confirmed| *confirmed = true).is_some()
    }

    /// Counts a certificate that is asked for, and says whether there are any.
    pub(super) fn count_fetch(&self) -> bool {
        let mut desk = self.desk();
        desk.fetches = desk.fetches.saturating_add(1);
        !desk.hidden
    }
}

impl NewNoticeReceiver {
    /// The topic that its notifications are published on.
    fn topic(&self) -> String {
        format!("arn:aws:sns:us-east-1:291180941288:{}{}", self.marketplace_id, self.merchant_id)
    }
}
