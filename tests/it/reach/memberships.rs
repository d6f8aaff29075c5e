//! The cells of memberships: a client deals with its own, whoever else it may look after; a key that is bound to a program deals with none.

use serde_json::{Value, json};

use super::{Holder, Route};
use crate::{
    membership::{join, plan, plan_of},
    support::{Answer, App, seller},
};

/// A membership of mine and its plan, and another plan of mine that is closed on the way.
pub(super) struct MembershipCells {
    plan: String,
    closed: String,
    mine: String,
    consent: String,
}

impl MembershipCells {
    pub(super) async fn make(app: &mut App, own: &str) -> Self {
        own.clone_into(&mut app.key);
        let consent = seller::consent(&app.control, 1_000_000, "1111");
        // No reward comes of it while the cells are asked: it would stand in lists of others.
        let mut held = plan_of("980");
        held["hold_days"] = json!(366);
        let (gold, closed) = (plan(app, "gold", &held).await, plan(app, "closed", &plan_of("500")).await);
        let joined = join(app, &gold, &consent, "mine").await;
        assert_eq!(joined.status, 201, "{}", joined.text);
        // A consent serves one membership.
        let consent = seller::consent(&app.control, 1_000_000, "1111");
        Self { plan: gold, closed, mine: joined.id().to_owned(), consent }
    }

    pub(super) fn named_by(&self, route: &Route) -> &str {
        if route.pattern.contains("/membership/plans") { &self.closed } else { &self.mine }
    }

    pub(super) fn asked(&self, route: &Route, at: usize) -> Value {
        match route.pattern.as_str() {
            "/v1/membership/plans" => plan_of("980"),
            "/v1/memberships" => {
                json!({"plan_id": self.plan, "consent_id": self.consent, "reference": format!("member-{at}")})
            }
            "/v1/memberships/{id}/change_plan" => json!({"plan_id": self.plan}),
            _ => json!({}),
        }
    }

    pub(super) fn judge(&self, holder: Holder, route: &Route, answer: &Answer) {
        let cell = format!("{route} by {holder:?}: {} {}", answer.status, answer.text);
        if matches!(holder, Holder::Bound | Holder::Elsewhere) {
            return assert_eq!(answer.status, 403, "{cell}");
        }
        let (named, is_mine) = (route.pattern.contains('{'), holder == Holder::Own);
        match (route.method.as_str(), named) {
            // What it comes to hangs on what was asked before; that it is dealt with does not.
            (_, true) if is_mine => assert!(matches!(answer.status, 200 | 409), "{cell}"),
            (_, true) => assert_eq!(answer.status, 404, "{cell}"),
            ("POST", false) if route.pattern == "/v1/memberships" && !is_mine => {
                assert_eq!(answer.status, 400, "{cell}")
            }
            ("POST", false) => assert_eq!(answer.status, 201, "{cell}"),
            (_, false) => {
                assert_eq!(answer.status, 200, "{cell}");
                if route.method != "GET" {
                    return;
                }
                let shown = |id: &str| answer.text.contains(&format!("\"id\":\"{id}\""));
                let plans = route.pattern.ends_with("/plans");
                assert_eq!(shown(&self.closed), plans && is_mine, "{cell}");
                assert_eq!(shown(&self.mine), !plans && is_mine, "{cell}");
            }
        }
    }
}
