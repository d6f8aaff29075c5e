//! How far a clock is off that can only be asked over a wire: Cristian's algorithm. Pure: the caller brings the readings.
//!
//! Whoever asked at `asked` and was answered at `answered` knows that the other clock was read somewhere in between. Taken
//! for the middle, the error is at most half of the round trip; so the reading with the shortest one is the best.
//!
//! What a reading makes of our clock:
//! - it moves as little as the reading demands: within its error bound a reading contradicts nothing, and what would be
//!   left of a bigger correction is noise;
//! - it steps. Leases and cancel windows are instants that other replicas stored, and a smear would keep this one wrong
//!   about them for as long as it takes;
//! - it goes forward by any step, but back by [`SKEW_MAX_US`] at most. A step forward ends leases and windows early: the
//!   lease's token and the state machine bear that. A step back would open cancel windows again that are closed at
//!   Amazon, and keep what was stored before it in the future. Every running replica keeps the time that they all agree
//!   on then, and says that it is not the database's any more.

/// Microseconds of a round trip from which on a reading is not believed.
pub const ROUND_TRIP_MAX_US: i64 = 1_000_000;
/// Microseconds that replicas may differ by: the cancel window has a margin of twice that.
pub const SKEW_MAX_US: i64 = 2_000_000;

/// One question to another clock, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReading {
    /// When it was asked, by our clock.
    pub asked: i64,
    /// What it said.
    pub theirs: i64,
    /// When the answer was here, by our clock.
    pub answered: i64,
}

/// How far another clock is from ours, and how sure that is; in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// Theirs minus ours.
    pub offset: i64,
    /// How far the truth may be from it, either way.
    pub error: i64,
}

/// What an estimate makes of the offset in force; in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Correction {
    /// The offset to go by from now on.
    pub offset: i64,
    /// How far it was moved.
    pub step: i64,
    /// What is left: the estimate minus the offset to go by.
    pub residual: i64,
}

impl ClockReading {
    /// `None` for a clock of ours that ran backwards meanwhile.
    fn round_trip(&self) -> Option<i64> {
        self.answered.checked_sub(self.asked).filter(|took| *took >= 0)
    }

    fn estimate(&self) -> Option<Estimate> {
        let took = self.round_trip()?;
        // Rounded up: the bound must hold.
        let error = took / 2 + took % 2;
        Some(Estimate { offset: self.theirs.checked_sub(self.asked)?.checked_sub(took / 2)?, error })
    }
}

/// The best of several readings; `None` when none can be believed.
#[must_use]
pub fn best(readings: &[ClockReading]) -> Option<Estimate> {
    let believed = |reading: &&ClockReading| reading.round_trip().is_some_and(|took| took <= ROUND_TRIP_MAX_US);
    readings.iter().filter(believed).filter_map(ClockReading::estimate).min_by_key(|estimate| estimate.error)
}

/// What `estimate` makes of the offset that was learnt before, if one was.
#[must_use]
pub fn correct(learnt: Option<i64>, estimate: Estimate) -> Correction {
    let Some(learnt) = learnt else { return Correction { offset: estimate.offset, step: 0, residual: 0 } };
    let residual = estimate.offset.saturating_sub(learnt);
    let demanded = residual.saturating_sub(residual.clamp(-estimate.error, estimate.error));
    let step = if demanded < -SKEW_MAX_US { 0 } else { demanded };
    Correction { offset: learnt.saturating_add(step), step, residual: residual.saturating_sub(step) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    const fn reading(asked: i64, theirs: i64, answered: i64) -> ClockReading {
        ClockReading { asked, theirs, answered }
    }

    #[test]
    fn the_truth_lies_within_the_error_wherever_in_the_round_trip_the_clock_was_read() {
        for truth in [-86_400 * SECOND, -1, 0, 1, 240 * SECOND] {
            for took in [0, 1, 2, 999, 350_001, SECOND] {
                for read_after in [0, 1, took / 3, took / 2, took] {
                    let read_after = read_after.min(took);
                    let asked = 7_000;
                    let found = best(&[reading(asked, asked + read_after + truth, asked + took)]).unwrap();
                    let off = (found.offset - truth).abs();
                    assert!(off <= found.error, "{truth} {took} {read_after}: {found:?}");
                    assert!(found.error <= took / 2 + 1, "{found:?}");
                }
            }
        }
    }

    #[test]
    fn the_shortest_round_trip_is_taken_and_a_long_one_is_not_believed() {
        let long = reading(0, 5 * SECOND, ROUND_TRIP_MAX_US + 1);
        assert_eq!(best(&[long]), None);
        assert_eq!(best(&[]), None);
        assert_eq!(best(&[reading(10, 5, 9)]), None, "a clock of ours that ran backwards measured nothing");
        let short = reading(SECOND, 6 * SECOND + 50, SECOND + 100);
        let middling = reading(2 * SECOND, 7 * SECOND + 9_000, 2 * SECOND + 10_000);
        let expected = Some(Estimate { offset: 5 * SECOND, error: 50 });
        assert_eq!(best(&[long, middling, short]), expected);
        assert_eq!(best(&[short, middling, long]), expected);
        assert!(best(&[reading(0, 0, ROUND_TRIP_MAX_US)]).is_some());
    }

    #[test]
    fn a_clock_moves_no_farther_than_a_reading_demands() {
        let estimate = Estimate { offset: 1_000, error: 100 };
        assert_eq!(correct(None, estimate), Correction { offset: 1_000, step: 0, residual: 0 }, "nothing to keep");
        for (learnt, offset) in [(900, 900), (1_000, 1_000), (1_100, 1_100), (899, 900), (0, 900), (1_101, 1_100)] {
            let found = correct(Some(learnt), estimate);
            assert_eq!((found.offset, found.step), (offset, offset - learnt), "{learnt}");
            assert_eq!(found.residual, 1_000 - offset, "{learnt}");
        }
    }

    #[test]
    fn a_clock_goes_forward_by_any_step_and_back_by_a_small_one_only() {
        let exact = |offset| Estimate { offset, error: 0 };
        for step in [1, SKEW_MAX_US, SKEW_MAX_US + 1, 86_400 * SECOND, -1, -SKEW_MAX_US] {
            assert_eq!(correct(Some(50), exact(50 + step)), Correction { offset: 50 + step, step, residual: 0 });
        }
        for back in [-SKEW_MAX_US - 1, -3_600 * SECOND, -86_400 * SECOND] {
            let held = correct(Some(50), exact(50 + back));
            assert_eq!(held, Correction { offset: 50, step: 0, residual: back }, "held, and told");
        }
        // Their clock comes back to where it was: nothing is left of it.
        assert_eq!(correct(Some(50), exact(51)).residual, 0);
    }
}
