//! The description of the whole API (OpenAPI 3.1), gathered from the slices, and the pages that show it. Nobody needs a key for them.

use std::{
    borrow::Cow,
    convert::Infallible,
    sync::{Arc, LazyLock},
    task::Poll,
};

use actix_web::{
    HttpResponse, HttpResponseBuilder,
    body::SizedStream,
    http::header::{self, HeaderName},
    web::{self, Bytes},
};
use futures_util::stream;
use utoipa::{
    OpenApi as _,
    openapi::{ContactBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, ServerBuilder},
};
use utoipa_swagger_ui::Config;

use super::{GeneralApi, door::ANSWER_BUFFER_BYTES, problem_codes};
use crate::{
    accounts, batches, events,
    http::{
        Code, Problem, openapi,
        routing::{read, resource},
    },
    identity, incentives, ledger, membership, pay, treasury, webhooks,
};

/// Adds the routes.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(resource("/openapi.json", "GET, HEAD", [read().to(description)]))
        .service(resource("/problems/{code}", "GET, HEAD", [read().to(problem)]))
        .service(resource("/docs", "GET, HEAD", [read().to(to_docs)]))
        .service(resource("/docs/{file:.*}", "GET, HEAD", [read().to(docs)]));
}

/// The description of the API, as `noshi openapi` prints it.
#[must_use]
pub fn openapi() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Noshi")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(include_str!("describe.md")))
        .contact(Some(ContactBuilder::new().name(Some("The operator of this service")).build()))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()))
        .build();
    let here = ServerBuilder::new().url("/").description(Some("Where this description was read")).build();
    let mut api = OpenApiBuilder::new().info(info).servers(Some([here])).build();
    for slice in [
        GeneralApi::openapi(),
        incentives::http::RewardsApi::openapi(),
        ledger::http::ProgramsApi::openapi(),
        treasury::http::BalancesApi::openapi(),
        ledger::http::EntriesApi::openapi(),
        ledger::http::StatementsApi::openapi(),
        events::http::EventsApi::openapi(),
        treasury::reconciliation::http::ReconciliationsApi::openapi(),
        accounts::http::KeyPairsApi::openapi(),
        webhooks::http::WebhooksApi::openapi(),
        batches::http::BatchesApi::openapi(),
        pay::http::PayApi::openapi(),
        pay::http::HeldApi::openapi(),
        pay::http::NoticesApi::openapi(),
        pay::http::ConsentsApi::openapi(),
        membership::http::MembershipApi::openapi(),
    ] {
        api.merge(slice);
    }
    api.webhooks = webhooks::http::webhooks();
    let known: Vec<Code> = problem_codes().collect();
    openapi::complete(&mut api, identity::problems::CODES, &known);
    api
}

static DESCRIPTION: LazyLock<String> = LazyLock::new(|| openapi().to_json().unwrap_or_default());

async fn description() -> HttpResponse {
    in_parts(HttpResponse::Ok().content_type("application/json"), Bytes::from_static(DESCRIPTION.as_bytes()))
}

/// A long answer for whoever asks. What is not read yet is not copied: a connection of a stranger holds one part of it.
fn in_parts(answer: &mut HttpResponseBuilder, mut text: Bytes) -> HttpResponse {
    let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
    let parts = stream::poll_fn(move |_context| {
        let part = text.split_to(text.len().min(ANSWER_BUFFER_BYTES));
        Poll::Ready((!part.is_empty()).then_some(Ok::<_, Infallible>(part)))
    });
    answer.body(SizedStream::new(length, parts))
}

async fn to_docs() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((header::LOCATION, "/docs/")).finish()
}

/// The page loads nothing from elsewhere, and no other page may frame it.
const POLICY: (HeaderName, &str) = (
    header::CONTENT_SECURITY_POLICY,
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

static SWAGGER: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| Arc::new(Config::from("/openapi.json")));

async fn docs(file: web::Path<String>) -> Result<HttpResponse, Problem> {
    let found = utoipa_swagger_ui::serve(&file, SWAGGER.clone()).map_err(|error| {
        tracing::error!(error = %error, "a file of the documentation cannot be read");
        Problem::new(Code::INTERNAL)
    })?;
    let file = found.ok_or(Problem::new(Code::NOT_FOUND))?;
    let bytes = match file.bytes {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    };
    Ok(in_parts(HttpResponse::Ok().content_type(file.content_type).insert_header(POLICY), bytes))
}

/// What the `type` of a problem document leads to.
async fn problem(word: web::Path<String>) -> Result<HttpResponse, Problem> {
    let code = problem_codes().find(|code| code.as_str() == word.as_str()).ok_or(Problem::new(Code::NOT_FOUND))?;
    let later = if code.retryable() { "can succeed later" } else { "cannot succeed later" };
    let text = format!(
        "{}: {}.\nStatus {}. The same request with the same key {later}.\nAll operations that answer it: /docs/\n",
        code.as_str(),
        code.title(),
        code.status(),
    );
    Ok(HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(text))
}
