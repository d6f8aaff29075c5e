//! Whether the description of the API (OpenAPI) has an answer: each one that a test hears is looked up.

use std::sync::LazyLock;

use serde_json::Value;

/// The description that is committed. One of the tests of `openapi` compares it with the program's.
pub(crate) const COMMITTED: &str = include_str!("../../../clients/noshi/openapi.json");

static API: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(COMMITTED).unwrap());

/// The description.
pub(crate) fn api() -> &'static Value {
    &API
}

/// Follows a reference.
pub(crate) fn resolved(part: &'static Value) -> &'static Value {
    match part["$ref"].as_str() {
        Some(named) => {
            API.pointer(named.trim_start_matches('#')).unwrap_or_else(|| panic!("{named} is described nowhere"))
        }
        None => part,
    }
}

/// The operation of a method and a path. Of two patterns that fit, the one without a parameter at the first difference is meant.
pub(crate) fn operation(method: &str, path: &str) -> Option<&'static Value> {
    let method = if method == "HEAD" { "get".to_owned() } else { method.to_ascii_lowercase() };
    let fits = |pattern: &str| {
        pattern.split('/').count() == path.split('/').count()
            && pattern.split('/').zip(path.split('/')).all(|(part, named)| part.starts_with('{') || part == named)
    };
    let mut found: Vec<_> = API["paths"].as_object().unwrap().iter().filter(|(pattern, _item)| fits(pattern)).collect();
    found.sort_by_key(|(pattern, _item)| pattern.matches('{').count());
    found.first().and_then(|(_pattern, item)| item.get(&method))
}

/// What the description does not say of an answer; `None` when it says it all, or does not know the operation.
pub(crate) fn undescribed(method: &str, path: &str, status: u16, body: &Value) -> Option<String> {
    let operation = operation(method, path)?;
    let Some(answer) = operation["responses"].get(status.to_string()) else {
        return Some(format!("no answer of status {status}"));
    };
    if status >= 400 {
        let code = body["code"].as_str()?;
        let known = answer["content"]["application/problem+json"]["examples"].get(code).is_some();
        return (!known).then(|| format!("no problem {code}"));
    }
    let schema = &answer["content"]["application/json"]["schema"];
    let mut unknown = Vec::new();
    members("", schema, body, &mut unknown);
    (!unknown.is_empty()).then(|| format!("no member {}", unknown.join(", ")))
}

/// The schemas that describe an object together, or in turn.
fn parts(schema: &'static Value) -> Vec<&'static Value> {
    let schema = resolved(schema);
    let several = ["allOf", "oneOf", "anyOf"].iter().filter_map(|word| schema[*word].as_array()).flatten();
    std::iter::once(schema).chain(several.flat_map(parts)).collect()
}

/// Collects the members that no schema has.
fn members(at: &str, schema: &'static Value, value: &Value, unknown: &mut Vec<String>) {
    let parts = parts(schema);
    match value {
        Value::Object(found) => {
            for (name, value) in found {
                let at = format!("{at}/{name}");
                if let Some(described) = parts.iter().find_map(|part| part["properties"].get(name)) {
                    members(&at, described, value, unknown);
                } else if !parts.iter().any(|part| part["additionalProperties"].is_object() || is_open(part)) {
                    unknown.push(at);
                }
            }
        }
        Value::Array(found) => {
            for value in found {
                let items = parts.iter().find(|part| !part["items"].is_null());
                if let Some(list) = items {
                    members(at, &list["items"], value, unknown)
                } else {
                    unknown.push(at.to_owned())
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// An object of which nothing is said: what is in it depends on what happened.
fn is_open(schema: &Value) -> bool {
    let object =
        schema["type"] == "object" || schema["type"].as_array().is_some_and(|types| types.contains(&"object".into()));
    object && schema["properties"].is_null()
}
