//! The page with a claim code. It is the answer to one form, and is kept nowhere.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use askama::Template;

use super::id;
use crate::{
    console::{
        Console,
        page::{PageFrame, answer, figure, finish},
        visitor::{Halt, Visitor},
    },
    http::Problem,
    incentives::{self, dto},
};

#[derive(Template)]
#[template(path = "revealed.html", config = "src/console/askama.toml")]
struct RevealedPage<'a> {
    frame: PageFrame,
    href: String,
    value: String,
    code: &'a str,
}

pub(in crate::console) async fn show(
    console: web::Data<Console>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let came = reveal(&console, &request, payload).await;
    finish(&console, &request, came).await
}

/// The same reveal as the API's: counted by key, recorded in the timeline, and only then shown.
async fn reveal(console: &Console, request: &HttpRequest, payload: web::Payload) -> Result<HttpResponse, Halt> {
    let arrived = console.http.ambient.monotonic();
    let (visitor, form) = Visitor::sending(console, request, payload).await?;
    visitor.must(incentives::scopes::CLAIM_CODES_REVEAL)?;
    let (id, reason) = (id(request)?, dto::checked_reason(form.value("reason").to_owned())?);
    let href = format!("/console/rewards/{id}");
    let frame = PageFrame { here: href.clone(), ..PageFrame::new(console, request, Some(&visitor)) };
    let shown = console.rewards.reveal.run(visitor.caller(), id, reason, arrived).await;
    let (reward, code) = shown.map_err(Problem::from)?;
    let value = format!("{} {}", reward.value.currency(), figure(&reward.value));
    Ok(answer(StatusCode::OK, &RevealedPage { frame, href, value, code: code.expose() })?)
}
