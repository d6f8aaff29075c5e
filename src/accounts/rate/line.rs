//! The line of those who wait for a slot, in all replicas: a place in it, and how much of it is open to a caller.

use std::time::{Duration, Instant};

use crate::accounts::waiting::Purpose;

/// The end of the line that all replicas share.
#[derive(Clone, Copy)]
pub(super) struct LineSeen {
    pub(super) booked_us: i64,
    pub(super) at: Instant,
}

/// A turn in the line of all replicas.
#[derive(Clone, Copy)]
pub(super) struct Booking {
    pub(super) at_us: i64,
    /// It is sooner than the line's end was: that of a caller who had nothing waiting.
    pub(super) jumped: bool,
}

/// Where a request stands in the queue of this process.
pub(super) struct QueuePosition {
    pub(super) purpose: Purpose,
    /// So many slots go to others before.
    pub(super) ahead: usize,
    /// So many of them to the same caller.
    pub(super) own: usize,
}

/// How much of the wait that a caller has time for is open to them: all of it for the first of their requests that wait, and a
/// third of it for many. What is left is for other callers, and for a time in which fewer slots are used than there are.
pub(super) fn share(patience: Duration, own: usize) -> Duration {
    let others = u32::try_from(own).unwrap_or(u32::MAX).saturating_add(1);
    (patience / 3).saturating_add(patience / 3 * 2 / others)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_a_caller_has_waiting_the_less_of_the_line_is_theirs() {
        let shares: Vec<u128> = [0, 1, 9, 1000].map(|own| share(Duration::from_secs(9), own).as_millis()).into();
        assert_eq!(shares, [9000, 6000, 3600, 3005]);
    }
}
