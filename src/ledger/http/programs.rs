//! Programs on the wire.

use std::collections::BTreeSet;

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use serde::{Deserialize, Serialize};

use crate::http::paging::{List, no_query};
use crate::{
    audit::AuditActor,
    http::{
        Code, Http, Problem,
        problem::timestamp,
        routing::{read, resource},
    },
    identity::{Principal, Scope},
    kernel::{ApiKeyId, ClientId, Currency, Money, ProgramId, claim_code::looks_like_claim_code},
    ledger::{
        Ledger,
        budget::{Measure, PROGRAM, Usage},
        programs::{ChangedBy, Limit, LimitScope, NewProgram, ProgramLimit, ProgramState, number},
        scopes,
        service::{ProgramChange, ProgramDetails, ProgramSpending},
    },
};

/// Characters of the longest name.
const NAME_LEN_MAX: usize = 100;
/// Limits of one program at most.
const LIMITS_MAX: usize = 64;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(resource("/v1/programs", "GET, HEAD, POST", [read().to(list), web::post().to(create)]))
        .service(resource("/v1/programs/{id}", "GET, HEAD, PATCH", [read().to(get), web::patch().to(change)]))
        .service(resource("/v1/programs/{id}/budget", "GET, HEAD", [read().to(budget)]))
        .service(resource("/v1/programs/{id}/suspend", "POST", [web::post().to(suspend)]))
        .service(resource("/v1/programs/{id}/resume", "POST", [web::post().to(resume)]));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitBody {
    api_key_id: Option<String>,
    span: String,
    unit: Option<String>,
    hard: Option<String>,
    soft: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProgramBody {
    id: String,
    name: String,
    account_id: String,
    /// Whose it is to be; the caller's when it is left out.
    client: Option<String>,
    limits: Option<Vec<LimitBody>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeBody {
    name: Option<String>,
    limits: Option<Vec<LimitBody>>,
}

fn invalid(pointer: &str, detail: &'static str) -> Problem {
    Problem::new(Code::INVALID_REQUEST).field(pointer, "invalid", detail)
}

fn name(text: String) -> Result<String, Problem> {
    let good = !text.is_empty() && text.chars().count() <= NAME_LEN_MAX && !text.chars().any(char::is_control);
    if good && !looks_like_claim_code(&text) {
        return Ok(text);
    }
    Err(invalid("/name", "empty, too long, with control characters, or shaped like a claim code"))
}

/// What is wrong with a limit: the member, and what was expected of it.
type WrongMember = (&'static str, &'static str);

impl LimitBody {
    fn into_limit(self, currency: Currency) -> Result<ProgramLimit, WrongMember> {
        let key = self.api_key_id.map(|text| text.parse::<ApiKeyId>()).transpose();
        let key = key.map_err(|_malformed| ("api_key_id", "not a key's id"))?;
        let scope = LimitScope::from_word(&self.span).ok_or(("span", "reward, day, month or total"))?;
        let measure = match self.unit.as_deref() {
            None => Measure::Amount,
            Some(word) => Measure::from_word(word).ok_or(("unit", "amount or count"))?,
        };
        let read = |text: Option<String>, member| match text {
            None => Ok(None),
            Some(text) => read_number(&text, measure, currency)
                .map(Some)
                .ok_or((member, "an amount with the currency's decimal places, or a count")),
        };
        let limit = Limit { hard: read(self.hard, "hard")?, soft: read(self.soft, "soft")? };
        if scope == LimitScope::Reward && (measure == Measure::Count || limit.soft.is_some()) {
            return Err(("span", "a limit of a single reward is a hard amount"));
        }
        match (limit.hard, limit.soft) {
            (None, None) => Err(("hard", "a limit is hard, soft, or both")),
            (Some(hard), Some(soft)) if soft > hard => Err(("soft", "more than the hard one")),
            _ => Ok(ProgramLimit { key, scope, measure, limit }),
        }
    }
}

fn read_number(text: &str, measure: Measure, currency: Currency) -> Option<i64> {
    match measure {
        Measure::Amount => Money::parse(text, currency).ok().map(Money::minor),
        Measure::Count => text.parse::<u32>().ok().map(i64::from),
    }
}

fn limits(bodies: Vec<LimitBody>, currency: Currency) -> Result<Vec<ProgramLimit>, Problem> {
    if bodies.len() > LIMITS_MAX {
        return Err(invalid("/limits", "at most 64"));
    }
    let (mut limits, mut seen) = (Vec::new(), BTreeSet::new());
    for (at, body) in bodies.into_iter().enumerate() {
        let wrong = |(member, expected): WrongMember| invalid(&format!("/limits/{at}/{member}"), expected);
        let limit = body.into_limit(currency).map_err(wrong)?;
        if !seen.insert((limit.key, limit.scope.as_str(), limit.measure.as_str())) {
            return Err(invalid(&format!("/limits/{at}"), "a limit before it has the same span and unit"));
        }
        limits.push(limit);
    }
    Ok(limits)
}

#[derive(Serialize)]
struct LimitView {
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key_id: Option<String>,
    span: &'static str,
    unit: &'static str,
    hard: Option<String>,
    soft: Option<String>,
}

#[derive(Serialize)]
struct ProgramView {
    id: String,
    name: String,
    account_id: String,
    /// Whose it is; `null`: every client may charge it.
    client: Option<String>,
    currency_code: Option<&'static str>,
    time_zone: Option<&'static str>,
    status: &'static str,
    limits: Vec<LimitView>,
    created_at: String,
    updated_at: String,
}

impl ProgramView {
    fn new(details: ProgramDetails, ledger: &Ledger) -> Self {
        let ProgramDetails { program, limits } = details;
        let account = ledger.account(&program.account);
        let currency = account.map(crate::accounts::Account::currency);
        let text = |measure, value: i64| match currency {
            Some(currency) => number(measure, value, currency),
            None => value.to_string(),
        };
        let limit = |ProgramLimit { key, scope, measure, limit }| LimitView {
            api_key_id: key.map(|key| key.to_string()),
            span: scope.as_str(),
            unit: measure.as_str(),
            hard: limit.hard.map(|hard| text(measure, hard)),
            soft: limit.soft.map(|soft| text(measure, soft)),
        };
        Self {
            id: program.id.to_string(),
            name: program.name,
            currency_code: currency.map(Currency::code),
            time_zone: account.map(|account| account.time_zone().name()),
            account_id: program.account,
            client: program.owner.map(|owner| owner.name),
            status: program.state.as_str(),
            limits: limits.into_iter().map(limit).collect(),
            created_at: timestamp(program.created_at),
            updated_at: timestamp(program.updated_at),
        }
    }
}

/// Who calls, and the program that the path names. What names none, and one that the caller has nothing to do with, are
/// answered like one that is not there.
async fn program_of(
    http: &Http,
    ledger: &Ledger,
    request: &HttpRequest,
    id: &str,
    scope: Scope,
) -> Result<(Principal, ProgramDetails), Problem> {
    let principal = Principal::of(http, request, scope).await?;
    no_query(request)?;
    let id: ProgramId = id.parse().map_err(|_malformed| Problem::new(Code::NOT_FOUND))?;
    let service = ledger.clone();
    let known = http.run(async move { service.details(&id).await }).await?;
    if principal.caller().deals_with(&known.program.id, known.owner()) {
        return Ok((principal, known));
    }
    Err(Problem::new(Code::NOT_FOUND))
}

fn by(principal: &Principal, ledger: &Ledger, request: &HttpRequest) -> ChangedBy {
    let peer = request.peer_addr().map(|peer| peer.ip());
    let actor = AuditActor::ApiKey { client: principal.client, key: principal.key, peer };
    ChangedBy { name: principal.key.to_string(), scribe: ledger.scribe.of(actor) }
}

/// Whose a new program is to be: the caller's, or whose an operator says.
async fn owner_of(
    http: &Http,
    ledger: &Ledger,
    principal: &Principal,
    named: Option<String>,
) -> Result<ClientId, Problem> {
    let Some(name) = named.filter(|name| *name != principal.client_name) else { return Ok(principal.client) };
    if !principal.caller().is_operator() {
        return Err(invalid(
            "/client",
            "the name of the caller's own client: a program of another's takes the scope clients:all",
        ));
    }
    let service = ledger.clone();
    http.run(async move { service.client_of_name(&name).await }).await
}

async fn create(
    http: web::Data<Http>,
    ledger: web::Data<Ledger>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let principal = Principal::of(&http, &request, scopes::PROGRAMS_WRITE).await?;
    let body: ProgramBody = http.body(&request, payload).await?;
    let id: ProgramId = body
        .id
        .parse()
        .map_err(|_malformed| invalid("/id", "prg_ and 1 to 40 characters of a-z, 0-9 and underscore"))?;
    let owner = owner_of(&http, &ledger, &principal, body.client).await?;
    if !principal.caller().deals_with(&id, Some(owner)) {
        return Err(Problem::new(Code::NOT_FOUND));
    }
    let (name, account) = (name(body.name)?, body.account_id);
    let unknown =
        || Problem::new(Code::INVALID_REQUEST).field("/account_id", "unknown", "there is no account of that id");
    let currency = ledger.account(&account).ok_or_else(unknown)?.currency();
    let limits = limits(body.limits.unwrap_or_default(), currency)?;
    let (service, by) = (ledger.get_ref().clone(), by(&principal, &ledger, &request));
    let made = http
        .run(async move {
            let new = NewProgram { id: &id, name: &name, account: &account, owner: Some(owner) };
            service.create(new, &limits, &by).await
        })
        .await?;
    let location = format!("/v1/programs/{}", made.program.id);
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).json(ProgramView::new(made, &ledger)))
}

async fn list(http: web::Data<Http>, ledger: web::Data<Ledger>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let principal = Principal::of(&http, &request, scopes::PROGRAMS_READ).await?;
    no_query(&request)?;
    let service = ledger.get_ref().clone();
    let all = http.run(async move { service.list().await }).await?;
    let caller = principal.caller();
    let own = all.into_iter().filter(|one| caller.deals_with(&one.program.id, one.owner()));
    let data = own.map(|one| ProgramView::new(one, &ledger)).collect();
    Ok(HttpResponse::Ok().json(List { data, next_cursor: None }))
}

async fn get(
    http: web::Data<Http>,
    ledger: web::Data<Ledger>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let (_principal, found) = program_of(&http, &ledger, &request, &id, scopes::PROGRAMS_READ).await?;
    Ok(HttpResponse::Ok().json(ProgramView::new(found, &ledger)))
}

async fn change(
    http: web::Data<Http>,
    ledger: web::Data<Ledger>,
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let (principal, known) = program_of(&http, &ledger, &request, &id, scopes::PROGRAMS_WRITE).await?;
    let body: ChangeBody = http.body(&request, payload).await?;
    let gone = || Problem::new(Code::INVALID_STATE).detail("the program's account is not in the settings");
    let currency = ledger.account(&known.program.account).ok_or_else(gone)?.currency();
    let limits = body.limits.map(|bodies| limits(bodies, currency)).transpose()?;
    let change = ProgramChange { name: body.name.map(name).transpose()?, limits };
    let (service, id, by) = (ledger.get_ref().clone(), known.program.id, by(&principal, &ledger, &request));
    let changed = http.run(async move { service.change(&id, &change, &by).await }).await?;
    Ok(HttpResponse::Ok().json(ProgramView::new(changed, &ledger)))
}

async fn set_state(
    http: web::Data<Http>,
    ledger: web::Data<Ledger>,
    request: HttpRequest,
    id: &str,
    state: ProgramState,
) -> Result<HttpResponse, Problem> {
    let (principal, known) = program_of(&http, &ledger, &request, id, scopes::PROGRAMS_WRITE).await?;
    let (service, id, by) = (ledger.get_ref().clone(), known.program.id, by(&principal, &ledger, &request));
    let changed = http.run(async move { service.set_state(&id, state, &by).await }).await?;
    Ok(HttpResponse::Ok().json(ProgramView::new(changed, &ledger)))
}

async fn suspend(
    http: web::Data<Http>,
    ledger: web::Data<Ledger>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    set_state(http, ledger, request, &id, ProgramState::Suspended).await
}

async fn resume(
    http: web::Data<Http>,
    ledger: web::Data<Ledger>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    set_state(http, ledger, request, &id, ProgramState::Active).await
}

#[derive(Serialize)]
struct BudgetView {
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key_id: Option<String>,
    span: &'static str,
    period: String,
    resets_at: Option<String>,
    used: String,
    reserved: String,
    used_count: i64,
    reserved_count: i64,
    /// What the hard limit leaves; `null` without a hard limit.
    remaining: Option<String>,
    remaining_count: Option<i64>,
}

#[derive(Serialize)]
struct SpendingView {
    program_id: String,
    currency_code: Option<&'static str>,
    budgets: Vec<BudgetView>,
}

fn spending_view(spending: ProgramSpending, ledger: &Ledger) -> SpendingView {
    let ProgramSpending { details: ProgramDetails { program, limits }, usage, resets } = spending;
    let currency = ledger.account(&program.account).map(crate::accounts::Account::currency);
    let amount = |minor: i64| currency.map_or_else(|| minor.to_string(), |it| number(Measure::Amount, minor, it));
    let remaining = |usage: &Usage, measure: Measure| {
        let of_usage = |limit: &&ProgramLimit| {
            limit.holder() == usage.holder
                && limit.scope == LimitScope::Period(usage.period)
                && limit.measure == measure
        };
        let hard = limits.iter().find(of_usage).and_then(|found| found.limit.hard);
        hard.map(|hard| hard.saturating_sub(usage.taken(measure)).max(0))
    };
    let view = |usage: Usage| BudgetView {
        remaining: remaining(&usage, Measure::Amount).map(amount),
        remaining_count: remaining(&usage, Measure::Count),
        api_key_id: Some(usage.holder).filter(|holder| holder != PROGRAM),
        span: usage.period.as_str(),
        resets_at: resets.iter().find(|(period, _)| *period == usage.period).and_then(|(_, at)| at.map(timestamp)),
        period: usage.period_key,
        used: amount(usage.used_minor),
        reserved: amount(usage.reserved_minor),
        used_count: usage.used_count,
        reserved_count: usage.reserved_count,
    };
    SpendingView {
        program_id: program.id.to_string(),
        currency_code: currency.map(Currency::code),
        budgets: usage.into_iter().map(view).collect(),
    }
}

async fn budget(
    http: web::Data<Http>,
    ledger: web::Data<Ledger>,
    request: HttpRequest,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let (_principal, known) = program_of(&http, &ledger, &request, &id, scopes::PROGRAMS_READ).await?;
    let (service, id) = (ledger.get_ref().clone(), known.program.id);
    let spending = http.run(async move { service.spending(&id).await }).await?;
    Ok(HttpResponse::Ok().json(spending_view(spending, &ledger)))
}
