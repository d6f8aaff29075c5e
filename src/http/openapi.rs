//! What the description of the API (OpenAPI 3.1) says of every operation alike: who may ask, how it is refused, the headers of an answer.
//!
//! Each slice describes its operations where they are. What an operation can be refused for besides is written beside it as `x-problems`,
//! and becomes its answers here: one for each status, with an example for each code.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::{
    ToSchema,
    openapi::{
        ComponentsBuilder, ContentBuilder, OpenApi, PathItem, Ref, RefOr, Response, ResponseBuilder,
        example::{Example, ExampleBuilder},
        header::{Header, HeaderBuilder},
        path::Operation,
        schema::{ArrayItems, ObjectBuilder, Schema, Type},
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use super::{Code, problem::Document};

/// The operation's own list of codes.
const PROBLEMS: &str = "x-problems";
/// The name of the one security scheme, as the operations have it.
const API_KEY: &str = "api_key";
const REQUEST_ID: &str = "X-Request-Id";
/// What the library puts before the name of what a list is of.
const PAGES: &str = "List_";
const PROBLEM_JSON: &str = "application/problem+json";

/// Of every operation.
const ALWAYS: &[Code] = &[
    Code::INVALID_REQUEST,
    Code::RATE_LIMITED,
    Code::QUOTA_EXCEEDED,
    Code::INTERNAL,
    Code::OVERLOADED,
    Code::DEPENDENCY_UNAVAILABLE,
];
/// Of an operation that takes a body.
const WITH_BODY: &[Code] = &[Code::REQUEST_TIMEOUT, Code::PAYLOAD_TOO_LARGE, Code::UNSUPPORTED_MEDIA_TYPE];

/// Adds to each operation what all have: `of_keys` are the codes of a request whose API key is no good, `known` are all codes.
pub(crate) fn complete(api: &mut OpenApi, of_keys: &[Code], known: &[Code]) {
    let components = api.components.take().unwrap_or_default();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("An API key (`nsk_…`). Its scopes are named at each operation."))
        .build();
    let mut of_problems = Vec::new();
    Document::schemas(&mut of_problems);
    let described = ComponentsBuilder::from(components)
        .security_scheme(API_KEY, SecurityScheme::Http(bearer))
        .schema_from::<Document>()
        .schemas_from_iter(of_problems);
    let described = headers().fold(described, |all, (name, header)| all.header(name, header));
    // Of the admin port alone, and of a method that no operation has.
    let answered = known.iter().filter(|code| ![Code::FORBIDDEN, Code::METHOD_NOT_ALLOWED].contains(code));
    let described = answered.fold(described, |all, code| {
        let example = ExampleBuilder::new().summary(code.title()).value(Some(code.example())).build();
        all.example(code.as_str(), example)
    });
    let mut components = described.build();
    name_entries(&mut components.schemas);
    api.components = Some(components);
    for (path, item) in &mut api.paths.paths {
        for operation in operations(item) {
            describe(path, operation, of_keys, known);
        }
    }
}

/// A page of a list names its entries. The library writes them out.
fn name_entries(schemas: &mut BTreeMap<String, RefOr<Schema>>) {
    let named: Vec<String> = schemas.keys().cloned().collect();
    for (name, schema) in schemas {
        let Some(entry) = name.strip_prefix(PAGES).filter(|entry| named.iter().any(|name| name == entry)) else {
            continue;
        };
        let RefOr::T(Schema::Object(page)) = schema else { continue };
        if let Some(RefOr::T(Schema::Array(data))) = page.properties.get_mut("data") {
            data.items = ArrayItems::from(Ref::from_schema_name(entry));
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    [get, put, post, delete, patch].into_iter().flatten()
}

fn describe(path: &str, operation: &mut Operation, of_keys: &[Code], known: &[Code]) {
    // A caller without a key has no limits of its own, and no key that is refused.
    let of_strangers = operation.security.as_ref().is_some_and(|all| all.contains(&SecurityRequirement::default()));
    let mut codes: Vec<Code> = ALWAYS.iter().chain(of_keys).copied().collect();
    codes.retain(|code| !of_strangers || *code != Code::RATE_LIMITED && !of_keys.contains(code));
    if operation.request_body.is_some() {
        codes.extend(WITH_BODY);
    }
    if path.contains('{') {
        codes.push(Code::NOT_FOUND);
    }
    codes.extend(own(operation, known));
    for answer in operation.responses.responses.values_mut() {
        if let RefOr::T(answer) = answer {
            answer.headers.extend(headers().map(|(name, _header)| (name.to_owned(), named_header(name))));
        }
    }
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in codes {
        let of_status = by_status.entry(code.status()).or_default();
        if !of_status.contains(&code) {
            of_status.push(code);
        }
    }
    for (status, codes) in by_status {
        operation.responses.responses.insert(status.to_string(), RefOr::T(refusal(status, &codes)));
    }
}

/// The codes of the operation's own list.
fn own(operation: &Operation, known: &[Code]) -> Vec<Code> {
    let listed = operation.extensions.as_ref().and_then(|extensions| extensions.get(PROBLEMS));
    let words = listed.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    words.filter_map(|word| known.iter().find(|code| code.as_str() == word).copied()).collect()
}

/// The answers of one status, with an example for each code.
fn refusal(status: u16, codes: &[Code]) -> Response {
    let words: Vec<String> = codes.iter().map(|code| format!("`{}`", code.as_str())).collect();
    let examples = codes.iter().map(|code| {
        let named: RefOr<Example> = RefOr::Ref(Ref::new(format!("#/components/examples/{}", code.as_str())));
        (code.as_str().to_owned(), named)
    });
    let schema = Ref::from_schema_name(Document::name());
    let content = ContentBuilder::new().schema(Some(schema)).examples_from_iter(examples).build();
    let described = ResponseBuilder::new().description(words.join(", ")).content(PROBLEM_JSON, content);
    // A request without a good key has no limits of its own.
    let of_keys = headers().filter(|(name, _header)| status != 401 || *name == REQUEST_ID);
    let described = of_keys.fold(described, |answer, (name, _header)| {
        answer.header_ref(name, Ref::new(format!("#/components/headers/{name}")))
    });
    let described = match status {
        401 | 403 => described.header("WWW-Authenticate", text("What the key lacks (RFC 6750)", None)),
        _ => described,
    };
    match status {
        402 | 403 | 422 | 429 | 503 => described.header("Retry-After", seconds(RETRY_AFTER)),
        _ => described,
    }
    .build()
}

const RETRY_AFTER: &str = "Seconds after which the same request can succeed";

/// The headers of every answer.
fn headers() -> impl Iterator<Item = (&'static str, Header)> {
    let policy = json!("\"write\";q=6000;w=60, \"at-once\";q=192;qu=\"concurrent-requests\"");
    let left = json!("\"write\";r=5988;t=1, \"at-once\";r=190");
    [
        (
            REQUEST_ID,
            text("The id of this request, as the log has it", Some(json!("01990000000070008000000000000000"))),
        ),
        ("RateLimit-Policy", text("What the key may ask (draft-ietf-httpapi-ratelimit-headers-10)", Some(policy))),
        ("RateLimit", text("What is left of it", Some(left))),
    ]
    .into_iter()
}

fn named_header(name: &str) -> RefOr<Header> {
    RefOr::Ref(Ref::new(format!("#/components/headers/{name}")))
}

fn seconds(description: &str) -> Header {
    let schema = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).build();
    HeaderBuilder::new().schema(Some(schema)).description(Some(description)).example(Some(json!(2))).build()
}

fn text(description: &str, example: Option<Value>) -> Header {
    let schema = ObjectBuilder::new().schema_type(Type::String).build();
    HeaderBuilder::new().schema(Some(schema)).description(Some(description)).example(example).build()
}
