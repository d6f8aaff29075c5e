//! The frame of every page: navigation, language, what was done; and how a page becomes an answer.

use actix_web::{
    HttpMessage, HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{self, HeaderValue},
        uri::PathAndQuery,
    },
    web,
};
use askama::Template;
use chrono::{DateTime, SecondsFormat, Utc};

use super::{
    Console,
    visitor::{Halt, Visitor, language},
    words::{DoneNote, Words},
};
use crate::{
    events,
    http::{Code, Problem},
    identity::{Scope, caller::CLIENTS_ALL},
    incentives,
    kernel::claim_code::may_hold_claim_code,
    ledger, treasury, webhooks,
};

type LabelOf = fn(&Words) -> &'static str;

/// The pages that are always a click away, and the scope that each needs.
pub(super) const NAVIGATION: &[(&str, LabelOf, Option<Scope>)] = &[
    ("/console", |words| words.overview, None),
    ("/console/rewards", |words| words.rewards, Some(incentives::scopes::REWARDS_READ)),
    ("/console/balances", |words| words.balances, Some(treasury::scopes::BALANCES_READ)),
    ("/console/programs", |words| words.programs, Some(ledger::scopes::PROGRAMS_READ)),
    ("/console/batches", |words| words.batches, Some(incentives::scopes::REWARDS_READ)),
    ("/console/reconciliations", |words| words.reconciliations, Some(MONTHS)),
    ("/console/webhooks", |words| words.webhooks, Some(webhooks::scopes::WEBHOOKS_READ)),
    ("/console/keys", |words| words.keys, Some(CLIENTS_ALL)),
];

/// A link of the navigation.
pub(super) struct NavigationLink {
    pub(super) href: &'static str,
    pub(super) label: &'static str,
    pub(super) is_here: bool,
}

/// Who is logged in, as each page shows it.
pub(super) struct KeyHolder {
    pub(super) key_name: String,
    pub(super) client: String,
    /// What each form of the page shows.
    pub(super) proof: String,
}

/// What is around a page's content.
pub(super) struct PageFrame {
    pub(super) words: &'static Words,
    pub(super) style: String,
    pub(super) script: String,
    pub(super) mark: String,
    /// The page's own address: whoever changes the language comes back to it.
    pub(super) here: String,
    pub(super) links: Vec<NavigationLink>,
    pub(super) holder: Option<KeyHolder>,
    pub(super) done: Option<&'static str>,
    /// When the page was asked for.
    pub(super) now: DateTime<Utc>,
}

impl PageFrame {
    pub(super) fn new(console: &Console, request: &HttpRequest, visitor: Option<&Visitor>) -> Self {
        let (words, assets) = (language(request).words(), &console.assets);
        let path = request.path();
        // What a form led to cannot be got, and an address that somebody typed a code into is not repeated.
        let here = request.uri().path_and_query().map(PathAndQuery::as_str);
        let here = here.filter(|here| request.method().is_safe() && !may_hold_claim_code(here));
        let is_here = |href: &str| path == href || href != "/console" && path.starts_with(href);
        let link = |(href, label, scope): &(&'static str, LabelOf, Option<Scope>)| {
            let may = visitor.is_some_and(|visitor| scope.is_none_or(|scope| visitor.may(scope)));
            may.then(|| NavigationLink { href, label: label(words), is_here: is_here(href) })
        };
        let done = form_urlencoded::parse(request.query_string().as_bytes()).find(|(name, _value)| name == "done");
        Self {
            words,
            style: format!("/console/assets/{}", assets.style),
            script: format!("/console/assets/{}", assets.script),
            mark: format!("/console/assets/{}", assets.mark),
            here: here.unwrap_or("/console").to_owned(),
            links: NAVIGATION.iter().filter_map(link).collect(),
            holder: visitor.map(|visitor| KeyHolder {
                key_name: visitor.principal.key_name.clone(),
                client: visitor.principal.client_name.clone(),
                proof: visitor.token.form_proof(),
            }),
            now: console.http.ambient.now(),
            done: done.and_then(|(_name, word)| DoneNote::from_word(&word)).map(words.done),
        }
    }

    /// What each form of the page shows; empty where nobody is logged in.
    pub(super) fn proof(&self) -> &str {
        self.holder.as_ref().map_or("", |holder| &holder.proof)
    }
}

/// A page that says what went wrong.
#[derive(Template)]
#[template(path = "problem.html", config = "src/console/askama.toml")]
struct ProblemPage<'a> {
    frame: PageFrame,
    heading: &'a str,
    text: String,
    scope: Option<&'static str>,
    code: &'a str,
}

/// Renders a page.
///
/// # Errors
/// `internal` where it cannot be written.
pub(super) fn answer(status: StatusCode, page: &impl Template) -> Result<HttpResponse, Problem> {
    let text = page.render().map_err(|_error| Problem::new(Code::INTERNAL))?;
    Ok(HttpResponse::build(status).content_type("text/html; charset=utf-8").body(text))
}

/// Leads to another page, which is got by GET.
pub(super) fn lead_to(place: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((header::LOCATION, place)).finish()
}

/// What came of a request, as a page. Whoever is logged in stays so on the page of a problem.
///
/// # Errors
/// A problem that not even its own page can say.
pub(super) async fn finish(
    console: &Console,
    request: &HttpRequest,
    came: Result<HttpResponse, Halt>,
) -> Result<HttpResponse, Problem> {
    let (status, scope, problem) = match came {
        Ok(answer) => return Ok(answer),
        Err(Halt::NotLoggedIn) => return Ok(lead_to("/console/login")),
        Err(Halt::NoScope(scope)) => (403, Some(scope), None),
        Err(Halt::Refused(problem)) => (problem.code().status(), None, Some(problem)),
    };
    let known = request.extensions().get::<Visitor>().cloned();
    let visitor = match known {
        // Where there is no page, nobody was looked up yet. Else a second look-up would count under the key's limits.
        None if matches!(status, 404 | 405) => Visitor::of(console, request).await.ok(),
        known => known,
    };
    let frame = PageFrame::new(console, request, visitor.as_ref());
    let words = frame.words;
    let code = problem.as_ref().map_or("insufficient-scope", |problem| problem.code().as_str());
    let own = (words.problem)(code).map(str::to_owned);
    let said = problem.as_ref().map(|problem| problem.said().unwrap_or(problem.code().title()).to_owned());
    let heading = match code {
        "insufficient-scope" => words.no_scope,
        "not-found" => words.not_found,
        "method-not-allowed" => words.wrong_method,
        _ => words.went_wrong,
    };
    let text = own.or(said).unwrap_or_else(|| words.needs_scope.to_owned());
    let page = ProblemPage { frame, heading, text, scope: scope.map(Scope::as_str), code };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer(status, &page)
}

pub(super) async fn nowhere(console: web::Data<Console>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    finish(&console, &request, Err(Problem::new(Code::NOT_FOUND).into())).await
}

/// Answers a request whose method the page does not take, as when the address of a form is typed.
pub(super) async fn wrong_method(
    console: web::Data<Console>,
    request: HttpRequest,
    allowed: &'static str,
) -> Result<HttpResponse, Problem> {
    let mut page = finish(&console, &request, Err(Problem::new(Code::METHOD_NOT_ALLOWED).into())).await?;
    page.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    Ok(page)
}

/// The scope that a month needs.
pub(super) const MONTHS: Scope = events::scopes::LEDGER_READ;

/// An instant for people, and for machines in `datetime`.
pub(super) struct ShownTime {
    pub(super) text: String,
    pub(super) machine: String,
}

impl From<DateTime<Utc>> for ShownTime {
    fn from(at: DateTime<Utc>) -> Self {
        Self {
            text: at.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
            machine: at.to_rfc3339_opts(SecondsFormat::Millis, true),
        }
    }
}

/// An amount for people: with a comma before each three digits of its whole part.
pub(super) fn figure(amount: &impl ToString) -> String {
    let text = amount.to_string();
    let (sign, text) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("-", rest));
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut all = sign.to_owned();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && whole.len().saturating_sub(place).is_multiple_of(3) {
            all.push(',');
        }
        all.push(digit);
    }
    all + rest
}

#[cfg(test)]
mod tests {
    use super::figure;

    #[test]
    fn an_amount_has_a_comma_before_each_three_digits() {
        let shown =
            ["0", "999", "1000", "12345.00", "1234567.89", "-1234.50", "-100", "100000"].map(|text| figure(&text));
        assert_eq!(shown, ["0", "999", "1,000", "12,345.00", "1,234,567.89", "-1,234.50", "-100", "100,000"]);
    }
}
