//! The one list of what an upstream can do to us: U1 to U27, how each is made over real sockets for each operation, and
//! where it leads.

use noshi::sandbox::Fault;

/// How a class is made to happen to one call.
#[derive(Clone, Copy)]
pub(crate) enum Made {
    /// The sandbox does it; of several variants each attempt meets another.
    By(&'static [fn() -> Fault]),
    /// Nothing goes wrong.
    Well,
    /// Nothing goes wrong, and the card is at Amazon already.
    AlreadyBought,
    /// Nobody listens where the call goes.
    Refused,
    /// The attempt is under way when its lease is over, as if its process had died or frozen. That it really dies, at any
    /// point, is what `kill::points` does.
    Abandoned,
    /// The class does not exist for the operation, for this reason.
    Never(&'static str),
}

/// What a class means for a create.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Means {
    NotSent,
    Unknown,
    Card,
    /// A person decides, for this reason.
    Odd(&'static str),
    /// Refused for good; the errorCode says whether it can be cured.
    Definite,
    /// Amazon turned our keys away: nothing was done, and with other keys it can be.
    KeysRejected,
    Abandoned,
}

/// A class of outcomes.
pub(crate) struct Class {
    pub(crate) name: &'static str,
    pub(crate) means: Means,
    /// What the timeline may call it; empty for a proven card.
    pub(super) words: &'static [&'static str],
    pub(crate) create: Made,
    pub(super) cancel: Made,
    pub(super) funds: Made,
}

/// Longer than any attempt. Tells a call that is to be abandoned from one that only hangs.
pub(super) const LEFT_ALONE: Fault = Fault::Delay { milliseconds: 30_000 };

const NO_CARD: Made = Made::Never("the answer shows no card");
const NO_ID: Made = Made::Never("the question has no id that could be known already");
const OF_CANCELS: Made = Made::Never("a refusal of cancels only");
const FORGOTTEN: Made = Made::Never("nothing is recorded of a question that has no answer yet");

fn refused(code: &str, error_type: &str) -> Fault {
    Fault::FCode { code: code.to_owned(), error_type: error_type.to_owned(), after_work: false }
}

fn page(status: u16, after_work: bool) -> Fault {
    Fault::HtmlError { status, after_work }
}

/// A class that is made in the same way for each operation.
const fn everywhere(name: &'static str, means: Means, words: &'static [&'static str], made: Made) -> Class {
    Class { name, means, words, create: made, cancel: made, funds: made }
}

/// A class of answers that show a card.
const fn of_cards(name: &'static str, means: Means, words: &'static [&'static str], made: Made) -> Class {
    Class { name, means, words, create: made, cancel: NO_CARD, funds: NO_CARD }
}

use Made::By;
use Means::{Abandoned, Card, Definite, KeysRejected, NotSent, Odd, Unknown};

/// All of them.
pub(crate) const CLASSES: [Class; 27] = [
    everywhere("U1", NotSent, &["connect"], Made::Refused),
    everywhere("U2", Unknown, &["timeout"], By(&[|| Fault::Hang])),
    everywhere("U3", Unknown, &["timeout"], By(&[|| Fault::HangInBody])),
    everywhere("U4", Unknown, &["connection_lost"], By(&[|| Fault::DropAfterWork, || Fault::DropBeforeWork])),
    everywhere("U5", Unknown, &["connection_lost"], By(&[|| Fault::ResetAfterWork, || Fault::ResetBeforeWork])),
    everywhere(
        "U6",
        Unknown,
        &["connection_lost"],
        By(&[|| Fault::ResetInBody, || Fault::TruncatedBody, || Fault::CutChunk]),
    ),
    everywhere("U7", Unknown, &["not_json"], By(&[|| Fault::ShortCloseDelimited])),
    everywhere(
        "U8",
        Unknown,
        &["not_json", "too_large"],
        By(&[|| Fault::Garbage, || Fault::OversizedBody, || Fault::WrongContentType]),
    ),
    everywhere("U9", Card, &[], Made::Well),
    of_cards("U10", Odd("canceled_elsewhere"), &[], By(&[|| Fault::DeadCard])),
    of_cards(
        "U11",
        Odd("odd_card_status"),
        &[],
        By(&[
            || Fault::OddCardStatus { status: "Expired".to_owned() },
            || Fault::OddCardStatus { status: "AwaitingFulfillment".to_owned() },
        ]),
    ),
    Class {
        name: "U12",
        means: Odd("mismatch"),
        words: &["wrong_shape"],
        create: By(&[|| Fault::WrongAmount, || Fault::WrongCurrency, || Fault::WrongRequestId]),
        cancel: By(&[|| Fault::WrongRequestId]),
        funds: By(&[|| Fault::WrongCurrency]),
    },
    of_cards("U13", Unknown, &["no_claim_code"], By(&[|| Fault::NullClaimCode, || Fault::MalformedClaimCode])),
    everywhere(
        "U14",
        Definite,
        &["F200"],
        By(&[
            || refused("F200", "MaxAmountExceeded"),
            || refused("F200", "InvalidAmountValue"),
            || refused("F200", "RequestedDenominationMismatch"),
        ]),
    ),
    Class {
        name: "U15",
        means: Definite,
        words: &["F200"],
        create: OF_CANCELS,
        cancel: By(&[|| refused("F200", "CancelRequestArrivedAfterTimeLimit")]),
        funds: OF_CANCELS,
    },
    everywhere("U16", Definite, &["F300"], By(&[|| refused("F300", "InsufficientFunds")])),
    everywhere(
        "U17",
        Definite,
        &["F300"],
        By(&[
            || refused("F300", "AccountHasProblems"),
            || refused("F300", "IssuanceCapExceeded"),
            || refused("F300", "CustomerSurpassedDailyVelocityLimit"),
        ]),
    ),
    everywhere(
        "U18",
        Unknown,
        &["F400"],
        By(&[|| Fault::Resend { after_work: true }, || Fault::Resend { after_work: false }]),
    ),
    everywhere(
        "U19",
        Unknown,
        &["F100", "F500", "server_error", "not_json"],
        By(&[|| refused("F100", "GeneralError"), || page(503, true), || Fault::EmptyBody]),
    ),
    everywhere("U20", Unknown, &["throttled"], By(&[|| Fault::Throttle])),
    everywhere("U21", NotSent, &["clock_skew"], By(&[|| Fault::SignatureExpired])),
    everywhere("U22", KeysRejected, &["access_key"], By(&[|| Fault::BadKey])),
    // To the very same gateway: whoever follows it does there what was asked for.
    Class {
        name: "U23",
        means: Unknown,
        words: &["redirect"],
        create: By(&[|| Fault::Redirect { location: "/CreateGiftCard".to_owned() }]),
        cancel: By(&[|| Fault::Redirect { location: "/CancelGiftCard".to_owned() }]),
        funds: By(&[|| Fault::Redirect { location: "/GetAvailableFunds".to_owned() }]),
    },
    everywhere("U24", Unknown, &["unlisted"], By(&[|| page(404, false), || page(418, true)])),
    Class { name: "U25", means: Card, words: &[], create: Made::AlreadyBought, cancel: Made::Well, funds: NO_ID },
    Class {
        name: "U26",
        means: Abandoned,
        words: &[],
        create: Made::Abandoned,
        cancel: Made::Abandoned,
        funds: FORGOTTEN,
    },
    everywhere(
        "U27",
        Definite,
        &["F200", "F300"],
        By(&[
            || refused("F200", "GeneralError"),
            || refused("F300", "MaxAmountExceeded"),
            || refused("F200", "InsufficientFunds"),
        ]),
    ),
];

/// Where a reward stands, as far as the table asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stand {
    pub(super) state: &'static str,
    /// An earlier attempt may have bought the card.
    pub(super) ambiguous: bool,
    /// A refusal that can be cured.
    pub(super) retryable: bool,
}

impl Stand {
    /// Recorded and about to be sent for the first time.
    pub(super) const NEW: Self = Self::of("issuing", false);

    const fn of(state: &'static str, ambiguous: bool) -> Self {
        Self { state, ambiguous, retryable: false }
    }

    pub(super) fn is_open(self) -> bool {
        matches!(self.state, "issuing" | "pending" | "unresolved")
    }

    /// What becomes of a create or its replay: where this class leads from here, as this variant of it.
    pub(super) fn after_create(self, class: &Class, fault: Option<&Fault>) -> Self {
        if !self.is_open() {
            // A read of what is issued: it can show that something is wrong, and nothing else.
            return if let Means::Odd(_) = class.means { Self::of("needs_attention", false) } else { self };
        }
        match class.means {
            Card => Self::of("issued", false),
            Odd(_) => Self::of("needs_attention", self.ambiguous),
            Unknown | Abandoned => Self::of("unresolved", true),
            // Ambiguity is sticky: that this attempt did nothing says nothing of the others.
            Definite | KeysRejected | NotSent if self.ambiguous => Self::of("unresolved", true),
            NotSent => Self::of("pending", false),
            Definite => Self { retryable: is_curable(fault), ..Self::of("failed", false) },
            KeysRejected => Self { retryable: true, ..Self::of("failed", false) },
        }
    }
}

/// U27: the errorCode decides, whatever the errorType says.
pub(crate) fn is_curable(fault: Option<&Fault>) -> bool {
    matches!(fault, Some(Fault::FCode { code, .. }) if code == "F300")
}

impl Made {
    /// The variant for this attempt, counted from 1.
    pub(super) fn fault(self, attempt: usize) -> Option<Fault> {
        match self {
            Self::By(variants) => Some(variants[(attempt - 1) % variants.len()]()),
            Self::Abandoned => Some(LEFT_ALONE),
            Self::Well | Self::AlreadyBought | Self::Refused | Self::Never(_) => None,
        }
    }

    pub(super) fn exists(self) -> bool {
        !matches!(self, Self::Never(_))
    }
}
