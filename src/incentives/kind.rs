//! What kind of thing is bought. The only place that distinguishes kinds: whatever differs between them is a [`Spec`]. The
//! reconciliation adopts orphan cards as gift codes alone.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use chrono::{DateTime, Utc};

use super::{answer::Answer, create_members::AskedMembers, kinds, model::Reward};
use crate::{
    engine::{Action, Rules},
    http::body::SecretTexts,
    provider::{
        incentives::{Client, ErrorType},
        login::{AccessToken, ShopperId},
    },
    sealing::Target,
};

/// Declares the kinds, a line each: the name here, the durable word, the [`Spec`] among [`kinds`].
macro_rules! kinds {
    ($($name:ident = $word:literal => $module:ident::$spec:ident;)+) => {
        /// The kinds. The words are durable: kinds are added, never renamed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind {
            $(#[doc = concat!("`", $word, "`")] $name),+
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The word in the store, in metrics and on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word),+ }
            }

            /// What the kind is.
            #[must_use]
            pub const fn spec(self) -> &'static dyn Spec {
                match self { $(Self::$name => &kinds::$module::$spec),+ }
            }
        }
    };
}

kinds! {
    GiftCode = "gift_code" => gift_code::GiftCode;
    CardActivation = "card_activation" => card_activation::CardActivation;
    BalanceLoad = "balance_load" => balance_load::BalanceLoad;
}

impl Kind {
    /// The kind that this word names.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == word)
    }

    /// The kind of a row.
    #[must_use]
    pub fn of_row(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.row_words().any(|known| known == word))
    }

    /// The words that its rows have.
    pub fn row_words(self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.as_str()).chain(self.spec().extended())
    }

    /// The kind's rules.
    #[must_use]
    pub fn rules(self) -> &'static Rules {
        self.spec().rules()
    }
}

/// The operations of all kinds, as metrics name them; one that several kinds call is there several times.
pub fn operations() -> impl Iterator<Item = &'static str> {
    Kind::ALL.iter().flat_map(|kind| {
        let spec = kind.spec();
        let validation = spec.validation().map(|validation| validation.operation);
        Action::ALL.map(|action| spec.operation(action)).into_iter().chain(validation)
    })
}

/// How long a reward's row keeps what the reward acts on, its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepsTarget {
    /// The kind acts on nothing.
    Never,
    /// Until the outcome is final: nothing is sent for the reward afterwards.
    UntilFinal,
    /// Until the outcome is final, and an issued reward's until its reversal is out of question ([`Rules::verdict_at`]):
    /// the reversal sends the target again.
    UntilIrreversible,
}

/// Whether Amazon's activity report lists what a kind buys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// It does.
    Known,
    /// Nobody has seen it. Where a report lists some of the kind, it lists all.
    Unknown,
    /// Nobody has seen it, and no word of a report is read as one of the kind: what is bought is never missed in it.
    Unread,
}

/// A call that is under way.
pub type Call<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// What one call is about.
#[derive(Clone, Copy)]
pub struct Errand<'a> {
    /// The account's way to Amazon.
    pub client: &'a Client,
    /// The reward as it is committed.
    pub reward: &'a Reward,
    /// What it acts on, in the clear for this call; `None` where the kind acts on nothing.
    pub target: Option<&'a Target>,
    /// What is to be done.
    pub action: Action,
    /// The present: the answer shows nothing of what happens at the provider after it.
    pub asked_at: DateTime<Utc>,
}

/// What a reward is to act on, as its request names it.
pub enum Aim {
    /// Its kind acts on nothing.
    Nothing,
    /// This.
    Target(Arc<Target>),
    /// The Amazon account of whoever signed in with Login with Amazon and got this token.
    SignedIn(AccessToken),
}

/// A question to the provider whether a reward could be bought. It buys nothing.
#[derive(Clone, Copy)]
pub struct Validation {
    /// The operation, as metrics and timelines name it.
    pub operation: &'static str,
    /// Asks. Where the answer is proven, it could be.
    pub ask: for<'a> fn(Errand<'a>) -> Call<'a>,
}

/// What a request says of what the reward is to act on, of where it comes from, and of what else Amazon is to know.
#[derive(Default)]
pub struct Given {
    /// `target`.
    pub target: Option<SecretTexts>,
    /// `transaction_source`: the till, where there is one.
    pub transaction_source: Option<SecretTexts>,
    /// `product_type`: the product of a voucher.
    pub product_type: Option<String>,
}

/// A field of a request that is not as it must be. It has no place for what the caller sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrongField {
    /// JSON Pointer into the request's body.
    pub pointer: &'static str,
    /// What is expected there.
    pub expected: &'static str,
}

/// The last four digits of a target: what may be shown of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetEnding(i64);

impl TargetEnding {
    /// The last four of a text of digits; `None` of any other, and of one that is hardly longer.
    #[must_use]
    pub fn of(digits: &str) -> Option<Self> {
        let last = digits.len().checked_sub(4).filter(|first| *first >= 8).and_then(|first| digits.get(first..))?;
        last.bytes().all(|byte| byte.is_ascii_digit()).then(|| last.parse().ok().map(Self)).flatten()
    }

    /// Read back from its row.
    #[must_use]
    pub fn from_stored(number: i64) -> Option<Self> {
        (0..10_000).contains(&number).then_some(Self(number))
    }

    /// As its row keeps it.
    #[must_use]
    pub const fn number(self) -> i64 {
        self.0
    }
}

impl fmt::Display for TargetEnding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}", self.0)
    }
}

/// What a kind is.
pub trait Spec: Sync {
    /// Its rules.
    fn rules(&self) -> &'static Rules;

    /// How long a row keeps its target.
    fn keeps_target(&self) -> KeepsTarget;

    /// Whether it acts on something.
    fn acts(&self) -> bool {
        self.keeps_target() != KeepsTarget::Never
    }

    /// The word in the rows of rewards whose forward call says more than their value ([`create_members`](super::create_members)). A
    /// program that does not know the members must not send such a reward again, and takes no row of a word that it does not know.
    fn extended(&self) -> Option<&'static str> {
        None
    }

    /// Takes what the forward call is to say besides the value out of what the request says.
    ///
    /// # Errors
    /// [`WrongField`] names the place and what is expected there.
    fn asked(&self, given: &mut Given) -> Result<AskedMembers, WrongField> {
        match given.product_type.take() {
            None => Ok(AskedMembers::default()),
            Some(_) => Err(WrongField { pointer: "/product_type", expected: "only a gift code has one: leave it out" }),
        }
    }

    /// Reads what the reward is to act on out of what the request says of it. `None` where the kind acts on nothing.
    ///
    /// # Errors
    /// [`WrongField`] names the place and what is expected there.
    fn target(&self, given: Given) -> Result<Option<Target>, WrongField>;

    /// The same, where a kind may also be told whom to ask for the target.
    ///
    /// # Errors
    /// As [`Spec::target`].
    fn aim(&self, given: Given) -> Result<Aim, WrongField> {
        let target = self.target(given)?;
        Ok(target.map_or(Aim::Nothing, |target| Aim::Target(Arc::new(target))))
    }

    /// The account of whoever signed in, as a target of its own; `None` where the kind acts on no account.
    fn target_of_shopper(&self, _shopper: ShopperId) -> Option<Target> {
        None
    }

    /// What is asked before a reward is bought, where an account's settings want that and the kind has it.
    fn validation(&self) -> Option<Validation> {
        None
    }

    /// What may be shown of a target of its own. Nothing, unless the kind says so.
    fn ending(&self, _target: &Target) -> Option<TargetEnding> {
        None
    }

    /// What of a target of its own no text that is stored may repeat. `None` where the kind acts on nothing.
    fn secret<'a>(&self, target: &'a Target) -> Option<&'a str>;

    /// The field of the request that Amazon's refusal of a reward is about, where it is about one.
    fn blamed(&self, _error_type: ErrorType) -> Option<WrongField> {
        None
    }

    /// Whether this refusal is about the partner's account. It is not where it is about a field of the request, or may be about whom the
    /// reward is for: such orders, however many, say nothing of the orders of others.
    fn is_about_the_account(&self, error_type: ErrorType) -> bool {
        self.blamed(error_type).is_none()
    }

    /// Whether Amazon's activity report lists what it buys.
    fn listing(&self) -> Listing;

    /// The operation of the provider that does this, as metrics, timelines and problems name it.
    fn operation(&self, action: Action) -> &'static str;

    /// Does it.
    fn call<'a>(&'a self, errand: Errand<'a>) -> Call<'a>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_word_and_the_spec_of_that_word() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_word(kind.as_str()), Some(*kind));
            assert!(kind.row_words().all(|word| Kind::of_row(word) == Some(*kind)));
        }
        assert_eq!((Kind::from_word("gift_code_extended"), Kind::of_row("gift_card")), (None, None));
        assert_eq!(Kind::from_word("gift_card"), None);
    }

    #[test]
    fn an_ending_is_the_last_four_digits_of_many() {
        let shown = |text| TargetEnding::of(text).map(|ending| ending.to_string());
        assert_eq!(shown("1400000005567580058").as_deref(), Some("0058"));
        for other in ["", "0058", "12345670058", "14000000055675800x8", "1400000005567580+58"] {
            assert_eq!(shown(other), None, "{other}");
        }
        assert_eq!(TargetEnding::from_stored(58).map(|ending| ending.to_string()).as_deref(), Some("0058"));
        assert_eq!((TargetEnding::from_stored(-1), TargetEnding::from_stored(10_000)), (None, None));
    }

    /// Otherwise the row would have nothing to send, or keep what nobody sends.
    #[test]
    fn a_kind_takes_a_target_exactly_when_it_keeps_one() {
        for kind in Kind::ALL {
            assert_eq!(kind.spec().target(Given::default()).is_err(), kind.spec().acts(), "{}", kind.as_str());
        }
    }
}
