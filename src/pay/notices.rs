//! Notifications: what Amazon posts when something has changed there. One is a doorbell. It wakes the payment that it names, and what has
//! become of that is read at Amazon; whatever else it says is not believed, and not kept. One that is lost, or that comes before its payment is
//! known, is made good by the next look, which is due anyway.
//!
//! The order of the checks: form, topic, signature, seller, environment. The topic is before the signature, because for that a
//! certificate may be fetched: whoever does not know the account's topic makes us fetch nothing.

use chrono::{DateTime, TimeDelta, Utc};
use strum::{IntoStaticStr, VariantArray};

use super::{
    account::{NoticeGate, PayAccount},
    courier::PayCourier,
    sql::notices::{self, AskedSubscription, NewNotice, NewSubscription, NoticedPayment, TakenNotice},
};
use crate::{
    audit::{AuditAction, Deed, Scribe},
    failpoint,
    kernel::{PayNoticeId, PaySubscriptionId, PaymentId},
    provider::{
        pay::{NoticeKind, PayNotice},
        sns::{SnsKind, SnsMessage, SnsRefusal, SnsTopic},
    },
    store::{Committed, Store, StoreError, Tx},
};

/// How long a notification is kept. SNS repeats one for two weeks.
const KEPT: TimeDelta = TimeDelta::days(90);

/// What became of something that was posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum NoticeFate {
    /// It was written down, and woke what it names.
    Taken,
    /// It was taken before.
    Repeated,
    /// It is a sample, or of a kind that says nothing to us; it was written down.
    Ignored,
    /// SNS asks whether the endpoint is to be subscribed; an operator answers.
    Subscription,
    /// It is no notification.
    Malformed,
    /// Amazon did not send it for this account.
    Refused,
    /// Its certificate cannot be had now.
    Unreachable,
    /// It could not be written down.
    Failed,
}

impl NoticeFate {
    /// All of them.
    pub(super) const ALL: &'static [Self] = <Self as VariantArray>::VARIANTS;

    /// The word in metrics.
    pub(super) fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Why something that was posted was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotTaken {
    /// The account takes no notifications, or there is none.
    #[error("no notifications are taken")]
    NoGate,
    /// It is no notification.
    #[error("it is no notification: {0}")]
    Malformed(&'static str),
    /// Amazon did not send it for this account.
    #[error("it is refused: {0}")]
    Refused(&'static str),
    /// Nothing is known of it now. SNS sends it again.
    #[error("its certificate cannot be had now: {0}")]
    Unreachable(&'static str),
    /// The store. SNS sends it again.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl NotTaken {
    const fn fate(&self) -> Option<NoticeFate> {
        Some(match self {
            Self::NoGate => return None,
            Self::Malformed(_) => NoticeFate::Malformed,
            Self::Refused(_) => NoticeFate::Refused,
            Self::Unreachable(_) => NoticeFate::Unreachable,
            Self::Store(_) => NoticeFate::Failed,
        })
    }
}

impl From<SnsRefusal> for NotTaken {
    fn from(refusal: SnsRefusal) -> Self {
        match refusal {
            SnsRefusal::Malformed(why) => Self::Malformed(why),
            SnsRefusal::Forged(why) => Self::Refused(why),
            SnsRefusal::Unreachable(why) => Self::Unreachable(why),
        }
    }
}

/// Takes notifications. Cheap to clone.
#[derive(Clone)]
pub(crate) struct PayNotices {
    courier: PayCourier,
}

/// What a proven message asks for.
enum Proven {
    Notice(PayNotice),
    Subscription(String),
    /// Nothing.
    Nothing,
}

impl PayNotices {
    pub(super) const fn new(courier: PayCourier) -> Self {
        Self { courier }
    }

    /// Whether the account takes notifications.
    pub(crate) fn are_taken(&self, account: &str) -> bool {
        self.gate(account).is_some()
    }

    fn gate(&self, account: &str) -> Option<(&PayAccount, &NoticeGate)> {
        let account = self.courier.accounts.get(account)?;
        Some((account, account.notices.as_ref()?))
    }

    /// Takes what was posted for this account.
    ///
    /// # Errors
    /// [`NotTaken`]: it woke nothing.
    pub(crate) async fn take(&self, account: &str, body: &[u8]) -> Result<NoticeFate, NotTaken> {
        let taken = self.prove_and_write(account, body).await;
        let fate = taken.as_ref().map_or_else(NotTaken::fate, |fate| Some(*fate));
        if let Some(fate) = fate {
            self.courier.metrics.notified(account, fate);
        }
        taken
    }

    async fn prove_and_write(&self, account: &str, body: &[u8]) -> Result<NoticeFate, NotTaken> {
        let (account, gate) = self.gate(account).ok_or(NotTaken::NoGate)?;
        let message = gate.sns.read(body)?;
        if !gate.topic.is(message.topic.as_str(), message.topic.name()) {
            return Err(NotTaken::Refused("its topic is another"));
        }
        let now = self.courier.ambient.now();
        gate.sns.prove(&message, now).await?;
        let proven = of_account(&message, account, gate)?;
        failpoint::pass("notification", "before_commit");
        let mut tx = self.courier.store.begin_as("payment.notification").await?;
        let fate = self.write(&mut tx, &account.id, &message, proven, now).await?;
        let fate = tx.commit(fate).await.map(Committed::into_inner)?;
        failpoint::pass("notification", "after_commit");
        if fate == NoticeFate::Taken {
            self.courier.wake.notify_one();
        }
        Ok(fate)
    }

    /// One transaction: it is written down and wakes what it names, or neither.
    async fn write(
        &self,
        tx: &mut Tx,
        account: &str,
        message: &SnsMessage,
        proven: Proven,
        now: DateTime<Utc>,
    ) -> Result<NoticeFate, StoreError> {
        let row_id = self.courier.ambient.row_id(now).map_err(StoreError::from)?;
        let notice = match proven {
            Proven::Subscription(token) => {
                let (id, topic) = (PaySubscriptionId::new(row_id), message.topic.as_str());
                let asked = NewSubscription { id, account, message_id: message.id, topic, token: &token };
                let new = notices::subscribe(tx, asked, now).await?;
                return Ok(if new { NoticeFate::Subscription } else { NoticeFate::Repeated });
            }
            Proven::Notice(notice) => Some(notice),
            Proven::Nothing => None,
        };
        let id = PayNoticeId::new(row_id);
        let named = match &notice {
            Some(notice) => named(tx, account, notice).await?,
            None => Vec::new(),
        };
        let new = NewNotice {
            id,
            account,
            message_id: message.id,
            reference: notice.as_ref().map(|notice| notice.reference),
            kind: word(notice.as_ref().map_or(NoticeKind::Other, |notice| notice.kind)),
            object: notice.as_ref().and_then(|notice| notice.object.as_ref()),
            payment: named.first().map(|payment| payment.id),
        };
        if !notices::insert(tx, new, now).await? {
            return Ok(NoticeFate::Repeated);
        }
        notices::forget(tx, now.checked_sub_signed(KEPT).unwrap_or(now)).await?;
        match notice.as_ref().map(|notice| notice.kind) {
            None | Some(NoticeKind::Other) => return Ok(NoticeFate::Ignored),
            Some(NoticeKind::ChargeBack) => charge_back(tx, account, &named, id, now).await?,
            Some(NoticeKind::Charge | NoticeKind::Capture | NoticeKind::Refund | NoticeKind::Consent) => {
                for payment in &named {
                    notices::wake(tx, payment.id, now).await?;
                }
            }
        }
        Ok(NoticeFate::Taken)
    }
}

/// What a message that SNS signed asks for, if it is the account's.
fn of_account(message: &SnsMessage, account: &PayAccount, gate: &NoticeGate) -> Result<Proven, NotTaken> {
    match &message.kind {
        SnsKind::SubscriptionConfirmation(token) => return Ok(Proven::Subscription(token.clone())),
        SnsKind::UnsubscribeConfirmation => return Ok(Proven::Nothing),
        SnsKind::Notification => {}
    }
    let notice = PayNotice::read(&message.text).map_err(|why| NotTaken::Malformed(why.0))?;
    if notice.seller != gate.seller {
        return Err(NotTaken::Refused("its seller is another"));
    }
    if notice.environment.is_some_and(|environment| environment != account.environment) {
        return Err(NotTaken::Refused("its environment is another"));
    }
    Ok(Proven::Notice(notice))
}

const fn word(kind: NoticeKind) -> &'static str {
    match kind {
        NoticeKind::Charge => "charge",
        NoticeKind::Capture => "capture",
        NoticeKind::Refund => "refund",
        NoticeKind::Consent => "consent",
        NoticeKind::ChargeBack => "charge_back",
        NoticeKind::Other => "other",
    }
}

/// The account's payments that a notification names: by our key, which MWS repeats and which is there before Amazon's id is, by Amazon's id,
/// or by what the buyer consented to.
async fn named(tx: &mut Tx, account: &str, notice: &PayNotice) -> Result<Vec<NoticedPayment>, StoreError> {
    if let Some(key) = &notice.key {
        let found = notices::of_key(tx, account, key).await?;
        // A charge-back names one capture. Where that is not ours, none that is ours is meant.
        if !found.is_empty() || notice.kind == NoticeKind::ChargeBack {
            return Ok(found);
        }
    }
    match (notice.kind, &notice.object) {
        (NoticeKind::Consent, Some(consent)) => notices::open_of_consent(tx, account, consent).await,
        (NoticeKind::ChargeBack, object) => {
            let Some(consent) = &notice.consent else { return Ok(Vec::new()) };
            let taken = notices::taken_of_consent(tx, account, consent).await?;
            let order =
                object.as_ref().and_then(|object| object.as_str().rsplit_once('-')).map(|(order, _number)| order);
            Ok(taken_back(taken, order))
        }
        (NoticeKind::Charge | NoticeKind::Capture | NoticeKind::Refund, Some(id)) => {
            notices::of_remote(tx, account, id).await
        }
        (NoticeKind::Other, _) | (_, None) => Ok(Vec::new()),
    }
}

/// The one charge of a consent that a charge-back is of: the only one, or the only one of its order. Of several nobody knows which.
fn taken_back(mut taken: Vec<(PaymentId, String)>, order: Option<&str>) -> Vec<NoticedPayment> {
    if taken.len() > 1 {
        taken.retain(|(_id, remote)| remote.rsplit_once('-').map(|(of, _number)| of) == order);
    }
    match taken.as_slice() {
        [(id, _remote)] => vec![NoticedPayment { id: *id, parent: None, is_refund: false }],
        _ => Vec::new(),
    }
}

async fn charge_back(
    tx: &mut Tx,
    account: &str,
    named: &[NoticedPayment],
    id: PayNoticeId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let charge = named.iter().find(|payment| !payment.is_refund).map(|payment| payment.parent.unwrap_or(payment.id));
    match charge {
        Some(charge) => {
            if notices::charge_back(tx, account, charge, id, now).await? {
                tracing::warn!(payment.id = %charge, payment.account = account, "a buyer's bank takes a charge back");
            }
        }
        None => {
            tracing::error!(
                notification.id = %id, payment.account = account,
                "a charge-back names no charge that is known here: Seller Central shows which it is"
            );
        }
    }
    Ok(())
}

/// What was taken lately, and which subscriptions were asked for.
pub(crate) async fn list(store: &Store, most: i64) -> Result<(Vec<AskedSubscription>, Vec<TakenNotice>), StoreError> {
    let mut snapshot = store.snapshot().await?;
    Ok((notices::subscriptions(&mut snapshot).await?, notices::last(&mut snapshot, most).await?))
}

/// Why a subscription is not confirmed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotConfirmed {
    /// SNS did not ask for one under this id.
    #[error("SNS asked for no such subscription")]
    NotFound,
    /// The settings have changed since.
    #[error("the account takes no notifications of the topic {0}: see notification_topic")]
    OtherTopic(String),
    /// SNS does not confirm it.
    #[error(transparent)]
    Sns(#[from] SnsRefusal),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Confirms a subscription that SNS asked for. Once more is as good as once.
pub(crate) async fn confirm(
    store: &Store,
    id: PaySubscriptionId,
    gates: impl FnOnce(&str) -> Option<NoticeGate>,
    scribe: &Scribe,
    now: DateTime<Utc>,
) -> Result<(), NotConfirmed> {
    let asked = notices::subscriptions(&mut store.snapshot().await?).await?;
    let asked = asked.into_iter().find(|asked| asked.id == id).ok_or(NotConfirmed::NotFound)?;
    let other = || NotConfirmed::OtherTopic(asked.topic.clone());
    let topic = SnsTopic::parse(&asked.topic).ok_or_else(other)?;
    let gate = gates(&asked.account).filter(|gate| gate.topic.is(topic.as_str(), topic.name())).ok_or_else(other)?;
    gate.sns.confirm(&topic, &asked.token).await?;
    let mut tx = store.begin().await?;
    if notices::confirmed(&mut tx, id, now).await? {
        let details = serde_json::json!({"account": asked.account, "topic": asked.topic});
        let deed = Deed { action: AuditAction::SubscriptionConfirmed, subject: &id.to_string(), details };
        scribe.write(&mut tx, deed, now).await?;
    }
    tx.commit(()).await?;
    Ok(())
}
