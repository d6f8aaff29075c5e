//! Amazon Pay by MWS, the generation before Checkout v2, on the gateway's own port: order references, billing agreements,
//! authorizations, captures and refunds, as the two guides describe them. It shares no code with `src/provider/`.
//!
//! No browser and no buyer is here: the control port makes orders and agreements, agrees, suspends, mends and closes as the buyer and the
//! bank would. Sellers, and all that they made, are forgotten when the sandbox stops.
//!
//! Where Amazon says nothing, the code names its choice.

mod action;
mod book;
mod form;
mod objects;
mod rates;
mod refusal;
mod sellers;
mod shown;
mod signature;
mod simulation;

use chrono::{DateTime, Utc};
use hyper::StatusCode;
use serde_json::{Value, json};

pub use self::action::MwsAction;
pub use self::book::{
    MwsBuyerAct, NewMwsAgreement, NewMwsOrder, ShownMwsAuthorization, ShownMwsCapture, ShownMwsConsent, ShownMwsRefund,
};
pub use self::sellers::{NewMwsSeller, ShownMwsSeller};

pub(super) use self::refusal::MwsRefused;

use self::book::MwsBook;
use self::form::MwsForm;
use self::rates::Rates;
use self::sellers::Sellers;
use super::chance::Chance;
use super::clock::Clock;

/// The path of the sandbox's API. Without a slash at the end: one would be signed.
const PATH: &str = "/OffAmazonPayments_Sandbox/2013-01-01";
/// The namespace of its answers.
pub(super) const NAMESPACE: &str = "http://mws.amazonservices.com/schema/OffAmazonPayments/2013-01-01";

/// All that the sandbox knows of MWS.
#[derive(Default)]
pub(super) struct MwsOffice {
    pub(super) sellers: Sellers,
    pub(super) book: MwsBook,
    rates: Rates,
}

/// A request for MWS, as it arrived.
pub(super) struct MwsArrival {
    pub(super) path: String,
    pub(super) host: String,
    pub(super) is_post: bool,
    pub(super) body: String,
}

/// What is known of a request whose signature holds.
#[derive(Clone, Debug)]
pub(super) struct MwsAdmitted {
    pub(super) action: MwsAction,
    pub(super) seller_id: String,
    form: MwsForm,
}

/// An answer: its status, and its elements.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct MwsAnswer {
    pub(super) status: StatusCode,
    pub(super) elements: Value,
    /// The code, where it is a refusal.
    pub(super) code: Option<String>,
}

/// Whether a path is one of MWS, of either environment: that of the live one is refused by name.
pub(super) fn is_mws(path: &str) -> bool {
    path.starts_with("/OffAmazonPayments")
}

impl MwsArrival {
    /// What the request is called in the log.
    pub(super) fn name(&self) -> String {
        self.value("Action").unwrap_or_else(|| self.path.trim_matches('/').chars().take(64).collect())
    }

    /// What fault rules and the log know it by: our reference id, or the object that it is about.
    pub(super) fn request_id(&self) -> Option<String> {
        let names = [
            "AuthorizationReferenceId",
            "CaptureReferenceId",
            "RefundReferenceId",
            "AmazonAuthorizationId",
            "AmazonCaptureId",
            "AmazonRefundId",
            "AmazonOrderReferenceId",
            "AmazonBillingAgreementId",
        ];
        names.into_iter().find_map(|name| self.value(name))
    }

    pub(super) fn seller_id(&self) -> Option<String> {
        self.value("SellerId")
    }

    fn value(&self, name: &str) -> Option<String> {
        MwsForm::read(&self.body).ok()?.text(name).map(str::to_owned)
    }
}

impl MwsOffice {
    /// The order of the checks is: path, form, signature, operation, rate.
    pub(super) fn admit(&self, arrival: &MwsArrival, clock: &Clock, throttle: bool) -> Result<MwsAdmitted, MwsRefused> {
        if arrival.path != PATH || !arrival.is_post {
            // As the guide has it of an id that is sent to the other environment.
            return Err(MwsRefused::of(500, "InternalServerError", "the path is of no operation of the sandbox"));
        }
        let form = MwsForm::read(&arrival.body)?;
        let seller_id = signature::verify(arrival, &form, &self.sellers, clock.signature_now())?;
        let action = form.need("Action")?;
        let action = MwsAction::named(action)
            .ok_or_else(|| MwsRefused::of(400, "InvalidParameterValue", format!("there is no operation {action}")))?;
        if throttle && !self.rates.admits(&seller_id, action, Clock::monotonic()) {
            return Err(MwsRefused::throttled());
        }
        Ok(MwsAdmitted { action, seller_id, form })
    }

    /// Does the call's work.
    pub(super) fn perform(&self, admitted: &MwsAdmitted, now: DateTime<Utc>, chance: &Chance) -> MwsAnswer {
        let MwsAdmitted { action, seller_id, form } = admitted;
        match self.book.perform(seller_id, *action, form, now, chance) {
            Ok(result) => {
                let name = action.name();
                let metadata = json!({ "RequestId": chance.request_id() });
                let mut elements = serde_json::Map::new();
                elements.insert(format!("{name}Result"), result);
                elements.insert("ResponseMetadata".to_owned(), metadata);
                MwsAnswer { status: StatusCode::OK, elements: Value::Object(elements), code: None }
            }
            Err(refused) => refused.answer(),
        }
    }
}
