//! Which facts are events for callers, and which of them an endpoint hears.

use super::endpoints::WebhookEndpoint;
use crate::{
    events::stream::{About, StreamedFact},
    incentives::sql::brief::RewardBrief,
    kernel::{ClientId, ProgramId},
};

/// Every type of event, as the timeline of a reward and `GET /v1/events` name it. What is not among them is a step within the service.
pub(crate) const EVENT_TYPES: &[&str] = &[
    "reward.issued",
    "reward.failed",
    "reward.closed",
    "reward.given_up",
    "reward.canceled",
    "reward.needs_attention",
    "reward.adopted",
    "reward.reclaimed",
    "cancel.failed",
    "claim_code.redelivered",
    "claim_code.revealed",
    "balance.low",
    "balance.runway_short",
    "balance.unexplained",
    "funds.deposit_detected",
    "budget.threshold_reached",
    "budget.exhausted",
    "ceiling.reached",
    "funds_floor.reached",
    "reveals.many",
    "reveals.limit_reached",
    "program.created",
    "program.owned",
    "program.renamed",
    "program.limits_set",
    "program.suspended",
    "program.resumed",
    "account.key_accepted",
    "account.key_refused",
    "account.key_changed",
    "account.key_returned",
    "account.key_ended",
    "database.restored",
    "database.reconciled",
    "reconciliation.days_accepted",
    "batch.finished",
    "membership.active",
    "membership.past_due",
    "membership.suspended",
    "membership.paused",
    "membership.lapsed",
    "membership.ended",
    DISABLED,
    "charge.authorized",
    "charge.paid",
    "charge.declined",
    "charge.failed",
    "charge.voided",
    "charge.capture_failed",
    "charge.needs_attention",
    "charge.charged_back",
    "refund.refunded",
    "refund.declined",
    "refund.failed",
    "refund.needs_attention",
];

/// The service disabled an endpoint.
pub(crate) const DISABLED: &str = "webhook_endpoint.disabled";
/// What `POST …/test` sends. It is no fact.
pub(super) const TEST: &str = "webhook_endpoint.test";

/// The types that an endpoint asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct EventFilter(Vec<String>);

/// There is no such type of event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UnknownEvent {
    /// Its place in the list.
    pub(super) at: usize,
}

impl EventFilter {
    /// These types, each once, in the order of [`EVENT_TYPES`]; none stands for all but those of payments.
    pub(super) fn of(words: &[String]) -> Result<Self, UnknownEvent> {
        match words.iter().position(|word| !EVENT_TYPES.contains(&word.as_str())) {
            Some(at) => Err(UnknownEvent { at }),
            None => {
                let asked = EVENT_TYPES.iter().filter(|known| words.iter().any(|word| word == *known));
                Ok(Self(asked.map(|word| (*word).to_owned()).collect()))
            }
        }
    }

    /// As the store keeps it. A word that only a later version knows is kept.
    pub(super) fn from_stored(text: &str) -> Self {
        Self(text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect())
    }

    pub(super) fn to_stored(&self) -> String {
        self.0.join(" ")
    }

    /// The words; none where it lets all pass.
    pub(super) fn words(&self) -> &[String] {
        &self.0
    }

    /// Whether events of rewards pass.
    pub(super) fn hears_of_rewards(&self) -> bool {
        self.0.is_empty() || self.0.iter().any(|word| is_about_reward(word))
    }

    /// Whether events of payments pass: where they were asked for by name.
    pub(super) fn hears_of_payments(&self) -> bool {
        self.0.iter().any(|word| is_about_payment(word))
    }

    /// Whether events of anything else pass.
    pub(super) fn hears_of_others(&self) -> bool {
        self.0.is_empty() || self.0.iter().any(|word| !is_about_reward(word) && !is_about_payment(word))
    }

    /// Those of payments are not among all: whoever made such an endpoint may not read payments.
    fn passes(&self, kind: &str) -> bool {
        (self.0.is_empty() && !is_about_payment(kind)) || self.0.iter().any(|word| word == kind)
    }
}

/// What is known about the subject of a fact.
pub(super) enum Known<'a> {
    /// The reward that it is about.
    Reward(&'a RewardBrief),
    /// The owner of the program that it is about: none where it is everybody's.
    Program(Option<ClientId>),
    /// Its name says all.
    Named,
}

/// Whether the fact is an event for this endpoint: it is of a type that was asked for, happened after the endpoint was made, and is
/// about what its client sees in `GET /v1/events` and in the timelines of its own rewards.
pub(super) fn hears(endpoint: &WebhookEndpoint, fact: &StreamedFact, known: &Known<'_>) -> bool {
    is_event(&fact.kind)
        && fact.id > endpoint.since
        && endpoint.event_types.passes(&fact.kind)
        && match (&fact.about, known) {
            (About::Reward { client, .. }, Known::Reward(reward)) => {
                *client == endpoint.client
                    && endpoint.program.as_ref().is_none_or(|own| reward.program.as_ref() == Some(own))
            }
            (About::Payment { client, .. }, _) => *client == endpoint.client && endpoint.program.is_none(),
            (About::Named { kind, name }, Known::Program(owner)) if kind == PROGRAM => {
                let bound = endpoint.program.as_ref().is_none_or(|own| own.as_str() == name);
                bound && (endpoint.everyone || owner.is_none_or(|owner| owner == endpoint.client))
            }
            (About::Named { kind, name }, _) => {
                let own = kind == CLIENT && *name == endpoint.client.to_string() && endpoint.program.is_none();
                endpoint.everyone || own
            }
            (About::Reward { .. } | About::Other, _) => false,
        }
}

/// The words of subjects that belong to clients.
const PROGRAM: &str = "program";
const CLIENT: &str = "client";

fn is_about_reward(kind: &str) -> bool {
    ["reward.", "cancel.", "claim_code."].iter().any(|room| kind.starts_with(room))
}

fn is_about_payment(kind: &str) -> bool {
    ["charge.", "refund."].iter().any(|room| kind.starts_with(room))
}

/// Whether callers may hear of it at all.
pub(super) fn is_event(kind: &str) -> bool {
    EVENT_TYPES.contains(&kind)
}

/// The program that the fact is about.
pub(super) fn program_of(fact: &StreamedFact) -> Option<ProgramId> {
    match &fact.about {
        About::Named { kind, name } if kind == PROGRAM => name.parse().ok(),
        About::Named { .. } | About::Reward { .. } | About::Payment { .. } | About::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The words with a dot that a section of the page for callers has in code.
    fn words(section: &str) -> BTreeSet<&'static str> {
        let page = include_str!("../http/API.md");
        let text = page.split("\n## ").find(|text| text.starts_with(section)).unwrap();
        let words = text.split('`').skip(1).step_by(2);
        let in_word = |c: char| c.is_ascii_lowercase() || matches!(c, '_' | '.');
        words.filter(|word| word.contains('.') && !word.starts_with('.') && word.chars().all(in_word)).collect()
    }

    #[test]
    fn what_happens_to_what_has_a_name_is_an_event_of_the_page_and_the_other_way_round() {
        let named = |kind: &&str| !is_about_reward(kind) && !is_about_payment(kind);
        let listed: BTreeSet<&str> = EVENT_TYPES.iter().copied().filter(named).collect();
        assert_eq!(words("Events\n"), listed);
    }

    #[test]
    fn each_event_of_a_reward_is_on_the_page() {
        let listed: BTreeSet<&str> = EVENT_TYPES.iter().copied().filter(|kind| is_about_reward(kind)).collect();
        let named = words("Webhooks\n");
        assert!(listed.is_subset(&named), "{:?}", listed.difference(&named));
        let of_rewards = named.into_iter().filter(|word| is_about_reward(word)).collect();
        assert_eq!(listed, of_rewards, "the page names another");
    }

    #[test]
    fn each_event_of_a_payment_is_on_the_page_and_is_heard_by_who_names_it() {
        let listed: BTreeSet<&str> = EVENT_TYPES.iter().copied().filter(|kind| is_about_payment(kind)).collect();
        let named = words("Amazon Pay\n");
        assert!(listed.is_subset(&named), "{:?}", listed.difference(&named));
        let paid = EventFilter::of(&["charge.paid".to_owned()]).unwrap();
        assert!(paid.passes("charge.paid") && !paid.passes("refund.refunded") && !paid.passes("reward.issued"));
        assert!(paid.hears_of_payments() && !paid.hears_of_rewards() && !paid.hears_of_others());
        let all = EventFilter::default();
        assert!(!all.passes("charge.paid") && !all.hears_of_payments(), "its maker may not read payments");
    }

    #[test]
    fn an_endpoint_hears_what_it_asked_for_or_all_and_no_step_within_the_service() {
        let some = EventFilter::of(&["reward.issued".to_owned(), "balance.low".to_owned()]).unwrap();
        assert!(some.passes("reward.issued") && !some.passes("reward.failed"));
        assert!(some.hears_of_rewards() && some.hears_of_others());
        let all = EventFilter::default();
        assert!(all.passes("reward.failed") && all.hears_of_rewards() && all.hears_of_others());
        assert!(!is_event("attempt.sent") && !is_event(TEST));
        assert_eq!(EventFilter::of(&["attempt.sent".to_owned()]), Err(UnknownEvent { at: 0 }));
        assert_eq!(EventFilter::from_stored(&some.to_stored()), some);
    }
}
