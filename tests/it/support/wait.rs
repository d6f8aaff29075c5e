//! Waiting for what the service does by itself: never for a time, always for what is to be seen.

use std::time::Duration;

use chrono::SecondsFormat;
use noshi::sandbox::Card;

use super::App;

/// How often a wait looks.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// What has not come by then does not come.
const LOOKS: usize = 1_200;

/// Waits until it is so.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    found(what, async || is_so().await.then_some(())).await;
}

/// Waits until it is there, and answers with it.
pub(crate) async fn found<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..LOOKS {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    panic!("waited in vain until {what}");
}

impl App {
    /// Waits until the service has done all that is due by its clock, and nothing is in hand. To see that something does
    /// not happen in an hour, move the clock by the hour and wait for this.
    pub(crate) async fn until_idle(&self) {
        until("nothing is due", async || {
            let now = self.ambient.now().to_rfc3339_opts(SecondsFormat::Micros, false);
            let busy = format!("SELECT COUNT(*) FROM rewards WHERE lease_token IS NOT NULL OR due_at <= '{now}'");
            self.database.number(&busy).await == 0
        })
        .await;
    }

    /// Moves every clock, and waits until what has become due is done.
    pub(crate) async fn pass(&mut self, seconds: i64) {
        self.advance(seconds);
        self.until_idle().await;
    }

    /// Waits until the gateway has received so many calls of this operation.
    pub(crate) async fn until_received(&self, operation: &str, times: usize) {
        until(&format!("{times} x {operation} are received"), async || self.received(operation).len() >= times).await;
    }

    /// Waits until Amazon has sold a card.
    pub(crate) async fn until_bought(&self) {
        until("a card is bought", async || !self.control.book().is_empty()).await;
    }

    /// Waits until this statement answers this number.
    pub(crate) async fn until_number(&self, text: &str, wanted: i64) {
        until(&format!("{text} is {wanted}"), async || self.database.number(text).await == wanted).await;
    }

    /// The calls of this operation that the gateway received for this key.
    pub(crate) fn calls_of(&self, key: &str, operation: &str) -> usize {
        let id = self.amazon_id(key);
        self.received(operation).iter().filter(|call| call.creation_request_id.as_deref() == Some(id.as_str())).count()
    }

    /// The cards of this key, in whatever state.
    pub(crate) fn cards_of(&self, key: &str) -> Vec<Card> {
        let id = self.amazon_id(key);
        self.control.book().into_iter().filter(|card| card.creation_request_id == id).collect()
    }
}
