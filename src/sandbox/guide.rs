//! What a person who points a client at the sandbox should know: faults, mock ids and limits, read off the code that
//! makes them. `noshi sandbox --help` prints it, and the status page shows it.

use strum::{EnumMessage, IntoEnumIterator};

use super::book::CANCEL_WINDOW_SECONDS;
use super::fault::Fault;
use super::members::EXTERNAL_REFERENCE_CHARACTERS_MAX;
use super::mock::Mock;
use super::operations::REQUEST_ID_CHARACTERS_MAX;
use super::signature::SKEW_MINUTES_MAX;
use super::throttle::{ACTIVITY_REQUESTS_PER_MINUTE, FUNDS_REQUESTS_PER_SECOND, REQUESTS_PER_SECOND};

/// A name and what it does, in a line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GuideLine {
    /// The fault with its members, the mock id, or what is limited.
    pub name: String,
    /// What it does.
    pub about: String,
}

/// Every fault that a rule can name.
#[must_use]
pub fn faults() -> Vec<GuideLine> {
    Fault::iter()
        .map(|fault| {
            let about = fault.get_documentation().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
            let members: Vec<String> = members(&fault);
            let kind: &'static str = fault.into();
            let name = if members.is_empty() { kind.to_owned() } else { format!("{kind} ({})", members.join(", ")) };
            GuideLine { name, about }
        })
        .collect()
}

/// The members of a fault besides its kind.
fn members(fault: &Fault) -> Vec<String> {
    let json = serde_json::to_value(fault).unwrap_or_default();
    let names = json.as_object().into_iter().flatten().map(|(name, _value)| name.clone());
    names.filter(|name| name != "kind").collect()
}

/// Every mock id.
#[must_use]
pub fn mock_ids() -> Vec<GuideLine> {
    Mock::all().map(|(id, about)| GuideLine { name: id.to_owned(), about }).collect()
}

/// What is limited.
#[must_use]
pub fn limits() -> Vec<GuideLine> {
    let minutes = CANCEL_WINDOW_SECONDS / 60;
    [
        ("rate", format!("{REQUESTS_PER_SECOND} requests a second of each partner, unless its terms say otherwise")),
        (
            "day",
            "requests_per_day of a partner's terms, by the sandbox clock's day; Amazon publishes no figure".to_owned(),
        ),
        ("GetAvailableFunds", format!("{FUNDS_REQUESTS_PER_SECOND} a second, of these")),
        ("GetGiftCardActivityPage", format!("{ACTIVITY_REQUESTS_PER_MINUTE} a minute, of these")),
        ("cancel", format!("within {minutes} minutes of the create, on the sandbox clock")),
        ("x-amz-date", format!("at most {SKEW_MINUTES_MAX} minutes off, either way")),
        ("request id", format!("begins with the partner's id, at most {REQUEST_ID_CHARACTERS_MAX} characters")),
        ("Amazon Pay", "each operation has a bucket that refills by one a second: 2 creates, captures, cancels and closes, 5 charges or refunds read, 10 permissions read".to_owned()),
        ("externalReference", format!("at most {EXTERNAL_REFERENCE_CHARACTERS_MAX} characters")),
    ]
    .map(|(name, about)| GuideLine { name: name.to_owned(), about })
    .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_named_as_a_rule_names_it_and_explained() {
        let lines = faults();
        assert_eq!(lines.len(), Fault::iter().count());
        for (line, fault) in lines.iter().zip(Fault::iter()) {
            let json = serde_json::to_value(&fault).unwrap();
            assert_eq!(line.name.split(' ').next(), json["kind"].as_str());
            assert!(line.about.len() > 20 && line.about.ends_with('.'), "{line:?}");
        }
        assert!(lines.iter().any(|line| line.name == "html_error (after_work, status)"), "{lines:?}");
        assert_eq!(mock_ids().len(), 18);
    }
}
