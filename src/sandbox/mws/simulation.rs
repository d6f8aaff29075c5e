//! What the notes of calls ask the sandbox to play: `{"SandboxSimulation":{…}}`.

use serde::Deserialize;

use super::refusal::MwsRefused;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SimulationNote {
    sandbox_simulation: Play,
}

/// What is to be played. Amazon's samples write numbers as numbers and flags as text.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Play {
    pub(super) state: String,
    pub(super) reason_code: String,
    pub(super) operation: String,
    pub(super) soft_decline: String,
    pub(super) payment_method_update_time_in_mins: Option<u32>,
    pub(super) expiration_time_in_mins: Option<u32>,
}

impl Play {
    /// What this note asks for; `None` for a note that is for people.
    pub(super) fn read(note: Option<&str>) -> Result<Option<Self>, MwsRefused> {
        let Some(text) = note.filter(|note| note.contains("SandboxSimulation")) else { return Ok(None) };
        let note: SimulationNote = serde_json::from_str(text).map_err(|_unread| unknown())?;
        Ok(Some(note.sandbox_simulation))
    }

    /// One of these pairs of state and reason, or it is refused.
    pub(super) fn demand(&self, pairs: &[(&str, &str)]) -> Result<(), MwsRefused> {
        let asked = (self.state.as_str(), self.reason_code.as_str());
        let minutes = |minutes: Option<u32>, most: u32| minutes.is_none_or(|minutes| (1..=most).contains(&minutes));
        let in_time =
            minutes(self.payment_method_update_time_in_mins, 240) && minutes(self.expiration_time_in_mins, 60);
        if pairs.contains(&asked) && in_time { Ok(()) } else { Err(unknown()) }
    }
}

fn unknown() -> MwsRefused {
    MwsRefused::of(400, "InvalidSandboxSimulationSpecified", "that cannot be simulated here")
}
