//! A payment as the rest of the program sees it, and the command that asks for one.

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    answer::PaymentAnswer,
    kind::{CaptureStatus, PaymentKind, PaymentSpec},
    kinds,
};
use crate::{
    engine::{Order, Rules, Stage, State},
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
    /// A charge whose money Amazon holds until it is captured or given back. As with a charge.
    Hold {
        /// Which account is paid, when the caller says so.
        account: Option<String>,
        /// Amazon's id of what the buyer consented to.
        consent: AmazonPayId,
        /// Amazon may decide later.
        may_wait: bool,
    },
}

/// When it is looked whether Amazon still holds the money, where no answer said how long it does.
const LOOK_AFTER: TimeDelta = TimeDelta::days(2);

/// What is known of the money that a charge holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct HeldSum {
    /// How its capture stands; `None` where nothing was taken and nothing is being taken.
    pub capture: Option<CaptureStatus>,
    /// What was taken, or is being taken.
    pub captured_minor: Option<i64>,
    /// When Amazon gives back by itself what it holds, where an answer said so.
    pub expires_at: Option<DateTime<Utc>>,
    /// When Amazon is asked next whether it still holds it.
    pub look_at: Option<DateTime<Utc>>,
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
    /// Of a charge whose money is held until it is captured or given back: what is known of that.
    pub holding: Option<HeldSum>,
    /// Of a charge: since when a notification says that the buyer's bank takes it back.
    pub charged_back_at: Option<DateTime<Utc>>,
}

impl Payment {
    /// The engine's word of where it stands.
    #[must_use]
    pub(crate) const fn state(&self) -> State {
        self.order.state()
    }

    /// The word for callers of where it stands: `planned`, `sent`, `unknown`, `pending`, the kind's own word for done, `declined`,
    /// `failed` or `needs_attention`; and of held money `authorized`, `capturing`, `paid`, `voiding` or `voided`.
    #[must_use]
    pub(crate) fn status(&self) -> &'static str {
        let is_held = self.holding.is_some();
        match self.order.stage {
            Stage::Sending(_) | Stage::Unproven(_) | Stage::Reversing(_) if self.order.stage.reversal_wanted() => {
                "voiding"
            }
            Stage::Pending => "planned",
            Stage::Sending(_) => "sent",
            // Amazon has named it, and decides later.
            Stage::Unproven(_) if self.remote_id.is_some() => "pending",
            Stage::Unproven(_) => "unknown",
            Stage::Proven(_) => match self.capture() {
                Some(capture) => capture.as_str(),
                None => self.spec().done(),
            },
            Stage::Reversed(_) if is_held => "voided",
            Stage::Refused { .. } if self.decline.is_some() => "declined",
            Stage::Refused { .. } | Stage::Reversed(_) => "failed",
            Stage::Reversing(_) | Stage::Attention(_) => "needs_attention",
        }
    }

    /// How its capture stands.
    pub(crate) fn capture(&self) -> Option<CaptureStatus> {
        self.holding.and_then(|holding| holding.capture)
    }

    /// What a charge took of the buyer's money, once it has.
    #[must_use]
    pub(crate) fn taken(&self) -> Option<Money> {
        if self.kind != PaymentKind::Charge || !matches!(self.order.stage, Stage::Proven(_)) {
            return None;
        }
        let Some(holding) = self.holding else { return Some(self.value) };
        let minor = holding.captured_minor.filter(|_minor| holding.capture == Some(CaptureStatus::Paid));
        minor.map(|minor| Money::from_minor(minor, self.value.currency()))
    }

    /// Whether a charge that has not taken the buyer's money may still take it.
    pub(crate) fn may_be_paid(&self) -> bool {
        match self.order.stage {
            Stage::Pending | Stage::Sending(_) | Stage::Unproven(_) => !self.order.stage.reversal_wanted(),
            Stage::Proven(_) => self.capture() != Some(CaptureStatus::Declined),
            Stage::Attention(_) => true,
            Stage::Reversing(_) | Stage::Reversed(_) | Stage::Refused { .. } => false,
        }
    }

    /// How Amazon is called for it.
    pub(super) const fn spec(&self) -> &'static dyn PaymentSpec {
        match self.kind {
            PaymentKind::Charge if self.holding.is_some() => &kinds::authorization::HeldCharge,
            PaymentKind::Charge => &kinds::charge::Charge,
            PaymentKind::Refund => &kinds::refund::Refund,
            PaymentKind::Capture => &kinds::capture::Capture,
        }
    }

    /// The rules that the engine carries it by.
    pub(super) const fn rules(&self) -> &'static Rules {
        PaymentKind::rules(self.remote_id.is_some(), self.holding.is_some())
    }

    /// Whether Amazon refused the account or its key, whatever was asked for.
    #[must_use]
    pub(crate) fn is_refused_for_the_account(&self) -> bool {
        const OF_ACCOUNT: [&str; 5] = [
            "UnauthorizedAccess",
            "InvalidAuthentication",
            "InvalidAccountStatus",
            "InvalidRequestSignature",
            "InvalidAuthorizationToken",
        ];
        self.decline.is_none() && self.last_error.as_deref().is_some_and(|error| OF_ACCOUNT.contains(&error))
    }

    /// Whether this caller deals with it: its own client's, whatever else the key may see. A key that is bound to a program deals with that
    /// program's rewards alone.
    #[must_use]
    pub(crate) fn is_of_caller(&self, caller: &Caller) -> bool {
        caller.bound_to().is_none() && caller.client == self.client
    }

    /// Takes over what the answer shows beside its event.
    pub(super) fn learn(&mut self, answer: &PaymentAnswer) {
        if self.remote_id.is_none() {
            self.remote_id.clone_from(&answer.remote_id);
        }
        // What is done has no error, and what waits for a decision has the last doubt.
        let done = matches!(self.order.stage, Stage::Proven(_));
        self.last_error = answer.error.filter(|_error| !done).map(str::to_owned);
        self.decline = answer.decline.filter(|_decline| matches!(self.order.stage, Stage::Refused { .. }));
        if let Some(holding) = &mut self.holding {
            holding.expires_at = answer.expires_at.or(holding.expires_at);
        }
    }

    /// Writes down when Amazon is asked next whether it still holds the money: what it gives back by itself, nobody reports for sure.
    pub(super) fn plan_look(&mut self, now: DateTime<Utc>) {
        let proven = matches!(self.order.stage, Stage::Proven(_));
        if let Some(holding) = &mut self.holding {
            let expires_at = holding.expires_at.unwrap_or_else(|| now.checked_add_signed(LOOK_AFTER).unwrap_or(now));
            let planned = holding.look_at.unwrap_or(expires_at);
            holding.look_at = (proven && holding.capture.is_none()).then_some(planned);
        }
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
            Make::Charge { account, consent, may_wait } | Make::Hold { account, consent, may_wait } => [
                ("", self.kind == PaymentKind::Charge),
                ("/consent_id", self.against == *consent),
                ("/account_id", account.as_ref().is_none_or(|account| *account == self.account)),
                ("/may_wait", self.may_wait == *may_wait),
                ("/capture", self.holding.is_none() == matches!(command.make, Make::Charge { .. })),
            ],
            Make::Refund(charge) => [
                ("", self.kind == PaymentKind::Refund),
                ("/charge_id", self.parent == Some(*charge)),
                ("", true),
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
