//! What a status check does not show: who activated the card. It is a state with a name, never a guess.

use noshi::sandbox::Fault;
use serde_json::json;

use super::{ACTIVATE, Backend, CARD, CHECK, DEACTIVATE, Till, on_each_backend, refusal};

on_each_backend! {
    async fn a_card_that_somebody_else_activated_after_our_lost_attempt_needs_a_person(backend: Backend) {
        let till = Till::open(backend).await;
        assert_eq!(till.activate("theirs", CARD).await.status, 201);
        till.app.control.clear_requests();
        till.strike(ACTIVATE, Fault::DropBeforeWork, 1);
        let lost = till.activate("ours", CARD).await;
        lost.is_accepted();
        let found = till.app.until(lost.id(), "needs_attention").await;
        assert_eq!(found["attention"], "activated_elsewhere");
        assert_eq!(found["last_error"]["error_type"], "CardAlreadyActivatedWithDifferentRequestId");
        // The check shows a live card of the right value. Only the answer to our own id shows that it is not ours.
        assert_eq!(till.operations(), [ACTIVATE, CHECK, ACTIVATE]);
        assert_eq!(till.app.live_cards().len(), 1);
        till.end_with_books().await;
    }

    async fn a_card_that_somebody_else_activated_before_us_was_not_bought(backend: Backend) {
        let till = Till::open(backend).await;
        assert_eq!(till.activate("theirs", CARD).await.status, 201);
        let refused = till.activate("ours", CARD).await;
        refused.is_problem(422, "upstream-rejected");
        assert_eq!((&refused.json["money_moved"], &refused.json["retryable"]), (&json!("no"), &json!(false)));
        till.end_with_books().await;
    }

    /// A replay is answered with what came of the id's first use. What has become of the card since, only the check shows.
    async fn a_card_that_was_deactivated_since_our_lost_attempt_is_not_taken_for_live(backend: Backend) {
        let mut till = Till::open(backend).await;
        till.strike(ACTIVATE, Fault::DropAfterWork, 1);
        till.strike(CHECK, Fault::DropBeforeWork, 3);
        let lost = till.activate("one", CARD).await;
        till.app.until_received(CHECK, 1).await;
        // Somebody who knows our id deactivates it: another till, or Amazon's support.
        let id = till.app.amazon_id("one");
        let body = json!({"activationRequestId": id, "partnerId": crate::support::PARTNER, "cardNumber": CARD});
        till.ask_gateway(DEACTIVATE, &body).await;
        assert!(till.app.live_cards().is_empty());
        for _ in 0..12 {
            till.app.pass(120).await;
        }
        let found = till.app.until(lost.id(), "needs_attention").await;
        assert_eq!(found["attention"], "canceled_elsewhere");
        till.end_with_books().await;
    }

    /// The card is taken back, nobody hears of it, and another till sells the card again. When the window is over the check shows
    /// it active, with the right value.
    async fn a_card_that_is_activated_anew_after_our_lost_deactivation_is_not_taken_for_ours(backend: Backend) {
        let mut till = Till::open(backend).await;
        let issued = till.activate("one", CARD).await;
        till.strike(DEACTIVATE, Fault::DropAfterWork, 1_000);
        till.app.cancel(issued.id()).await;
        till.app.until_received(DEACTIVATE, 1).await;
        assert_eq!(till.activate("two", CARD).await.status, 201);
        for _ in 0..12 {
            till.app.pass(120).await;
        }
        let found = till.app.until(issued.id(), "needs_attention").await;
        assert_eq!(found["attention"], "cancel_unproven");
        assert_eq!(till.app.live_cards().len(), 1, "the other till's");
        till.end_with_books().await;
    }

    async fn refusals_that_say_nothing_of_others_are_believed_only_before_any_doubt(backend: Backend) {
        let mut till = Till::open(backend).await;
        till.strike(ACTIVATE, Fault::DropAfterWork, 1);
        till.strike(ACTIVATE, refusal("F200", "ActivationNotAllowed"), 100);
        let lost = till.activate("one", CARD).await;
        for _ in 0..6 {
            till.app.pass(120).await;
        }
        let found = till.app.until(lost.id(), "needs_attention").await;
        assert_eq!(found["attention"], "refused_in_doubt");
        assert_eq!(till.app.live_cards().len(), 1, "it was done, and nobody said that it was not");
        till.end_with_books().await;
    }
}
