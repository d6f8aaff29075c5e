//! The clocks of the demo, which it moves together: a month passes at once. The sandbox's book keeps how far they are ahead, so a second start
//! goes on where the first ended, and no row is of the future.

use std::collections::BTreeSet;

use chrono::TimeDelta;

use super::DemoError;
use crate::{
    ambient::Ambient,
    cli::CommandError,
    sandbox::{Control, ControlError},
};

/// The service's clock and the sandbox's.
pub(super) struct DemoClock {
    ambient: Ambient,
    control: Control,
    /// What Amazon had sold before this start, by its ids.
    sold: BTreeSet<String>,
}

impl DemoClock {
    /// Sets the service's clock by the sandbox's, which an earlier start of the demo may have moved.
    pub(super) fn set(ambient: &Ambient, control: Control) -> Result<Self, CommandError> {
        let sold = control.book().into_iter().map(|card| card.creation_request_id).collect();
        let clock = Self { ambient: ambient.clone(), control, sold };
        clock.ambient.advance(TimeDelta::seconds(clock.sign_by_it()?));
        Ok(clock)
    }

    /// Moves them ahead.
    pub(super) fn advance(&self, seconds: i64) -> Result<(), CommandError> {
        self.control.advance_clock(seconds).map_err(stuck)?;
        self.sign_by_it()?;
        self.ambient.advance(TimeDelta::seconds(seconds));
        Ok(())
    }

    /// Signatures are judged by a clock of its own: it goes with the other. Answers how far they are ahead.
    fn sign_by_it(&self) -> Result<i64, CommandError> {
        let ahead = self.control.clock().offset_seconds;
        self.control.set_signature_skew(ahead).map_err(stuck)?;
        Ok(ahead)
    }

    /// Whether Amazon had sold that before this start.
    pub(super) fn was_there(&self, creation_request_id: &str) -> bool {
        self.sold.contains(creation_request_id)
    }
}

fn stuck(_error: ControlError) -> DemoError {
    DemoError::Step("the sandbox's clock can be moved so far")
}
