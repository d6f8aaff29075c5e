//! Which operation a request asks for, and how its path is signed.

use hyper::{Method, StatusCode};

use crate::sandbox::answer::GatewayAnswer;
use crate::sandbox::fault::Operation;

/// What stands before the operation's name in `x-amz-target`.
const TARGET: &str = "AGCODService.";

/// The path as Amazon signs it: `//Op` is `/Op`, `/./Op` and `/x/../Op` as well; a slash at the end stays. What arrived
/// encoded is encoded once more.
pub(super) fn canonical_path(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            name => kept.push(name),
        }
    }
    let mut canonical = String::with_capacity(path.len());
    for segment in &kept {
        canonical.push('/');
        segment.bytes().for_each(|byte| push_encoded(&mut canonical, byte));
    }
    if kept.is_empty() || path.ends_with('/') {
        canonical.push('/');
    }
    canonical
}

fn push_encoded(canonical: &mut String, byte: u8) {
    if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
        canonical.push(char::from(byte));
    } else {
        canonical.push_str(&format!("%{byte:02X}"));
    }
}

/// The operation that the path names, or that the target names where the path is `/`. Some clients send no target, and
/// some a misspelt one: only the target of another operation is refused.
pub(super) fn operation(method: &Method, canonical_path: &str, target: &str) -> Result<Operation, GatewayAnswer> {
    if method == Method::GET
        && let Some(login) = Operation::of_login(canonical_path)
    {
        return Ok(login);
    }
    let name = canonical_path.trim_matches('/');
    let targeted =
        target.rsplit_once(TARGET).and_then(|(_service, name)| Operation::of_gateway(name.trim_matches('/')));
    let named = if name.is_empty() { targeted } else { Operation::of_gateway(name) };
    let Some(operation) = named else {
        let message = if name.is_empty() {
            "The path / names no operation, and x-amz-target must: com.amazonaws.agcod.AGCODService.{Operation}"
                .to_owned()
        } else {
            format!("There is no operation {:?}", name.chars().take(64).collect::<String>())
        };
        return Err(refused(StatusCode::NOT_FOUND, "UnknownOperationException", message));
    };
    if method != Method::POST {
        let message = format!("{} takes POST, not {method}", operation.name());
        return Err(refused(StatusCode::METHOD_NOT_ALLOWED, "UnsupportedHttpMethodException", message));
    }
    match targeted {
        Some(targeted) if targeted != operation => {
            let message = format!("x-amz-target names {}, but the path names {}", targeted.name(), operation.name());
            Err(refused(StatusCode::BAD_REQUEST, "InvalidActionException", message))
        }
        Some(_) | None => Ok(operation),
    }
}

fn refused(status: StatusCode, exception: &'static str, message: String) -> GatewayAnswer {
    GatewayAnswer::Front { status, exception: Some(exception), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_signed_without_dots_and_without_doubled_slashes() {
        for (path, canonical) in [
            ("/CreateGiftCard", "/CreateGiftCard"),
            ("//CreateGiftCard", "/CreateGiftCard"),
            ("/CreateGiftCard/", "/CreateGiftCard/"),
            ("/./CreateGiftCard", "/CreateGiftCard"),
            ("/x/../CreateGiftCard", "/CreateGiftCard"),
            ("/../..", "/"),
            ("", "/"),
            ("//", "/"),
            ("/a%20b", "/a%2520b"),
        ] {
            assert_eq!(canonical_path(path), canonical, "{path:?}");
        }
    }
}
