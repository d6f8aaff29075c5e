//! Log in, log out, choose a language.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header, header::HeaderName},
    web,
};
use askama::Template;

use super::{
    Console,
    page::{PageFrame, answer, finish, lead_to},
    sessions::{self, SessionHash, SessionToken},
    visitor::{Halt, LANGUAGE_COOKIE, SESSION_COOKIE, Visitor, check_origin, cookie},
    words::Language,
};
use crate::{
    http::{Problem, headers},
    identity::Principal,
    kernel::claim_code::may_hold_claim_code,
};

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

#[derive(Template)]
#[template(path = "login.html", config = "src/console/askama.toml")]
struct LoginPage {
    frame: PageFrame,
    is_wrong: bool,
}

pub(super) async fn form(console: web::Data<Console>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let page = LoginPage { frame: PageFrame::new(&console, &request, None), is_wrong: false };
    answer(StatusCode::OK, &page)
}

/// The key is looked up, compared and counted as the API does. Every wrong key gets the same answer.
pub(super) async fn enter(
    console: web::Data<Console>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let came = log_in(&console, &request, payload).await;
    if let Err(Halt::NotLoggedIn) = came {
        let page = LoginPage { frame: PageFrame::new(&console, &request, None), is_wrong: true };
        return answer(StatusCode::UNAUTHORIZED, &page);
    }
    finish(&console, &request, came).await
}

async fn log_in(console: &Console, request: &HttpRequest, payload: web::Payload) -> Result<HttpResponse, Halt> {
    check_origin(request)?;
    let http = &console.http;
    let form = http.form(request, payload).await?;
    let principal = Principal::of_text(http, request, Some(form.value("key").trim()))
        .await
        .map_err(|refused| if refused.code().status() == 401 { Halt::NotLoggedIn } else { refused.into() })?;
    let (store, ambient, key) = (http.store.clone(), http.ambient.clone(), principal.key);
    let before = cookie(request, SESSION_COOKIE).and_then(SessionToken::parse).map(|token| SessionHash::from(&token));
    let token = http.run(async move { sessions::begin(&store, &ambient, key, before).await }).await?;
    tracing::info!(api_key.id = %principal.key, "somebody logged in to the console");
    let mut leads = lead_to("/console");
    let fresh = format!(
        "{SESSION_COOKIE}={}; Path=/console; HttpOnly; SameSite=Strict; Max-Age={}{}",
        token.text().as_str(),
        sessions::LIFE.num_seconds(),
        secure(request)
    );
    set_cookie(&mut leads, &fresh);
    Ok(leads)
}

/// Behind a proxy that speaks TLS the cookie never leaves in the clear. The port itself speaks plain HTTP.
fn secure(request: &HttpRequest) -> &'static str {
    if headers::only(request, FORWARDED_PROTO) == Ok(Some("https")) { "; Secure" } else { "" }
}

fn set_cookie(answer: &mut HttpResponse, cookie: &str) {
    if let Ok(value) = header::HeaderValue::from_str(cookie) {
        answer.headers_mut().append(header::SET_COOKIE, value);
    }
}

pub(super) async fn leave(
    console: web::Data<Console>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let came = log_out(&console, &request, payload).await;
    finish(&console, &request, came).await
}

async fn log_out(console: &Console, request: &HttpRequest, payload: web::Payload) -> Result<HttpResponse, Halt> {
    let (visitor, _form) = Visitor::sending(console, request, payload).await?;
    let (store, hash) = (console.http.store.clone(), SessionHash::from(&visitor.token));
    console.http.run(async move { sessions::end(&store, hash).await }).await?;
    let mut leads = lead_to("/console/login?done=logged-out");
    set_cookie(
        &mut leads,
        &format!("{SESSION_COOKIE}=; Path=/console; HttpOnly; SameSite=Strict; Max-Age=0{}", secure(request)),
    );
    Ok(leads)
}

/// Keeps the language in a cookie, and leads back to the page that it was chosen on.
pub(super) async fn speak(
    console: web::Data<Console>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let came = choose(&console, &request, payload).await;
    finish(&console, &request, came).await
}

async fn choose(console: &Console, request: &HttpRequest, payload: web::Payload) -> Result<HttpResponse, Halt> {
    check_origin(request)?;
    let form = console.http.form(request, payload).await?;
    let language = Language::from_word(form.value("language")).unwrap_or(Language::English);
    let back = Some(form.value("back")).filter(|back| is_page(back)).unwrap_or("/console");
    let mut leads = lead_to(back);
    let chosen =
        format!("{LANGUAGE_COOKIE}={}; Path=/console; HttpOnly; SameSite=Strict; Max-Age=31536000", language.as_str());
    set_cookie(&mut leads, &chosen);
    Ok(leads)
}

/// Whether an address is one of a page of ours, can stand in a header, and holds no code.
fn is_page(address: &str) -> bool {
    let rest = address.strip_prefix("/console");
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
        && address.bytes().all(|b| b.is_ascii_graphic())
        && !may_hold_claim_code(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_page_of_the_console_is_led_back_to() {
        for address in ["/console", "/console?done=canceled", "/console/rewards?q=4711"] {
            assert!(is_page(address), "{address}");
        }
        const CODE: &str = "/console/rewards?q=AB12-CD34EF-GH56";
        for address in ["", "/", "//example.com", "/consoles", "https://example.com/console", "/console/\r\nx: y", CODE]
        {
            assert!(!is_page(address), "{address:?}");
        }
    }
}
