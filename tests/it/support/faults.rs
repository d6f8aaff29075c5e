//! Faults that the sandbox is given, by the calls that they strike.

use noshi::sandbox::{Fault, FaultRule, Operation};

use super::App;

/// Amazon refuses for good, and does nothing.
pub(crate) fn refusal(error_code: &str, error_type: &str) -> Fault {
    Fault::FCode { code: error_code.to_owned(), error_type: error_type.to_owned(), after_work: false }
}

/// A fault of so many calls of one operation, whoever makes them.
pub(crate) fn of(operation: Operation, fault: Fault, times: u32) -> FaultRule {
    FaultRule { operation: Some(operation), times: Some(times), ..FaultRule::always(fault) }
}

/// A fault of the next create.
pub(crate) fn of_create(fault: Fault) -> FaultRule {
    of(Operation::CreateGiftCard, fault, 1)
}

/// A fault of the next cancel.
pub(crate) fn of_cancel(fault: Fault) -> FaultRule {
    of(Operation::CancelGiftCard, fault, 1)
}

/// A fault of so many creates of this key, and of no other.
pub(crate) fn of_key(app: &App, key: &str, fault: Fault, times: u32) -> FaultRule {
    FaultRule { creation_request_id: Some(app.amazon_id(key)), ..of(Operation::CreateGiftCard, fault, times) }
}

impl App {
    /// The next create, whoever asks for it, meets this fault.
    pub(crate) fn strike_next(&self, fault: Fault) {
        self.control.script(of_create(fault)).unwrap();
    }

    /// So many creates of this key meet this fault.
    pub(crate) fn strike(&self, key: &str, fault: Fault, times: u32) {
        self.control.script(of_key(self, key, fault, times)).unwrap();
    }

    /// Amazon has no funds for the first create of this key.
    pub(crate) fn without_funds(&self, key: &str) {
        self.strike(key, refusal("F300", "InsufficientFunds"), 1);
    }
}
