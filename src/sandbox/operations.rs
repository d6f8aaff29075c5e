//! The operations: each checks the request in the order that was recorded of Amazon, and then changes or reads the
//! book.
//!
//! The checks come before the look-up of the id. So a replay whose amount is over the limit is refused although a card
//! of that id exists. As at Amazon, a refused replay does not prove that no card exists.

use hyper::StatusCode;
use rust_decimal::Decimal;

use super::PartnerAccount;
use super::activity::{ActivityType, Asked, NotAsked};
use super::answer::{CardAnswer, Echo, GatewayAnswer};
use super::book::{BookError, CancelOrder, Canceled, Card, CardState, Created, Product};
use super::errors::{self, AgcodError};
use super::fault::Operation;
use super::fields::{AmountMember, BadBody, Fields};
use super::market::{self, Market};
use super::members::CardMembers;
use super::mock::{self, Mock};
use super::world::World;

/// The longest `creationRequestId`.
pub(super) const REQUEST_ID_CHARACTERS_MAX: usize = 40;
/// A call whose signature holds.
pub(super) struct GatewayCall<'a> {
    pub(super) operation: Operation,
    /// The account that the signing key belongs to.
    pub(super) account: &'a PartnerAccount,
    pub(super) market: Market,
    pub(super) body: &'a [u8],
}

/// An answer, and whether the book changed.
pub(super) struct Done {
    pub(super) answer: GatewayAnswer,
    pub(super) real_op: bool,
}

impl From<GatewayAnswer> for Done {
    fn from(answer: GatewayAnswer) -> Self {
        Self { answer, real_op: false }
    }
}

/// Does a call's work. It never awaits, so nothing interrupts it between the look-up and the last byte of the book
/// file. Syncing the file blocks a worker thread, which a sandbox can afford: it must not answer before the sync.
pub(super) fn perform(world: &World, call: &GatewayCall<'_>) -> Done {
    let done = match call.operation {
        Operation::CreateGiftCard => create(world, call),
        Operation::CancelGiftCard => cancel(world, call),
        Operation::GetAvailableFunds => funds(world, call),
        Operation::GetGiftCardActivityPage => activity_page(world, call),
        Operation::OfKind(operation) => operation.perform(world, call),
        // The front answers them: they are no partner's.
        Operation::TokenInfo | Operation::UserProfile | Operation::Pay(_) | Operation::Mws(_) => {
            Err(GatewayAnswer::Unread { status: StatusCode::NOT_FOUND, message: None, member: None })
        }
    };
    let done = done.unwrap_or_else(Done::from);
    let listed = match call.operation {
        Operation::CreateGiftCard => Some(ActivityType::GCCreation),
        Operation::CancelGiftCard => Some(ActivityType::GCCancellation),
        Operation::OfKind(operation) => operation.listed(),
        Operation::GetAvailableFunds
        | Operation::GetGiftCardActivityPage
        | Operation::TokenInfo
        | Operation::UserProfile
        | Operation::Pay(_)
        | Operation::Mws(_) => None,
    };
    if let Some(listed) = listed {
        let outcome = (&done.answer, done.real_op);
        world.journal.note(&call.account.partner_id, listed, call.body, outcome, world.clock.now());
    }
    done
}

/// The currency that an account's cards have.
fn currency_of(account: &PartnerAccount, market: Market) -> &str {
    account.currency.as_deref().unwrap_or_else(|| market.group.currency())
}

/// The members of a complete create.
struct CardOrder {
    request_id: String,
    value: OrderedValue,
    members: CardMembers,
}

/// What a card is to be worth.
pub(super) struct OrderedValue {
    pub(super) amount: Decimal,
    pub(super) currency: String,
}

fn create(world: &World, call: &GatewayCall<'_>) -> Result<Done, GatewayAnswer> {
    let mut echo = Echo { operation: call.operation, request_id: None, value: None };
    let fields = Fields::read(call.body).map_err(|bad| unread(bad, &echo))?;
    if let Some(answer) = mocked_refusal(call, &fields, &echo)? {
        return Ok(answer.into());
    }
    let order = read_order(call, &fields, &mut echo)?;
    let now = world.clock.now();
    if order.request_id == "F0000" {
        return Ok(mocked_card(order).into());
    }
    check_value(call, &order.value).map_err(|refusal| refused(refusal, &echo))?;
    let wanted = Card {
        partner_id: call.account.partner_id.clone(),
        creation_request_id: order.request_id,
        gc_id: world.chance.gc_id(&order.value.currency),
        claim_code: world.chance.claim_code(),
        amount: order.value.amount,
        currency: order.value.currency,
        state: CardState::Live,
        created_at: now,
        canceled_at: None,
        product: Product::GiftCode,
        members: order.members,
    };
    match world.book.create(wanted).map_err(|error| unbooked(&error, &echo))? {
        Created::New(card) => Ok(Done { answer: GatewayAnswer::Card(Box::new(shown(card))), real_op: true }),
        Created::Existing(card) if card.product == Product::GiftCode => {
            Ok(GatewayAnswer::Card(Box::new(shown(card))).into())
        }
        // An activation has this id.
        Created::Existing(_) | Created::Taken => Err(refused(errors::OPERATION_NOT_PERMITTED, &echo)),
        Created::InsufficientFunds => Err(refused(errors::INSUFFICIENT_FUNDS, &echo)),
    }
}

/// Reads the body and checks for missing members. These refusals repeat no value.
fn read_order(call: &GatewayCall<'_>, fields: &Fields, echo: &mut Echo) -> Result<CardOrder, GatewayAnswer> {
    let value = fields.object("value").map_err(|bad| unread(bad, echo))?;
    let (amount, currency) = match &value {
        Some(value) => (value.amount("amount"), value.text("currencyCode")),
        None => (Ok(AmountMember::Absent), Ok(None)),
    };
    let amount = match amount.map_err(|bad| unread(bad, echo))? {
        AmountMember::Number(amount) => Some(amount),
        AmountMember::Absent => None,
        AmountMember::Null => return Err(unread(BadBody::MalformedValue("amount".to_owned()), echo)),
    };
    let currency = currency.map_err(|bad| unread(bad, echo))?;
    demand_partner(call.account, fields, echo)?;
    let request_id = fields.text("creationRequestId").map_err(|bad| unread(bad, echo))?;
    let Some(request_id) = request_id else { return Err(refused(errors::INVALID_REQUEST_ID_INPUT, echo)) };
    echo.request_id = Some(request_id.clone());
    if let Err(refusal) = demand_request_id(call.account, &request_id) {
        // As recorded, the refusal of an id repeats the value, if the request has one.
        echo.value = amount.zip(currency);
        return Err(refused(refusal, echo));
    }
    let Some(amount) = amount else { return Err(refused(errors::INVALID_AMOUNT_INPUT, echo)) };
    if amount <= Decimal::ZERO {
        return Err(refused(errors::INVALID_AMOUNT_VALUE, echo));
    }
    let Some(currency) = currency else { return Err(refused(errors::INVALID_CURRENCY_CODE_INPUT, echo)) };
    echo.value = Some((amount, currency.clone()));
    let members = CardMembers::read(fields, &call.account.terms, echo)?;
    Ok(CardOrder { request_id, value: OrderedValue { amount, currency }, members })
}

pub(super) fn demand_request_id(account: &PartnerAccount, request_id: &str) -> Result<(), AgcodError> {
    if Mock::of(request_id).is_some() {
        Ok(())
    } else if request_id.chars().count() > REQUEST_ID_CHARACTERS_MAX {
        Err(errors::REQUEST_ID_TOO_LONG)
    } else if !request_id.starts_with(&account.partner_id) {
        Err(errors::REQUEST_ID_MUST_START_WITH_PARTNER_NAME)
    } else {
        Ok(())
    }
}

/// Checks what the marketplace and the account allow.
pub(super) fn check_value(call: &GatewayCall<'_>, value: &OrderedValue) -> Result<(), AgcodError> {
    let currency = value.currency.as_str();
    if call.market.named_by_host && !call.market.group.currencies().contains(&currency) {
        return Err(errors::INVALID_CURRENCY_IN_MARKETPLACE);
    }
    if currency != currency_of(call.account, call.market) {
        return Err(errors::CURRENCY_CODE_MISMATCH);
    }
    if value.amount.normalize().scale() > market::fraction_digits(currency) {
        return Err(errors::FRACTIONAL_AMOUNT_NOT_ALLOWED);
    }
    let terms = &call.account.terms;
    if value.amount < terms.minimum.unwrap_or_else(|| market::amount_min(currency)) {
        return Err(errors::AMOUNT_BELOW_MIN_THRESHOLD);
    }
    // Documented as F200 `MaxAmountExceeded` (and mocked so). One recording of 2014 shows F300 `OperationNotPermitted`.
    if value.amount > terms.maximum.unwrap_or_else(|| market::amount_max(currency)) {
        return Err(errors::MAX_AMOUNT_EXCEEDED);
    }
    Ok(())
}

fn cancel(world: &World, call: &GatewayCall<'_>) -> Result<Done, GatewayAnswer> {
    let mut echo = Echo { operation: call.operation, request_id: None, value: None };
    let fields = Fields::read(call.body).map_err(|bad| unread(bad, &echo))?;
    if let Some(answer) = mocked_refusal(call, &fields, &echo)? {
        return Ok(answer.into());
    }
    demand_partner(call.account, &fields, &echo)?;
    let request_id = fields.text("creationRequestId").map_err(|bad| unread(bad, &echo))?;
    let Some(request_id) = request_id else { return Err(refused(errors::INVALID_REQUEST_ID_INPUT, &echo)) };
    if request_id == "F0000" {
        return Ok(GatewayAnswer::Canceled { request_id, gc_id: mock::GC_ID.to_owned() }.into());
    }
    echo.request_id = Some(request_id.clone());
    let gc_id = fields.text("gcId").map_err(|bad| unread(bad, &echo))?;
    let (partner_id, product) = (&call.account.partner_id, Product::GiftCode);
    let request = CancelOrder { partner_id, request_id: &request_id, product, gc_id: gc_id.as_deref() };
    let canceled = world.book.cancel(request, world.clock.now());
    let (card, real_op) = match canceled.map_err(|error| unbooked(&error, &echo))? {
        Canceled::Now(card) => (card, true),
        Canceled::Already(card) => (card, false),
        Canceled::Unknown => return Err(refused(errors::OPERATION_NOT_PERMITTED, &echo)),
        Canceled::WrongGcId => return Err(refused(errors::INVALID_GC_ID_INPUT, &echo)),
        Canceled::TooLate => return Err(refused(errors::CANCEL_REQUEST_ARRIVED_AFTER_TIME_LIMIT, &echo)),
    };
    Ok(Done { answer: GatewayAnswer::Canceled { request_id, gc_id: card.gc_id }, real_op })
}

fn funds(world: &World, call: &GatewayCall<'_>) -> Result<Done, GatewayAnswer> {
    let echo = Echo { operation: call.operation, request_id: None, value: None };
    let fields = Fields::read(call.body).map_err(|bad| unread(bad, &echo))?;
    demand_partner(call.account, &fields, &echo)?;
    let currency = currency_of(call.account, call.market).to_owned();
    let amount = world.book.funds(&call.account.partner_id, &currency).map_err(|error| unbooked(&error, &echo))?;
    Ok(GatewayAnswer::Funds { amount, currency, at: world.clock.now() }.into())
}

fn activity_page(world: &World, call: &GatewayCall<'_>) -> Result<Done, GatewayAnswer> {
    let echo = Echo { operation: call.operation, request_id: None, value: None };
    let fields = Fields::read(call.body).map_err(|bad| unread(bad, &echo))?;
    demand_partner(call.account, &fields, &echo)?;
    let asked = Asked::read(&fields).map_err(|not_asked| match not_asked {
        NotAsked::Body(bad) => unread(bad, &echo),
        NotAsked::Refused(refusal) => refused(refusal, &echo),
    })?;
    let page = world.journal.page(&call.account.partner_id, &asked).map_err(|refusal| refused(refusal, &echo))?;
    Ok(GatewayAnswer::Page(Box::new(page)).into())
}

pub(super) fn demand_partner(account: &PartnerAccount, fields: &Fields, echo: &Echo) -> Result<(), GatewayAnswer> {
    match fields.text("partnerId").map_err(|bad| unread(bad, echo))? {
        Some(partner_id) if partner_id == account.partner_id => Ok(()),
        Some(_) => Err(refused(errors::INVALID_PARTNER_ID, echo)),
        None => Err(refused(errors::INVALID_PARTNER_ID_INPUT, echo)),
    }
}

/// The refusal of a mock id. It checks only the partner, and repeats nothing of its request.
pub(super) fn mocked_refusal(
    call: &GatewayCall<'_>,
    fields: &Fields,
    echo: &Echo,
) -> Result<Option<GatewayAnswer>, GatewayAnswer> {
    let request_id = fields.text(call.operation.request_id()).map_err(|bad| unread(bad, echo))?;
    match request_id.as_deref().and_then(Mock::of) {
        Some(Mock::Refused(refusal)) => {
            demand_partner(call.account, fields, echo)?;
            Ok(Some(refused(refusal, echo)))
        }
        Some(Mock::Success) | None => Ok(None),
    }
}

fn mocked_card(order: CardOrder) -> GatewayAnswer {
    GatewayAnswer::Card(Box::new(CardAnswer {
        request_id: order.request_id,
        amount: order.value.amount,
        currency: order.value.currency,
        card_status: "Fulfilled".to_owned(),
        gc_id: mock::GC_ID.to_owned(),
        claim_code: Some(mock::CLAIM_CODE.to_owned()),
        expiration: None,
    }))
}

fn shown(card: Card) -> CardAnswer {
    let card_status = match card.state {
        CardState::Live => "Fulfilled",
        CardState::Refunded => "RefundedToPurchaser",
    };
    CardAnswer {
        expiration: market::expiration(&card.currency, card.created_at),
        request_id: card.creation_request_id,
        amount: card.amount,
        currency: card.currency,
        card_status: card_status.to_owned(),
        gc_id: card.gc_id,
        claim_code: Some(card.claim_code),
    }
}

pub(super) fn refused(refusal: AgcodError, echo: &Echo) -> GatewayAnswer {
    GatewayAnswer::Refused { refusal, echo: Box::new(echo.clone()) }
}

/// The answer to a body that could not be read.
pub(super) fn unread(bad: BadBody, echo: &Echo) -> GatewayAnswer {
    let (message, member) = match bad {
        BadBody::Null => return refused(errors::INVALID_REQUEST_INPUT, echo),
        BadBody::NotJson => (Some("The request body could not be parsed as JSON".to_owned()), None),
        BadBody::NotXml => (Some("The request body could not be parsed as XML".to_owned()), None),
        BadBody::Unexpected(message) => (Some(message), None),
        BadBody::MalformedValue(member) => (None, Some(member)),
    };
    GatewayAnswer::Unread { status: StatusCode::BAD_REQUEST, message, member }
}

/// The answer when the sandbox itself failed: Amazon's own "internal error". The book is unchanged.
pub(super) fn unbooked(error: &BookError, echo: &Echo) -> GatewayAnswer {
    tracing::error!(error = %chain(error), "the sandbox could not change its book");
    refused(errors::GENERAL_ERROR_F100, echo)
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
