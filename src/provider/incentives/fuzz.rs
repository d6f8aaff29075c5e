//! Any answer at all, as Amazon's: what must hold whatever its bytes are. For the fuzzer, and for property tests.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::classify::{self, WholeAnswer};
use super::refusal::Outcome;
use crate::kernel::{CardProof, ClaimCode, CreationRequestId, Currency, Money};
use crate::provider::login;

/// The id and the value that were asked for.
const ID: &str = "AwssbMZXW6YTBOI";
const MINOR: i64 = 2500;

/// What an answer must say for its card to be delivered, read in another way than the classifier reads.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AsAsked {
    status: String,
    creation_request_id: String,
    gc_claim_code: String,
    card_info: AsAskedCard,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AsAskedCard {
    card_status: String,
    value: AsAskedValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AsAskedValue {
    amount: f64,
    currency_code: String,
}

/// The id that an answer names, by whichever member.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnsweredId {
    creation_request_id: Option<Box<RawValue>>,
    activation_request_id: Option<Box<RawValue>>,
    status_check_request_id: Option<Box<RawValue>>,
    load_balance_request_id: Option<Box<RawValue>>,
}

impl AnsweredId {
    fn names_ours(self) -> bool {
        let of_cards = self.creation_request_id.or(self.activation_request_id).or(self.status_check_request_id);
        let named = of_cards.or(self.load_balance_request_id);
        named.is_some_and(|raw| serde_json::from_str::<String>(raw.get()).is_ok_and(|id| id == ID))
    }
}

impl AsAsked {
    fn holds(&self) -> bool {
        self.status == "SUCCESS"
            && self.creation_request_id == ID
            && ClaimCode::parse(&self.gc_claim_code).is_some()
            && self.card_info.card_status == "Fulfilled"
            && self.card_info.value.currency_code == "USD"
            && self.card_info.value.amount.total_cmp(&25.0).is_eq()
    }
}

/// Reads an answer in every way: the first byte says with which status it comes, the others are its body.
///
/// # Panics
/// A card would be delivered that is not all as asked, or a cancel be proven that is not ours.
pub fn answer(bytes: &[u8]) {
    let Some((choice, body)) = bytes.split_first() else { return };
    let status = [200, 200, 400, 403, 429, 500].get(usize::from(*choice % 6)).copied().unwrap_or(200);
    let reply = Ok(WholeAnswer { status, content_type: Some("application/json"), exception: None, body });
    let (id, asked) = (CreationRequestId::from_stored(ID.to_owned()), Money::from_minor(MINOR, Currency::Usd));
    let outcome = classify::create(reply, &id, asked).map(|seen| seen.proof);
    if let Outcome::Proven(CardProof::Fulfilled(_code)) = outcome {
        let as_asked = serde_json::from_slice::<AsAsked>(body).is_ok_and(|read| read.holds());
        assert!(as_asked, "a card would be delivered that is not as asked");
    }
    if let Outcome::Proven(()) = classify::cancel(reply, &id) {
        let named = serde_json::from_slice::<AnsweredId>(body).is_ok_and(AnsweredId::names_ours);
        assert!(named, "an answer about another card proves the cancel of ours");
    }
    let classes = [
        classify::funds(reply, Currency::Usd).class(),
        classify::activity(reply, Currency::Usd).class(),
        classify::own(reply, &id, |success| Some(success.get().len())).class(),
    ];
    assert!(classes.iter().all(|class| !class.is_empty()), "every answer has a class");
    login::read_any(status, body);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kernel::changed::changed;

    const CARD: &[u8] = include_bytes!("../../../fuzz/corpus/answer/card");
    const LOAD: &[u8] = include_bytes!("../../../fuzz/corpus/answer/load");
    const PAGE: &[u8] = include_bytes!("../../../fuzz/corpus/answer/page");

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn whatever_an_answer_says_only_a_card_that_is_all_as_asked_is_delivered(
            card in changed(CARD), load in changed(LOAD), page in changed(PAGE), any in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            [card, load, page, any].iter().for_each(|bytes| answer(bytes));
        }
    }
}
