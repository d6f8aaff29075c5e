//! What Amazon's sandbox is asked to play: by the notes of calls, where Checkout v2 has a header. The words are those that callers of
//! either generation send.

use crate::provider::pay::ids::SimulationCode;

/// A word of a caller's, and what stands in the note for it.
type Plays = [(&'static str, &'static str)];

/// Of an authorization.
const AUTHORIZATION: &Plays = &[
    ("SoftDeclined", r#""State":"Declined","ReasonCode":"InvalidPaymentMethod","SoftDecline":"true""#),
    ("HardDeclined", r#""State":"Declined","ReasonCode":"InvalidPaymentMethod""#),
    (
        "InvalidPaymentMethod",
        r#""State":"Declined","ReasonCode":"InvalidPaymentMethod","PaymentMethodUpdateTimeInMins":5"#,
    ),
    ("AmazonRejected", r#""State":"Declined","ReasonCode":"AmazonRejected""#),
    ("TransactionTimedOut", r#""State":"Declined","ReasonCode":"TransactionTimedOut""#),
    ("ExpiredUnused", r#""State":"Closed","ReasonCode":"ExpiredUnused","ExpirationTimeInMins":1"#),
    ("AmazonClosed", r#""State":"Closed","ReasonCode":"AmazonClosed""#),
];
/// Of a capture.
const CAPTURE: &Plays = &[
    ("CaptureInitiated", r#""State":"Pending""#),
    ("AmazonRejected", r#""State":"Declined","ReasonCode":"AmazonRejected""#),
    ("AmazonClosed", r#""State":"Closed","ReasonCode":"AmazonClosed""#),
];
/// Of a refund.
const REFUND: &Plays = &[("AmazonRejected", r#""State":"Declined","ReasonCode":"AmazonRejected""#)];
/// Of a consent's end.
const END: &Plays = &[("AmazonClosed", r#""State":"Closed","ReasonCode":"AmazonClosed""#)];

/// What is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Simulated {
    Authorization,
    Capture,
    Refund,
    End,
}

/// The note that asks for it; `None` where Amazon's sandbox cannot play that.
pub(super) fn note(of: Simulated, code: &SimulationCode) -> Option<String> {
    let plays = match of {
        Simulated::Authorization => AUTHORIZATION,
        Simulated::Capture => CAPTURE,
        Simulated::Refund => REFUND,
        Simulated::End => END,
    };
    let (_word, inside) = plays.iter().find(|(word, _inside)| *word == code.as_str())?;
    Some(format!("{{\"SandboxSimulation\":{{{inside}}}}}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_note_is_json_and_what_cannot_be_played_has_none() {
        let code = |word: &str| SimulationCode::parse(word).unwrap();
        let every = [
            (Simulated::Authorization, AUTHORIZATION),
            (Simulated::Capture, CAPTURE),
            (Simulated::Refund, REFUND),
            (Simulated::End, END),
        ];
        for (of, plays) in every {
            for (word, _inside) in plays {
                let note = note(of, &code(word)).unwrap();
                let json: serde_json::Value = serde_json::from_str(&note).unwrap();
                assert!(json["SandboxSimulation"].is_object() && note.len() <= 255, "{note}");
            }
        }
        for (of, word) in [
            (Simulated::Authorization, "ProcessingFailure"),
            (Simulated::Capture, "ProcessingFailure"),
            (Simulated::Refund, "ProcessingFailure"),
            (Simulated::End, "AmazonCanceled"),
        ] {
            assert_eq!(note(of, &code(word)), None, "{word}");
        }
    }
}
