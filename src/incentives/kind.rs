//! What kind of thing is bought. The only place that tells kinds apart: whatever differs between them is a [`Spec`].

use std::{future::Future, pin::Pin};

use chrono::{DateTime, Utc};

use super::{answer::Answer, kinds::gift_code, model::Reward};
use crate::{
    engine::{Action, Rules},
    kernel::outcome::words,
    provider::incentives::Client,
};

words! {
    /// The kinds. The words are durable: kinds are added, never renamed.
    Kind {
        /// CreateGiftCard: a digital gift code.
        GiftCode = "gift_code",
    }
}

/// A call that is under way.
pub type Call<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// What a kind is.
pub trait Spec: Sync {
    /// Its rules.
    fn rules(&self) -> &'static Rules;

    /// The operation of the provider that does this, as metrics, timelines and problems name it.
    fn operation(&self, action: Action) -> &'static str;

    /// Does it. `asked_at` is the present: the answer shows nothing of what happens at the provider after it.
    fn call<'a>(&'a self, client: &'a Client, reward: &'a Reward, action: Action, asked_at: DateTime<Utc>) -> Call<'a>;
}

impl Kind {
    /// What the kind is.
    #[must_use]
    pub const fn spec(self) -> &'static dyn Spec {
        match self {
            Self::GiftCode => &gift_code::GiftCode,
        }
    }

    /// The kind's rules.
    #[must_use]
    pub fn rules(self) -> &'static Rules {
        self.spec().rules()
    }
}
