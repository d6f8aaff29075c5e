//! The answers of the gateway, and their form on the wire: shape and order of members as recorded.

mod format;
mod xml;

use chrono::{DateTime, Utc};
use hyper::StatusCode;
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::value::RawValue;

use self::xml::PrintError;
use super::activity::Page;
use super::errors::{AgcodError, REFUSAL_STATUS};
use super::fault::Operation;
use super::money;

pub(super) use self::format::Format;

const NAMESPACE: &str = "http://internal.amazon.com/coral/com.amazonaws.agcod/";

/// How an answer is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    pub(super) format: Format,
    /// The operation that was asked for, if there is one: the root of an XML answer has its name.
    pub(super) operation: Option<Operation>,
}

/// What a refusal repeats of its request.
#[derive(Clone, Debug)]
pub(super) struct Echo {
    pub(super) operation: Operation,
    pub(super) request_id: Option<String>,
    /// Amount and currency. Only a refusal that follows the check for missing members repeats them.
    pub(super) value: Option<(Decimal, String)>,
}

/// A card as an answer shows it.
#[derive(Clone, Debug)]
pub(super) struct CardAnswer {
    pub(super) request_id: String,
    pub(super) amount: Decimal,
    pub(super) currency: String,
    pub(super) card_status: String,
    pub(super) gc_id: String,
    pub(super) claim_code: Option<String>,
    pub(super) expiration: Option<String>,
}

/// An answer of the gateway, before it is printed.
#[derive(Clone, Debug)]
pub(super) enum GatewayAnswer {
    Card(Box<CardAnswer>),
    Canceled {
        request_id: String,
        gc_id: String,
    },
    Funds {
        amount: Decimal,
        currency: String,
        at: DateTime<Utc>,
    },
    /// A page of the activity report.
    Page(Box<Page>),
    /// The success of an operation that one kind of reward needs, as JSON.
    OfKind(Box<RawValue>),
    /// What Login with Amazon answers, or Amazon Pay, as JSON.
    Plain {
        status: StatusCode,
        /// The reason code of a refusal of Amazon Pay's.
        reason: Option<String>,
        json: Box<RawValue>,
    },
    Refused {
        refusal: AgcodError,
        echo: Box<Echo>,
    },
    /// `{"message": …}`: the front end answers before the service has seen the call.
    Front {
        status: StatusCode,
        exception: Option<&'static str>,
        message: String,
    },
    /// `{"Message": …}`: the layer that reads the body answers.
    Unread {
        status: StatusCode,
        message: Option<String>,
        /// The member that could not be read, for the log: as recorded, the answer does not name it.
        member: Option<String>,
    },
}

/// An answer as the bytes that are to be sent.
#[derive(Clone, Debug)]
pub(super) struct WireAnswer {
    pub(super) status: StatusCode,
    pub(super) content_type: &'static str,
    pub(super) exception: Option<&'static str>,
    pub(super) location: Option<String>,
    pub(super) body: Vec<u8>,
}

impl WireAnswer {
    pub(super) fn of(format: Format, status: StatusCode, body: Vec<u8>) -> Self {
        Self { status, content_type: format.content_type(), exception: None, location: None, body }
    }
}

impl GatewayAnswer {
    /// The error code and type of a refusal, for the record.
    pub(super) fn error(&self) -> (Option<String>, Option<String>) {
        match self {
            Self::Refused { refusal, .. } => (Some(refusal.code.to_string()), Some(refusal.error_type.to_string())),
            Self::Front { exception, .. } => (None, exception.map(str::to_owned)),
            Self::Plain { reason, .. } => (reason.clone(), None),
            Self::Card(_)
            | Self::Canceled { .. }
            | Self::Funds { .. }
            | Self::Page(_)
            | Self::OfKind(_)
            | Self::Unread { .. } => (None, None),
        }
    }

    /// What a refusal says to the caller.
    pub(super) fn message(&self) -> Option<&str> {
        match self {
            Self::Refused { refusal, .. } => Some(&refusal.message),
            Self::Front { message, .. } => Some(message),
            Self::Unread { message, .. } => message.as_deref(),
            Self::Card(_)
            | Self::Canceled { .. }
            | Self::Funds { .. }
            | Self::Page(_)
            | Self::OfKind(_)
            | Self::Plain { .. } => None,
        }
    }

    /// The member that could not be read, where the answer does not say what is wrong.
    pub(super) fn unread_member(&self) -> Option<&str> {
        match self {
            Self::Unread { member, .. } => member.as_deref(),
            Self::Card(_)
            | Self::Canceled { .. }
            | Self::Funds { .. }
            | Self::Page(_)
            | Self::OfKind(_)
            | Self::Refused { .. }
            | Self::Plain { .. }
            | Self::Front { .. } => None,
        }
    }

    /// The HTTP status.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Card(_) | Self::Canceled { .. } | Self::Funds { .. } | Self::Page(_) | Self::OfKind(_) => {
                StatusCode::OK
            }
            Self::Refused { .. } => REFUSAL_STATUS,
            Self::Plain { status, .. } | Self::Front { status, .. } | Self::Unread { status, .. } => *status,
        }
    }

    /// The answer as bytes.
    pub(super) fn reply(&self, manner: Manner) -> WireAnswer {
        let exception = match self {
            Self::Front { exception, .. } => *exception,
            Self::Card(_)
            | Self::Canceled { .. }
            | Self::Funds { .. }
            | Self::Page(_)
            | Self::OfKind(_)
            | Self::Plain { .. }
            | Self::Refused { .. }
            | Self::Unread { .. } => None,
        };
        match self.written(manner) {
            Ok(mut body) => {
                // Recorded answers end with a newline.
                body.push(b'\n');
                WireAnswer { exception, ..WireAnswer::of(manner.format, self.status(), body) }
            }
            Err(error) => {
                tracing::error!(%error, "the sandbox could not print an answer");
                WireAnswer::of(Format::Json, StatusCode::INTERNAL_SERVER_ERROR, b"{\"Message\":null}\n".to_vec())
            }
        }
    }

    fn written(&self, manner: Manner) -> Result<Vec<u8>, PrintError> {
        let json = self.body()?;
        match manner.format {
            Format::Json => Ok(json),
            Format::Xml => {
                let namespace = matches!(self, Self::Plain { .. }).then_some(super::mws::NAMESPACE);
                xml::printed_in(namespace, &self.root(manner.operation), &json)
            }
        }
    }

    /// The name of the root of an XML answer. The funds have it without `Response` in Amazon's document.
    fn root(&self, operation: Option<Operation>) -> String {
        match self {
            Self::Front { exception, .. } => exception.unwrap_or("Exception").to_owned(),
            Self::Unread { .. } => "SerializationException".to_owned(),
            Self::Plain { reason: Some(_), .. } => "ErrorResponse".to_owned(),
            Self::Funds { .. } => "GetAvailableFunds".to_owned(),
            Self::Card(_)
            | Self::Canceled { .. }
            | Self::Page(_)
            | Self::OfKind(_)
            | Self::Plain { .. }
            | Self::Refused { .. } => {
                format!("{}Response", operation.map_or("AGCOD", Operation::name))
            }
        }
    }

    fn body(&self) -> Result<Vec<u8>, serde_json::Error> {
        match self {
            Self::Card(card) => serde_json::to_vec(&CardBody::of(card)?),
            Self::Canceled { request_id, gc_id } => serde_json::to_vec(&CancelBody {
                __type: None,
                creation_request_id: Some(request_id),
                gc_id: Some(gc_id),
                status: "SUCCESS",
            }),
            Self::Funds { amount, currency, at } => serde_json::to_vec(&FundsBody {
                __type: None,
                available_funds: Some(ValueMember { amount: money::to_json_number(*amount)?, currency_code: currency }),
                status: "SUCCESS",
                timestamp: Some(at.format("%Y%m%dT%H%M%SZ").to_string()),
            }),
            Self::Page(page) => page.body(),
            Self::OfKind(json) | Self::Plain { json, .. } => Ok(json.get().as_bytes().to_vec()),
            Self::Refused { refusal, echo } => refused(refusal, echo),
            Self::Front { message, .. } => serde_json::to_vec(&serde_json::json!({ "message": message })),
            Self::Unread { message, .. } => serde_json::to_vec(&serde_json::json!({ "Message": message })),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ValueMember<'a> {
    amount: Box<RawValue>,
    currency_code: &'a str,
}

impl<'a> ValueMember<'a> {
    pub(super) fn of(amount: Decimal, currency_code: &'a str) -> Result<Self, serde_json::Error> {
        Ok(Self { amount: money::to_json_number(amount)?, currency_code })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CardInfoMember<'a> {
    card_number: Option<&'a str>,
    card_status: Option<&'a str>,
    expiration_date: Option<&'a str>,
    value: ValueMember<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CardBody<'a> {
    #[serde(rename = "__type", skip_serializing_if = "Option::is_none")]
    __type: Option<String>,
    card_info: Option<CardInfoMember<'a>>,
    creation_request_id: Option<&'a str>,
    gc_claim_code: Option<&'a str>,
    gc_expiration_date: Option<&'a str>,
    gc_id: Option<&'a str>,
    status: &'a str,
}

impl<'a> CardBody<'a> {
    fn of(card: &'a CardAnswer) -> Result<Self, serde_json::Error> {
        Ok(Self {
            __type: None,
            card_info: Some(CardInfoMember {
                card_number: None,
                card_status: Some(&card.card_status),
                expiration_date: None,
                value: ValueMember { amount: money::to_json_number(card.amount)?, currency_code: &card.currency },
            }),
            creation_request_id: Some(&card.request_id),
            gc_claim_code: card.claim_code.as_deref(),
            gc_expiration_date: card.expiration.as_deref(),
            gc_id: Some(&card.gc_id),
            status: "SUCCESS",
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CancelBody<'a> {
    #[serde(rename = "__type", skip_serializing_if = "Option::is_none")]
    __type: Option<String>,
    creation_request_id: Option<&'a str>,
    gc_id: Option<&'a str>,
    status: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FundsBody<'a> {
    #[serde(rename = "__type", skip_serializing_if = "Option::is_none")]
    __type: Option<String>,
    available_funds: Option<ValueMember<'a>>,
    status: &'a str,
    timestamp: Option<String>,
}

/// No refusal of the report, nor of an operation of one kind, was ever recorded. It has the form of the others, without members.
#[derive(Serialize)]
struct BareRefusedBody<'a> {
    __type: Option<String>,
    status: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RefusedBody<'a, B: Serialize> {
    agcod_response: B,
    error_code: &'a str,
    error_type: &'a str,
    message: &'a str,
}

fn refused(refusal: &AgcodError, echo: &Echo) -> Result<Vec<u8>, serde_json::Error> {
    let __type = Some(format!("{}Response:{NAMESPACE}", echo.operation.name()));
    let (creation_request_id, status) = (echo.request_id.as_deref(), refusal.status());
    match echo.operation {
        Operation::CreateGiftCard => {
            let card_info = match &echo.value {
                Some((amount, currency_code)) => Some(CardInfoMember {
                    card_number: None,
                    card_status: None,
                    expiration_date: None,
                    value: ValueMember { amount: money::to_json_number(*amount)?, currency_code },
                }),
                None => None,
            };
            let (gc_claim_code, gc_expiration_date, gc_id) = (None, None, None);
            let body =
                CardBody { __type, card_info, creation_request_id, gc_claim_code, gc_expiration_date, gc_id, status };
            wrapped(refusal, body)
        }
        Operation::CancelGiftCard => wrapped(refusal, CancelBody { __type, creation_request_id, gc_id: None, status }),
        Operation::GetAvailableFunds => {
            wrapped(refusal, FundsBody { __type, available_funds: None, status, timestamp: None })
        }
        Operation::GetGiftCardActivityPage
        | Operation::OfKind(_)
        | Operation::TokenInfo
        | Operation::UserProfile
        | Operation::Pay(_)
        | Operation::Mws(_) => wrapped(refusal, BareRefusedBody { __type, status }),
    }
}

fn wrapped<B: Serialize>(refusal: &AgcodError, agcod_response: B) -> Result<Vec<u8>, serde_json::Error> {
    let (error_code, error_type, message) = (&refusal.code, &refusal.error_type, &refusal.message);
    serde_json::to_vec(&RefusedBody { agcod_response, error_code, error_type, message })
}
