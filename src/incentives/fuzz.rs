//! Any bytes at all, as the body of a request: what must hold of a command that is taken. For the fuzzer, and for property tests.

use uuid::Uuid;

use super::dto::{CheckBody, IssueBody, ReasonBody};
use crate::{
    http::body::parse,
    identity::{Principal, Scopes},
    kernel::{ApiKeyId, ClientId, IdempotencyKey},
};

/// Reads a body as every request of the product.
///
/// # Panics
/// A command is taken that is worth nothing, or whose texts could break a line.
pub fn request_body(bytes: &[u8]) {
    drop(parse::<ReasonBody>(bytes).and_then(ReasonBody::into_reason));
    drop(parse::<CheckBody>(bytes).map(drop));
    let (Ok(body), Ok(key)) = (parse::<IssueBody>(bytes), IdempotencyKey::parse("fuzz")) else { return };
    let principal = Principal {
        client: ClientId::new(Uuid::nil()),
        client_name: String::new(),
        key: ApiKeyId::new(Uuid::nil()),
        key_name: String::new(),
        scopes: Scopes::new([]),
        program: None,
    };
    let Ok(command) = body.into_command(key, &principal) else { return };
    assert!(command.value.minor() > 0, "a command is worth nothing");
    let metadata = command.metadata.iter().flatten().flat_map(|(name, value)| [name, value]);
    for text in command.external_id.iter().chain(metadata) {
        assert!(!text.chars().any(char::is_control), "a text could break a line");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kernel::changed::changed;

    const CODE: &[u8] = include_bytes!("../../fuzz/corpus/request_body/code");
    const LOAD: &[u8] = include_bytes!("../../fuzz/corpus/request_body/load");

    #[test]
    fn the_bodies_that_are_changed_are_good() {
        assert!([CODE, LOAD].iter().all(|body| parse::<IssueBody>(body).is_ok()));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn whatever_a_body_says_a_command_that_is_taken_is_well_formed(
            code in changed(CODE), load in changed(LOAD), any in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            [code, load, any].iter().for_each(|bytes| request_body(bytes));
        }
    }
}
