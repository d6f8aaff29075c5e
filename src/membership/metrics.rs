//! What is counted of memberships. No label names a member, a plan or a client.

use prometheus::{IntCounterVec, IntGaugeVec};
use strum::{IntoStaticStr, VariantArray};

use super::{
    Memberships,
    sql::{self, consents, periods},
    state::MembershipState,
};
use crate::{
    kernel::horizon,
    store::StoreError,
    telemetry::metrics::{Registry, at_zero},
};

/// What became of the charge of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(super) enum RenewalOutcome {
    Paid,
    DeclinedForNow,
    GraceOver,
    MethodDeclined,
    Refused,
    /// Amazon refused our account: the member has nothing to mend.
    HeldUp,
}

/// What became of the reward of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(super) enum RewardTurn {
    Issued,
    Later,
    Failed,
    Canceled,
    Kept,
}

/// What became of a consent that is to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(super) enum ClosingTurn {
    Closed,
    Later,
    /// It serves another membership.
    Dropped,
}

/// The states that are gauges: those of memberships that go on.
const GOING_ON: [MembershipState; 4] =
    [MembershipState::Active, MembershipState::PastDue, MembershipState::Suspended, MembershipState::Paused];

/// The metrics.
pub(crate) struct MembershipMetrics {
    renewals: IntCounterVec,
    rewards: IntCounterVec,
    closings: IntCounterVec,
    memberships: IntGaugeVec,
    overdue: IntGaugeVec,
    /// Without labels, and yet taken off the page when it is too old.
    failed: IntGaugeVec,
}

impl MembershipMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// When the registry has a metric of such a name.
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let renewals = registry.counter_vec(
            "membership_renewals_total",
            "Charges of membership periods that Amazon decided, by what became of them.",
            &["outcome"],
        )?;
        let rewards = registry.counter_vec(
            "membership_rewards_total",
            "Rewards of membership periods that were taken up, by what became of them.",
            &["outcome"],
        )?;
        let closings = registry.counter_vec(
            "membership_consents_total",
            "Consents of memberships that were ended, at each try to close them, by what became of it.",
            &["outcome"],
        )?;
        Ok(Self {
            closings: at_zero(closings, ClosingTurn::VARIANTS.iter().map(|one| [<&'static str>::from(*one)]))?,
            renewals: at_zero(renewals, RenewalOutcome::VARIANTS.iter().map(|one| [<&'static str>::from(*one)]))?,
            rewards: at_zero(rewards, RewardTurn::VARIANTS.iter().map(|one| [<&'static str>::from(*one)]))?,
            memberships: registry.int_gauge_vec("memberships", "Memberships that have not ended, by state.", &["state"])?,
            overdue: registry.int_gauge_vec(
                "membership_oldest_overdue_seconds",
                "For how long the oldest period is to be charged that was not declined, the oldest reward is under way, or the oldest consent is to be closed; 0 when there is none.",
                &["what"],
            )?,
            failed: registry.int_gauge_vec(
                "membership_rewards_failed",
                "Paid periods whose reward was refused for good: a person decides.",
                &[],
            )?,
        })
    }

    /// Amazon decided, and it is committed: what is not is decided, and counted, again.
    pub(super) fn renewed(&self, outcome: RenewalOutcome) {
        self.renewals.with_label_values(&[<&'static str>::from(outcome)]).inc();
    }

    pub(super) fn rewarded(&self, turn: RewardTurn) {
        self.rewards.with_label_values(&[<&'static str>::from(turn)]).inc();
    }
}

impl MembershipMetrics {
    pub(super) fn closed(&self, turn: ClosingTurn) {
        self.closings.with_label_values(&[<&'static str>::from(turn)]).inc();
    }
}

impl Memberships {
    /// Sets the gauges from the database.
    ///
    /// # Errors
    /// [`StoreError`] from the database; the gauges stay as they were.
    pub(crate) async fn publish(&self) -> Result<(), StoreError> {
        let (mut snapshot, now) = (self.store.snapshot().await?, self.ambient.now());
        let open = sql::open(&mut snapshot).await?;
        let (due, owed) = periods::oldest(&mut snapshot).await?;
        let (failed, closing) = (periods::failed(&mut snapshot).await?, consents::oldest(&mut snapshot).await?);
        for state in GOING_ON {
            let count = open.iter().find(|(counted, _count)| *counted == state).map_or(0, |(_state, count)| *count);
            self.metrics.memberships.with_label_values(&[state.as_str()]).set(count);
        }
        // What is held is owed since an instant that is to come.
        let owed = owed.filter(|since| *since <= now);
        for (what, since) in [("charge", due), ("reward", owed), ("consent", closing)] {
            let age = since.map_or(0, |since| horizon::age(since, now).num_seconds());
            self.metrics.overdue.with_label_values(&[what]).set(age);
        }
        self.metrics.failed.with_label_values::<&str>(&[]).set(failed);
        Ok(())
    }

    /// Takes these gauges off the page: what they show is too old.
    pub(crate) fn retract(&self) {
        self.metrics.memberships.reset();
        self.metrics.overdue.reset();
        self.metrics.failed.reset();
    }
}
