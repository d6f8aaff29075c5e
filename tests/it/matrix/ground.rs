//! What the matrices share: a service with doors before some of its accounts, orders, rules for one id, attempts that
//! are abandoned, and the end that every reward must come to.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use noshi::sandbox::{CardState, Fault, FaultRule, Operation, Received};
use serde_json::json;

use super::{
    classes::LEFT_ALONE,
    front::Front,
    watch::{self, Seen, Step, steps},
};
use crate::reconciliation::orphans::forget_facts;
use crate::support::{
    Answer, App, Backend, PARTNER, Shape,
    books::{books_match, rows},
    order,
    partners::Partner,
};

/// How long a run may take until everything is at its end: for hanging only.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Looks for attempts to abandon come more often: they must not end by themselves before.
const ABANDON_EVERY: Duration = Duration::from_millis(30);

pub(super) struct Ground {
    pub(super) app: App,
    pub(super) fronts: Vec<Arc<Front>>,
}

/// A reward to be bought.
#[derive(Clone)]
pub(super) struct Order {
    pub(super) key: String,
    pub(super) id: String,
    pub(super) front: Option<usize>,
}

pub(super) fn partner(front: usize) -> String {
    format!("F{front:02}")
}

impl Ground {
    /// A service whose account `f00` goes through the first door, and so on; the usual one goes straight to the sandbox.
    pub(super) async fn new(backend: Backend, fronts: Vec<Arc<Front>>, shape: Shape) -> Self {
        let through = |(at, front): (usize, &Arc<Front>)| Partner { id: partner(at), gateway: Some(front.address) };
        let partners = fronts.iter().enumerate().map(through).collect();
        let shape = Shape { partners, ..shape }.with("NOSHI__REWARDS__UPSTREAM_TIMEOUT_SECONDS", 2);
        // One caller sends all cells at once, and has three quarters of the room.
        let shape = shape.with("NOSHI__REWARDS__IN_FLIGHT_MAX", 400).with("NOSHI__SERVER__KEY_REQUESTS_AT_ONCE", 400);
        let app = App::shaped(backend, shape).await;
        fronts.iter().for_each(|front| front.lead_to(app.gateway()));
        watch::begin(&app).await;
        Self { app, fronts }
    }

    pub(super) fn order(&self, key: String, front: Option<usize>) -> Order {
        let partner = front.map_or_else(|| PARTNER.to_owned(), partner);
        let id = self.app.amazon_id_of(&partner, &key);
        Order { key, id, front }
    }

    pub(super) async fn issue(&self, wanted: &Order) -> Answer {
        let mut body = order("1.00");
        body["account_id"] = json!(wanted.front.map_or_else(|| "main".to_owned(), |at| partner(at).to_lowercase()));
        self.app.issue_body(&wanted.key, body).await
    }

    /// Calls of this order meet this, once each, in this sequence.
    pub(super) fn script(&self, operation: Operation, order: &Order, faults: impl IntoIterator<Item = Fault>) {
        self.script_after(0, operation, order, faults);
    }

    /// The same after so many calls that meet nothing.
    pub(super) fn script_after(
        &self,
        skip: u32,
        operation: Operation,
        order: &Order,
        faults: impl IntoIterator<Item = Fault>,
    ) {
        let rule = |fault| FaultRule {
            operation: Some(operation),
            creation_request_id: Some(order.id.clone()),
            skip,
            ..FaultRule::once(fault)
        };
        self.app.control.script_all(faults.into_iter().map(rule).collect()).unwrap();
    }

    /// Buys at Amazon what our database will know nothing of: as after the restore of an old backup.
    pub(super) async fn buy_and_forget(&self, orders: &[&Order]) {
        let bought = futures_util::future::join_all(orders.iter().map(|order| self.issue(order))).await;
        assert!(bought.iter().all(|answer| answer.status == 201), "{bought:?}");
        forget_facts(&self.app, "subject_id IS NOT NULL").await;
        const FORGET: &str = "DELETE FROM rewards; DELETE FROM watched";
        self.app.database.execute(FORGET).await.unwrap();
        assert!(rows(&self.app).await.is_empty());
        self.app.control.clear_requests();
    }

    /// Ends the leases of attempts that are to be abandoned, for ever.
    pub(super) async fn abandon(&self) {
        let mut done = BTreeSet::new();
        loop {
            tokio::time::sleep(ABANDON_EVERY).await;
            for request in self.app.control.requests() {
                let left_alone = request.fault == Some(LEFT_ALONE) && done.insert(request.sequence);
                if let Some(id) = request.creation_request_id.filter(|_id| left_alone) {
                    let over = format!(
                        "UPDATE rewards SET due_at = created_at WHERE creation_request_id = '{id}' \
                         AND lease_token IS NOT NULL"
                    );
                    self.app.database.execute(&over).await.unwrap();
                }
            }
        }
    }

    /// Waits until automation has nothing left to do. A door that has refused what it was to refuse opens.
    pub(super) async fn settle(&self, refusals: impl Fn(&Order, &[Step]) -> bool, orders: &[Order]) {
        const OPEN: &str = "SELECT COUNT(*) FROM rewards WHERE due_at IS NOT NULL";
        let settled = async {
            loop {
                let seen = watch::seen(&self.app).await;
                for order in orders {
                    let steps = seen.get(&order.id).map(|seen| steps(seen)).unwrap_or_default();
                    if let Some(front) = order.front.filter(|_front| refusals(order, &steps)) {
                        self.fronts[front].open();
                    }
                }
                if self.app.database.number(OPEN).await == 0 {
                    return;
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let ended = tokio::time::timeout(PATIENCE, settled).await;
        assert!(ended.is_ok(), "not at its end: {:?}", rows(&self.app).await);
    }

    pub(super) async fn seen(&self, order: &Order) -> Vec<Seen> {
        watch::seen(&self.app).await.remove(&order.id).unwrap_or_default()
    }

    /// What the sandbox heard about an order, in sequence.
    pub(super) fn heard(&self, operation: Operation, order: &Order) -> Vec<Received> {
        let of = |request: &Received| {
            request.operation == operation.name() && request.creation_request_id.as_deref() == Some(&order.id)
        };
        self.app.control.requests().into_iter().filter(of).collect()
    }

    /// Once the faults have stopped: each reward is proven or needs a person, the same key tells the card's own code
    /// (I4), every create of an id was the same bytes (I11), and the books are Amazon's (I1, I2, I3, I13).
    pub(super) async fn end_well(self, orders: &[Order], told: &[(String, String)]) -> Vec<String> {
        let mut wrong = Vec::new();
        let seen = rows(&self.app).await;
        let book = self.app.control.book();
        for order in orders {
            let Some(row) = seen.iter().find(|row| row.creation_request_id == order.id) else {
                wrong.push(format!("{}: there is no row", order.key));
                continue;
            };
            let card = book.iter().find(|card| card.creation_request_id == order.id);
            let answer = self.issue(order).await;
            let code = answer.json["claim_code"].as_str();
            let live = card.filter(|card| card.state == CardState::Live).map(|card| card.claim_code.as_str());
            let right = match row.state.as_str() {
                "issued" => answer.status == 200 && code.is_some() && code == live,
                "needs_attention" => answer.status == 202 && code.is_none(),
                "canceled" => answer.status == 200 && code.is_none() && live.is_none(),
                "failed" => answer.status >= 400 && code.is_none() && card.is_none(),
                _ => false,
            };
            let leaked = card.is_some_and(|card| code.is_none() && answer.text.contains(&card.claim_code));
            let other = told
                .iter()
                .any(|(key, told)| *key == order.key && Some(told.as_str()) != card.map(|c| c.claim_code.as_str()));
            let bodies: BTreeSet<String> =
                self.heard(Operation::CreateGiftCard, order).into_iter().map(|request| request.body).collect();
            if !right || leaked || other || bodies.len() > 1 {
                wrong.push(format!(
                    "{}: ended as {}, and is told {} {}; other code {other}, {} bodies",
                    order.key,
                    row.state,
                    answer.status,
                    answer.text,
                    bodies.len()
                ));
            }
        }
        // What is wrong already says more than the books could.
        if wrong.is_empty() {
            books_match(&self.app).await;
        }
        self.app.end().await;
        wrong
    }
}
