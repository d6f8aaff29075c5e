//! How long what has failed rests before it is tried again.

use chrono::TimeDelta;

/// A rest that doubles with each failure, up to a longest one.
#[derive(Debug, Clone, Copy)]
pub struct DoublingRest {
    /// After the first failure.
    pub first: TimeDelta,
    /// The longest.
    pub longest: TimeDelta,
}

impl DoublingRest {
    /// After so many failures in a row.
    #[must_use]
    pub fn after(self, failures: u32) -> TimeDelta {
        let factor = 1_i32.checked_shl(failures.saturating_sub(1)).filter(|factor| *factor > 0);
        factor.and_then(|factor| self.first.checked_mul(factor)).map_or(self.longest, |rest| rest.min(self.longest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_the_longest_however_often_it_failed() {
        let rest = DoublingRest { first: TimeDelta::minutes(1), longest: TimeDelta::minutes(15) };
        let minutes = [0, 1, 2, 3, 4, 5, 31, 32, 33, 400, u32::MAX].map(|failures| rest.after(failures).num_minutes());
        assert_eq!(minutes, [1, 1, 2, 4, 8, 15, 15, 15, 15, 15, 15]);
    }
}
