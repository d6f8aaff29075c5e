//! What came of a call to Amazon. An [`Outcome`] is not a `Result`: "we do not know" is a third answer, and `?` would
//! hide it.
//!
//! How a service of Amazon's refuses is that service's own, so a refusal is a type of its provider room, and so is the
//! alias of `Outcome` that everyone else of the product names. The frame asks it for one word ([`RefusalCode`]).
//!
//! Nothing here quotes an answer's body: a body can hold a claim code.

use strum::{EnumString, IntoStaticStr, VariantArray};

use super::{ClaimCode, word_methods};

/// What is known after one attempt.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Outcome<T, R> {
    /// Amazon answered, and the answer is complete and makes sense.
    Proven(T),
    /// Amazon refused the operation itself: on a first attempt nothing was done.
    Refused(R),
    /// Amazon rejected our credentials or signature before it looked at the operation (403): this attempt did nothing.
    AuthRejected(AuthRejection),
    /// It is proven that no byte of the request reached Amazon.
    NotSent(NotSent),
    /// Anything else: the operation may have been done. Replay the same bytes with the same id.
    Unknown(UnknownReason),
}

impl<T, R> Outcome<T, R> {
    /// The same outcome with another proof.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Outcome<U, R> {
        match self {
            Self::Proven(proof) => Outcome::Proven(f(proof)),
            Self::Refused(refusal) => Outcome::Refused(refusal),
            Self::AuthRejected(why) => Outcome::AuthRejected(why),
            Self::NotSent(why) => Outcome::NotSent(why),
            Self::Unknown(reason) => Outcome::Unknown(reason),
        }
    }

    /// The outcome's class as a metric label.
    #[must_use]
    pub const fn class(&self) -> &'static str {
        match self {
            Self::Proven(_) => "proven",
            Self::Refused(_) => "refused",
            Self::AuthRejected(_) => "turned_away",
            Self::NotSent(_) => "not_sent",
            Self::Unknown(_) => "ambiguous",
        }
    }
}

/// A refusal, as metrics and timelines name it: a word of a closed set, never free text.
pub trait RefusalCode {
    /// The word.
    fn code(&self) -> &'static str;
}

impl<T, R: RefusalCode> Outcome<T, R> {
    /// What exactly it was, as a metric label and for the timeline: a word of ours or Amazon's errorCode, never free text.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Proven(_) => "none",
            Self::Refused(refusal) => refusal.code(),
            Self::AuthRejected(why) => why.as_str(),
            Self::NotSent(why) => why.as_str(),
            Self::Unknown(reason) => reason.as_str(),
        }
    }
}

/// What a complete, sensible answer to CreateGiftCard shows. `SUCCESS` alone is not deliverable
/// (`PROTOCOL.md`).
pub enum CardProof {
    /// The card is live and id, amount and currency are all as asked.
    Fulfilled(ClaimCode),
    /// The card was canceled: `RefundedToPurchaser`. Its code is dead and was dropped.
    Refunded,
    /// The card has a status that is neither (`Expired` or one that we do not know).
    OddStatus,
    /// Another id, amount or currency than asked: never delivered, whatever its status.
    Mismatch,
}

/// Why we know that nothing reached Amazon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum NotSent {
    /// No connection: refused, DNS, TLS, or the connect time-out.
    Connect,
    /// No connection, because the certificate that was shown is not trusted, is for another name, or does not hold now.
    Certificate,
    /// The request could not be built or signed.
    Build,
    /// There was no slot of Amazon's rate in time.
    Quota,
    /// There was no slot, because the database gave none.
    Database,
    /// What the reward acts on could not be opened.
    Sealed,
}

/// Why Amazon rejected a request before it looked at the operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum AuthRejection {
    /// The signature does not match: wrong secret, or something on the way changed the request.
    Signature,
    /// The signature's time is too far from Amazon's clock.
    ClockSkew,
    /// The access key or token is not valid.
    AccessKey,
}

impl AuthRejection {
    /// Whether it is the keys: the same request would be turned away again, and nobody need wait for that.
    #[must_use]
    pub const fn is_of_the_keys(self) -> bool {
        match self {
            Self::Signature | Self::AccessKey => true,
            Self::ClockSkew => false,
        }
    }
}

/// Why an outcome is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum UnknownReason {
    /// No complete answer within the time limit.
    Timeout,
    /// The connection ended before or inside the answer.
    ConnectionLost,
    /// The answer is larger than the cap.
    TooLarge,
    /// The answer is not JSON, is labelled as something else, or is cut.
    NotJson,
    /// JSON, but not the operation's answer.
    WrongShape,
    /// SUCCESS without a usable claim code.
    NoClaimCode,
    /// F100: Amazon's internal error.
    #[strum(serialize = "F100")]
    F100,
    /// F400 or status RESEND: Amazon asks to send it again.
    #[strum(serialize = "F400")]
    Resend,
    /// F500: unknown error.
    #[strum(serialize = "F500")]
    F500,
    /// Over the allowed rate. Probably nothing was done; treated as unknown because nobody promises it.
    Throttled,
    /// A 5xx without an answer that we know.
    ServerError,
    /// A redirect: never followed.
    Redirect,
    /// A refusal that is in no list: unknown errorCode or status.
    Unlisted,
}

word_methods!(NotSent, AuthRejection, UnknownReason);
