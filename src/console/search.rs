//! The search for a reward by any of its three numbers, and lists of rewards.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use askama::Template;
use chrono::DateTime;
use uuid::Uuid;

use super::{
    Console,
    page::{PageFrame, ShownTime, answer, figure, finish, lead_to},
    paging::{ROWS, ROWS_READ, behind, cut},
    visitor::{Halt, Visitor},
    words::Words,
};
use crate::{
    engine::State,
    http::{Problem, paging::end_of_time},
    incentives::{self, Reward, service::ClientNames, sql::list::RewardFilter},
    kernel::{RewardId, claim_code::may_hold_claim_code},
    store::StoreError,
};

/// Characters of the longest number of a reward: an order's.
const NUMBER_MAX: usize = 128;

/// A reward in a list.
pub(super) struct RewardLine {
    pub(super) id: RewardId,
    pub(super) href: String,
    /// The order's number, or the reward's own id where it has none.
    pub(super) name: String,
    pub(super) client: Option<String>,
    pub(super) value: String,
    pub(super) state: &'static str,
    /// The state's word for the style sheet.
    pub(super) mark: &'static str,
    pub(super) at: ShownTime,
}

impl RewardLine {
    fn new(reward: &Reward, names: &ClientNames, words: &Words) -> Self {
        let id = reward.id.to_string();
        Self {
            id: reward.id,
            href: format!("/console/rewards/{id}"),
            name: reward.external_id.clone().unwrap_or(id),
            client: names.of(reward).map(str::to_owned),
            value: format!("{} {}", reward.value.currency(), figure(&reward.value)),
            state: (words.state)(reward.state()),
            mark: reward.state().as_str(),
            at: reward.order.created_at.into(),
        }
    }
}

/// All rewards of this state, or of any, newest first.
pub(super) fn filter(state: Option<State>, limit: i64) -> RewardFilter {
    RewardFilter {
        client: None,
        external_id: None,
        creation_request_id: None,
        state,
        kind: None,
        account: None,
        program: None,
        created_from: DateTime::UNIX_EPOCH,
        created_to: end_of_time(),
        before: Uuid::max(),
        limit,
    }
}

/// The rewards of the visitor's that fit.
pub(super) async fn lines(
    console: &Console,
    visitor: &Visitor,
    filter: RewardFilter,
    words: &Words,
) -> Result<Vec<RewardLine>, Halt> {
    let (rewards, caller) = (console.rewards.clone(), visitor.caller());
    let found = async move {
        Ok::<_, StoreError>((rewards.list(&caller, filter).await?, rewards.client_names(&caller).await?))
    };
    let (found, names) = console.http.run(found).await?;
    Ok(found.iter().map(|reward| RewardLine::new(reward, &names, words)).collect())
}

#[derive(Template)]
#[template(path = "rewards.html", config = "src/console/askama.toml")]
struct RewardsPage {
    frame: PageFrame,
    /// What was searched for; empty: nothing, or what is not repeated.
    number: String,
    /// Why a search found nothing; `None`: there is a list.
    found_none: Option<&'static str>,
    found: Vec<RewardLine>,
    next: Option<String>,
}

pub(super) async fn show(console: web::Data<Console>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let came = search(&console, &request).await;
    finish(&console, &request, came).await
}

/// A code that somebody typed goes no further: neither to the database nor back onto the page.
async fn search(console: &Console, request: &HttpRequest) -> Result<HttpResponse, Halt> {
    let visitor = Visitor::with(console, request, incentives::scopes::REWARDS_READ).await?;
    let frame = PageFrame::new(console, request, Some(&visitor));
    let asked = form_urlencoded::parse(request.query_string().as_bytes()).find(|(name, _value)| name == "q");
    let number = asked.map(|(_name, value)| value.trim().to_owned()).unwrap_or_default();
    if may_hold_claim_code(&number) {
        let (number, found_none) = (String::new(), Some(frame.words.found_no_code));
        return Ok(answer(StatusCode::OK, &RewardsPage { frame, number, found_none, found: Vec::new(), next: None })?);
    }
    let mut found = if number.is_empty() {
        let all = RewardFilter { before: behind(request, Uuid::max())?, ..filter(None, ROWS_READ) };
        lines(console, &visitor, all, frame.words).await?
    } else {
        by_number(console, &visitor, &number, frame.words).await?
    };
    match found.as_slice() {
        [only] if !number.is_empty() => Ok(lead_to(&only.href)),
        _ => {
            let next = cut(&mut found, ROWS, "/console/rewards", |last| last.id.uuid().to_string());
            let next = next.filter(|_place| number.is_empty());
            let found_none = (!number.is_empty() && found.is_empty()).then_some(frame.words.found_none);
            Ok(answer(StatusCode::OK, &RewardsPage { frame, number, found_none, found, next })?)
        }
    }
}

/// By a reward's id, else by the order's number, else by Amazon's id: each is found in an index.
async fn by_number(console: &Console, visitor: &Visitor, number: &str, words: &Words) -> Result<Vec<RewardLine>, Halt> {
    if number.chars().count() > NUMBER_MAX || number.chars().any(char::is_control) {
        return Ok(Vec::new());
    }
    if let Ok(id) = number.parse::<RewardId>() {
        let (rewards, caller) = (console.rewards.clone(), visitor.caller());
        let work = async move {
            Ok::<_, StoreError>((rewards.find(&caller, id).await?, rewards.client_names(&caller).await?))
        };
        let (found, names) = console.http.run(work).await?;
        return Ok(found.iter().map(|reward| RewardLine::new(reward, &names, words)).collect());
    }
    let by_order = RewardFilter { external_id: Some(number.to_owned()), ..filter(None, ROWS_READ) };
    let found = lines(console, visitor, by_order, words).await?;
    if !found.is_empty() {
        return Ok(found);
    }
    let by_request = RewardFilter { creation_request_id: Some(number.to_owned()), ..filter(None, ROWS_READ) };
    lines(console, visitor, by_request, words).await
}
