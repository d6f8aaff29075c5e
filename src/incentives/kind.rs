//! What kind of thing is bought. The only place that distinguishes kinds: whatever differs between them is a [`Spec`]. The
//! reconciliation reads the creation of gift codes alone, and adopts orphan cards as such.

use std::{future::Future, pin::Pin};

use chrono::{DateTime, Utc};

use super::{answer::Answer, kinds, model::Reward};
use crate::{
    engine::{Action, Rules},
    http::body::SecretTexts,
    provider::incentives::Client,
    sealing::Target,
};

/// Declares the kinds, a line each: the name here, the durable word, the [`Spec`] among [`kinds`].
macro_rules! kinds {
    ($($(#[cfg($when:meta)])? $name:ident = $word:literal => $module:ident::$spec:ident;)+) => {
        /// The kinds. The words are durable: kinds are added, never renamed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind {
            $($(#[cfg($when)])? #[doc = concat!("`", $word, "`")] $name),+
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$($(#[cfg($when)])? Self::$name),+];

            /// The word in the store, in metrics and on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $($(#[cfg($when)])? Self::$name => $word),+ }
            }

            /// What the kind is.
            #[must_use]
            pub const fn spec(self) -> &'static dyn Spec {
                match self { $($(#[cfg($when)])? Self::$name => &kinds::$module::$spec),+ }
            }
        }
    };
}

kinds! {
    GiftCode = "gift_code" => gift_code::GiftCode;
    #[cfg(test)] Trial = "trial" => trial::Trial;
}

impl Kind {
    /// The kind that this word names.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == word)
    }

    /// The kind's rules.
    #[must_use]
    pub fn rules(self) -> &'static Rules {
        self.spec().rules()
    }
}

/// The operations of all kinds, as metrics name them; one that several kinds call is there several times.
pub fn operations() -> impl Iterator<Item = &'static str> {
    Kind::ALL.iter().flat_map(|kind| Action::ALL.map(|action| kind.spec().operation(action)))
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

/// Why a request's target cannot be taken. It has no place for what the caller sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidTarget {
    /// JSON Pointer into the request's body.
    pub pointer: &'static str,
    /// What is expected there.
    pub expected: &'static str,
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

    /// Reads what the reward is to act on out of a request's `target`. `None` where the kind acts on nothing.
    ///
    /// # Errors
    /// [`InvalidTarget`] names the place and what is expected there.
    fn target(&self, given: Option<SecretTexts>) -> Result<Option<Target>, InvalidTarget>;

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
        }
        assert_eq!(Kind::from_word("gift_card"), None);
    }

    /// Otherwise the row would have nothing to send, or keep what nobody sends.
    #[test]
    fn a_kind_takes_a_target_exactly_when_it_keeps_one() {
        for kind in Kind::ALL {
            assert_eq!(kind.spec().target(None).is_err(), kind.spec().acts(), "{}", kind.as_str());
        }
    }
}
