//! The cells of Amazon Pay: a client deals with its own payments, whoever else it may look after; a key that is bound to a program deals
//! with none.

use serde_json::{Value, json};

use super::{Holder, Route};
use crate::{
    pay::{charge_of, make},
    support::{Answer, App, seller},
};

/// A charge of mine with a refund, and a charge of theirs.
pub(super) struct Payments {
    consent: String,
    mine: String,
    theirs: String,
    refund: String,
}

impl Payments {
    pub(super) async fn make(app: &mut App, own: &str, foreign: &str) -> Self {
        let consent = seller::consent(&app.control, 1_000_000, "1111");
        let mut made = Vec::new();
        for key in [foreign, own] {
            app.key = key.to_owned();
            let charge = make(app, "/v1/pay/charges", "charge", &charge_of(&consent, "500")).await;
            assert_eq!(charge.status, 201, "{}", charge.text);
            made.push(charge.id().to_owned());
        }
        let [theirs, mine] = <[String; 2]>::try_from(made).unwrap();
        let back = json!({"charge_id": mine, "value": {"amount": "1", "currency_code": "JPY"}});
        let refund = make(app, "/v1/pay/refunds", "refund", &back).await.id().to_owned();
        Self { consent, mine, theirs, refund }
    }

    pub(super) fn named_by(&self, route: &Route) -> &str {
        if route.pattern.contains("/orders") || route.pattern.contains("/agreements") {
            &self.consent
        } else if route.pattern.contains("/refunds") {
            &self.refund
        } else {
            &self.mine
        }
    }

    pub(super) fn asked(&self, route: &Route) -> Value {
        let value = json!({"amount": "500", "currency_code": "JPY"});
        if route.pattern.ends_with("/buttons") {
            json!({"value": value, "result_url": "https://shop.example/done"})
        } else if route.pattern.ends_with("/complete") {
            json!({"value": value})
        } else if route.pattern.contains("/refunds") {
            json!({"charge_id": self.mine, "value": {"amount": "1", "currency_code": "JPY"}})
        } else if route.pattern.ends_with("/capture") {
            json!({})
        } else if route.pattern.ends_with("/cancel") {
            json!({"reason": "out of stock"})
        } else {
            charge_of(&self.consent, "500")
        }
    }

    pub(super) fn judge(&self, holder: Holder, route: &Route, answer: &Answer) {
        let cell = format!("{route} by {holder:?}: {} {}", answer.status, answer.text);
        if matches!(holder, Holder::Bound | Holder::Elsewhere) {
            return assert_eq!(answer.status, 403, "{cell}");
        }
        if route.pattern.contains("/page-config") || route.pattern.contains("/buttons") {
            return assert_eq!(answer.status, 200, "{cell}");
        }
        if route.pattern.contains("/checkout-sessions/") {
            return assert_eq!(answer.status, 404, "nobody opened one: {cell}");
        }
        let (named, is_mine) = (route.pattern.contains('{'), holder == Holder::Own);
        let expected = match (route.method.as_str(), named) {
            ("POST", _) if route.pattern.ends_with("/charges") => 201,
            // A consent is its account's: any client of the service may charge it. This one is to charges that recur.
            ("GET" | "HEAD", _) if route.pattern.contains("/agreements") => 200,
            ("GET" | "HEAD", _) if route.pattern.contains("/orders") => 404,
            // It was captured at once.
            ("POST", true) if is_mine => 409,
            ("POST", true) => 404,
            ("POST", _) => {
                if is_mine {
                    202
                } else {
                    400
                }
            }
            (_, true) => {
                if is_mine {
                    200
                } else {
                    404
                }
            }
            (_, false) => 200,
        };
        assert_eq!(answer.status, expected, "{cell}");
        if route.method == "GET" && !named {
            let shown = |id: &str| answer.text.contains(&format!("\"id\":\"{id}\""));
            let charges = route.pattern.ends_with("/charges");
            assert_eq!(shown(&self.mine), charges && is_mine, "{cell}");
            assert_eq!(shown(&self.theirs), charges && holder == Holder::Foreign, "{cell}");
            assert_eq!(shown(&self.refund), !charges && is_mine, "{cell}");
        }
    }
}
