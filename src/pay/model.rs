//! A payment as the rest of the program sees it, and the command that asks for one.

use super::kind::PaymentKind;
use crate::{
    engine::{Order, Stage, State},
    identity::Caller,
    kernel::{
        AmazonPayId, ApiKeyId, ClientId, Environment, IdempotencyKey, Intent, Money, PaymentId, PaymentKey,
        TraceContext,
    },
    provider::pay::DeclineKind,
    telemetry::trace::{self, Attribute},
};

/// What a caller asks for, checked for shape. Two requests under one key must carry equal commands.
#[derive(Debug, Clone)]
pub(crate) struct PaymentCommand {
    /// Names the intent together with the client.
    pub key: IdempotencyKey,
    /// What is to be made.
    pub make: Make,
    /// How much.
    pub value: Money,
    /// The API key that asks.
    pub asked_by: ApiKeyId,
    /// The caller's own reference.
    pub external_id: Option<String>,
    /// What Amazon's sandbox is to play.
    pub simulation: Option<String>,
}

/// What is to be made.
#[derive(Debug, Clone)]
pub(crate) enum Make {
    /// A charge.
    Charge {
        /// Which account is paid, when the caller says so.
        account: Option<String>,
        /// Amazon's id of what the buyer consented to.
        consent: AmazonPayId,
        /// Amazon may decide later.
        may_wait: bool,
    },
    /// A refund of this charge of ours.
    Refund(PaymentId),
}

/// The last refusal or doubt: Amazon's word for it, or ours where Amazon gave no usable answer.
pub(crate) type PayErrorCode = String;

/// One movement of a buyer's money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Payment {
    /// Names it to callers.
    pub id: PaymentId,
    /// Whose it is.
    pub client: ClientId,
    /// Fingerprint of (client, idempotency key).
    pub intent: Intent,
    /// The account that is paid, or pays back.
    pub account: String,
    /// Sandbox or production, as the account was when the payment was made.
    pub environment: Environment,
    /// Charge or refund.
    pub kind: PaymentKind,
    /// The key under which Amazon makes it at most once.
    pub pay_key: PaymentKey,
    /// Amazon's id of what it is made against: of a charge the consent, of a refund the charge.
    pub against: AmazonPayId,
    /// Of a refund: the charge.
    pub parent: Option<PaymentId>,
    /// How much.
    pub value: Money,
    /// The caller's own reference.
    pub external_id: Option<String>,
    /// Amazon may decide later.
    pub may_wait: bool,
    /// What Amazon's sandbox is asked to play.
    pub simulation: Option<String>,
    /// What the engine knows of it.
    pub order: Order,
    /// Amazon's id of it, once an answer showed one.
    pub remote_id: Option<AmazonPayId>,
    /// Why the money did not come.
    pub decline: Option<DeclineKind>,
    /// The last refusal or doubt.
    pub last_error: Option<PayErrorCode>,
    /// Rows of its timeline.
    pub events: i64,
    /// The request that it came from, for those who trace.
    pub trace: Option<TraceContext>,
}

impl Payment {
    /// The engine's word of where it stands.
    #[must_use]
    pub(crate) const fn state(&self) -> State {
        self.order.state()
    }

    /// The word for callers of where it stands: `planned`, `sent`, `unknown`, `pending`, the kind's own word for done, `declined`,
    /// `failed` or `needs_attention`.
    #[must_use]
    pub(crate) fn status(&self) -> &'static str {
        match self.order.stage {
            Stage::Pending => "planned",
            Stage::Sending(_) => "sent",
            // Amazon has named it, and decides later.
            Stage::Unproven(_) if self.remote_id.is_some() => "pending",
            Stage::Unproven(_) => "unknown",
            Stage::Proven(_) => self.kind.spec().done(),
            Stage::Refused { .. } if self.decline.is_some() => "declined",
            Stage::Refused { .. } | Stage::Reversed(_) => "failed",
            Stage::Reversing(_) | Stage::Attention(_) => "needs_attention",
        }
    }

    /// Whether this caller deals with it: its own client's, whatever else the key may see. A key that is bound to a program deals with that
    /// program's rewards alone.
    #[must_use]
    pub(crate) fn is_of_caller(&self, caller: &Caller) -> bool {
        caller.bound_to().is_none() && caller.client == self.client
    }

    /// The same payment with its order changed.
    #[must_use]
    pub(crate) fn with(&self, order: Order) -> Self {
        Self { order, ..self.clone() }
    }

    /// Says that the current span is about this payment, and links it to the request that the payment came from.
    pub(super) fn trace_on(&self) {
        trace::note(Attribute::State(self.status()));
        trace::link(self.trace);
    }

    /// Where this command is not the one that made the payment: the first member that differs, as a JSON Pointer into its body.
    #[must_use]
    pub(crate) fn differs_in(&self, command: &PaymentCommand) -> Option<&'static str> {
        let made = match &command.make {
            Make::Charge { account, consent, may_wait } => [
                ("", self.kind == PaymentKind::Charge),
                ("/consent_id", self.against == *consent),
                ("/account_id", account.as_ref().is_none_or(|account| *account == self.account)),
                ("/may_wait", self.may_wait == *may_wait),
            ],
            Make::Refund(charge) => [
                ("", self.kind == PaymentKind::Refund),
                ("/charge_id", self.parent == Some(*charge)),
                ("", true),
                ("", true),
            ],
        };
        let same = [
            ("/value", self.value == command.value),
            ("/external_id", self.external_id == command.external_id),
            ("/simulation", self.simulation == command.simulation),
        ];
        made.into_iter().chain(same).find(|(_pointer, same)| !same).map(|(pointer, _same)| pointer)
    }
}
