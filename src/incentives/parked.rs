//! Due rewards whose row cannot be read or written. They rest, longer each time, so that the others go on; an alert and the
//! log name them.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, TimeDelta, Utc};

use crate::kernel::{RewardId, rest::DoublingRest};

/// How long a reward rests.
const REST: DoublingRest = DoublingRest { first: TimeDelta::minutes(1), longest: TimeDelta::minutes(15) };
/// How long after its rest a parked reward still counts. If nobody has taken it up again in this process by then, another
/// replica has.
const FORGOTTEN_AFTER: TimeDelta = TimeDelta::minutes(2);

/// What this process has parked.
#[derive(Default)]
pub(super) struct Parked(Mutex<HashMap<RewardId, Rest>>);

struct Rest {
    account: String,
    times: u32,
    until: DateTime<Utc>,
    /// The row does not say so.
    stuck: bool,
}

impl Rest {
    /// Whether the rest lasts, with this much on top. What a clock wrote while it was ahead is not waited for.
    fn lasts(&self, now: DateTime<Utc>, more: TimeDelta) -> bool {
        let left = self.until.signed_duration_since(now);
        left > -more && left <= REST.longest
    }
}

impl Parked {
    fn resting(&self) -> MutexGuard<'_, HashMap<RewardId, Rest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Parks a reward; answers until when.
    pub(super) fn rest(&self, id: RewardId, account: &str, now: DateTime<Utc>) -> DateTime<Utc> {
        let mut resting = self.resting();
        let rest =
            resting.entry(id).or_insert(Rest { account: account.to_owned(), times: 0, until: now, stuck: false });
        rest.times = rest.times.saturating_add(1);
        rest.until = now.checked_add_signed(REST.after(rest.times)).unwrap_or(now);
        rest.until
    }

    /// Its row could not be made to say so: it is passed over by name.
    pub(super) fn stick(&self, id: RewardId) {
        if let Some(rest) = self.resting().get_mut(&id) {
            rest.stuck = true;
        }
    }

    /// Those that are to be passed over by name.
    pub(super) fn stuck(&self, now: DateTime<Utc>) -> Vec<RewardId> {
        let resting = self.resting();
        let stuck = resting.iter().filter(|(_id, rest)| rest.stuck && rest.lasts(now, TimeDelta::zero()));
        stuck.map(|(id, _rest)| *id).collect()
    }

    /// They could be taken up.
    pub(super) fn forget(&self, ids: impl Iterator<Item = RewardId>) {
        let mut resting = self.resting();
        for id in ids {
            resting.remove(&id);
        }
    }

    /// How many rewards of an account rest.
    pub(super) fn count(&self, account: &str, now: DateTime<Utc>) -> usize {
        let mut resting = self.resting();
        resting.retain(|_id, rest| rest.lasts(now, FORGOTTEN_AFTER));
        resting.values().filter(|rest| rest.account == account).count()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_row_that_cannot_be_written_rests_longer_each_time_and_up_to_a_quarter_of_an_hour() {
        let (parked, id) = (Parked::default(), RewardId::new(Uuid::from_u128(1)));
        let mut now = DateTime::UNIX_EPOCH;
        let mut rests = Vec::new();
        for _time in 0..6 {
            let until = parked.rest(id, "main", now);
            rests.push(until.signed_duration_since(now).num_minutes());
            parked.stick(id);
            assert_eq!((parked.stuck(now).len(), parked.count("main", now), parked.count("other", now)), (1, 1, 0));
            now = until;
            assert!(parked.stuck(now).is_empty(), "its turn comes again");
            assert_eq!(parked.count("main", now), 1);
        }
        assert_eq!(rests, [1, 2, 4, 8, 15, 15]);
        parked.forget([id].into_iter());
        assert_eq!(parked.count("main", now), 0);
    }

    #[test]
    fn a_rest_that_a_clock_ahead_wrote_is_not_waited_for() {
        let (parked, id, now) = (Parked::default(), RewardId::new(Uuid::from_u128(1)), DateTime::UNIX_EPOCH);
        parked.rest(id, "main", now + TimeDelta::days(1));
        parked.stick(id);
        assert!(parked.stuck(now).is_empty());
    }
}
