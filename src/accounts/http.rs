//! The REST endpoints of Amazon's key pairs: what `noshi accounts keys` does. No pair is shown, only the name that the log and the events
//! have for it.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

use super::{
    Account, Accounts, KeyPairs, KeySlot,
    key_pairs::{
        book::KeyProof,
        commands::{KeyPairStatus, NotActivated, PairOrder, Verified},
        status::SlotStatus,
    },
    scopes,
};
use crate::{
    http::{
        Code, Http, Problem,
        paging::{List, no_query},
        problem::timestamp,
        routing::{no_account, nothing_of, read, resource},
    },
    identity::{Principal, Scope},
};

/// The operations of key pairs.
#[derive(OpenApi)]
#[openapi(paths(all, one, verify, activate), tags((name = "key pairs", description = "Amazon's key pairs of each account: an operator's")))]
pub(crate) struct KeyPairsApi;

/// Adds the routes.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(resource("/v1/key-pairs", "GET, HEAD", [read().to(all)]))
        .service(resource("/v1/key-pairs/{account_id}", "GET, HEAD", [read().to(one)]))
        .service(resource("/v1/key-pairs/{account_id}/{slot}/verify", "POST", [web::post().to(verify)]))
        .service(resource("/v1/key-pairs/{account_id}/{slot}/activate", "POST", [web::post().to(activate)]));
}

#[derive(Serialize, ToSchema)]
#[schema(as = KeyPairs)]
struct KeyPairsView {
    /// Its id.
    #[schema(example = "us")]
    account_id: String,
    /// `false`: the pair is in the settings themselves, and changes with a restart.
    in_files: bool,
    /// How many were seen lately.
    replicas: usize,
    /// The first one and the second one.
    slots: Vec<SlotView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = KeyPairSlot)]
struct SlotView {
    /// `primary` or `second`.
    #[schema(example = "primary")]
    slot: &'static str,
    /// The pair's name in log and events; `null` where the slot is empty.
    #[schema(required, example = "3f2a9c01")]
    key: Option<String>,
    /// `empty`, `unproven`, `refused`, `ended`, `accepted` or `in_force`.
    #[schema(example = "in_force")]
    state: &'static str,
    /// When Amazon was last asked.
    #[schema(required, format = DateTime, example = "2026-11-28T09:30:00.000Z")]
    asked_at: Option<String>,
    /// When it was put in force.
    #[schema(required, format = DateTime, example = "2026-11-28T09:30:00.000Z")]
    in_force_at: Option<String>,
    /// Replicas that hold it.
    held_by: usize,
    /// Replicas that sign with it.
    signed_by: usize,
    /// What is to be done: `none`, `wait_for_amazon`, `wait_for_replicas`, `activate`, `correct`, `wait_for_requests`, `deactivate` or `delete`.
    #[schema(example = "none")]
    advice: &'static str,
}

#[derive(Serialize, ToSchema)]
#[schema(as = KeyPairProof)]
struct ProofView {
    /// Its id.
    #[schema(example = "us")]
    account_id: String,
    /// `primary` or `second`.
    #[schema(example = "second")]
    slot: &'static str,
    /// `accepted` or `refused`, by Amazon.
    proof: &'static str,
}

impl From<SlotStatus> for SlotView {
    fn from(status: SlotStatus) -> Self {
        Self {
            slot: status.slot.as_str(),
            key: status.key,
            state: status.state.as_str(),
            asked_at: status.asked_at.map(timestamp),
            in_force_at: status.in_force_at.map(timestamp),
            held_by: status.held_by,
            signed_by: status.signed_by,
            advice: status.advice.as_str(),
        }
    }
}

impl KeyPairsView {
    fn new(account: &Account, status: Option<KeyPairStatus>) -> Self {
        let in_files = status.is_some();
        let (slots, replicas) = status.map_or((Vec::new(), 0), |status| (status.slots, status.replicas));
        let slots = slots.into_iter().map(SlotView::from).collect();
        Self { account_id: account.id().to_owned(), in_files, replicas, slots }
    }
}

impl From<NotActivated> for Problem {
    fn from(why: NotActivated) -> Self {
        match why {
            NotActivated::Empty
            | NotActivated::Another
            | NotActivated::Unproven
            | NotActivated::InForce
            | NotActivated::NotHeld
            | NotActivated::Overtaken => Self::new(Code::INVALID_STATE).detail(why.to_string()),
            NotActivated::Store(error) => error.into(),
        }
    }
}

/// An operator with this scope. Whoever is none is answered as if there were no accounts.
async fn operator(http: &Http, request: &HttpRequest, scope: Scope) -> Result<Principal, Problem> {
    let principal = Principal::of(http, request, scope).await?;
    no_query(request)?;
    if principal.caller().is_operator() { Ok(principal) } else { Err(Problem::new(Code::NOT_FOUND)) }
}

/// An account and the pairs in its files.
fn pairs_of<'a>(accounts: &'a Accounts, id: &str) -> Result<(&'a Account, &'a KeyPairs), Problem> {
    let account = accounts.get(id).ok_or_else(no_account)?;
    let elsewhere = "the account's key pair is not in files: set access_key_id_file and secret_access_key_file";
    let pairs = account.key_pairs().ok_or_else(|| Problem::new(Code::INVALID_STATE).detail(elsewhere))?;
    Ok((account, pairs))
}

fn slot_of(word: &str) -> Result<KeySlot, Problem> {
    KeySlot::from_word(word).ok_or_else(|| nothing_of("no slot: expected primary or second"))
}

async fn view(http: &Http, accounts: &Accounts, id: &str) -> Result<KeyPairsView, Problem> {
    let (accounts, id) = (accounts.clone(), id.to_owned());
    let looked = async move {
        let account = accounts.get(&id).ok_or_else(no_account)?;
        let status = match account.key_pairs() {
            Some(pairs) => Some(pairs.status(account).await?),
            None => None,
        };
        Ok::<_, Problem>(KeyPairsView::new(account, status))
    };
    http.run(looked).await
}

/// List Amazon's key pairs of all accounts
///
/// No pair is shown: `key` is the name that the log and the events have for one.
#[utoipa::path(
    get,
    path = "/v1/key-pairs",
    operation_id = "list_key_pairs",
    tag = "key pairs",
    security(("api_key" = ["key_pairs:read", "clients:all"])),
    responses((status = 200, description = "Of each account", body = List<KeyPairsView>)),
    extensions(("x-problems" = json!(["not-found"])))
)]
async fn all(
    http: web::Data<Http>,
    accounts: web::Data<Accounts>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    operator(&http, &request, scopes::KEY_PAIRS_READ).await?;
    let mut data = Vec::new();
    for account in accounts.iter() {
        data.push(view(&http, &accounts, account.id()).await?);
    }
    Ok(HttpResponse::Ok().json(List { data, next_cursor: None }))
}

/// Read Amazon's key pairs of an account
#[utoipa::path(
    get,
    path = "/v1/key-pairs/{account_id}",
    operation_id = "get_key_pairs",
    tag = "key pairs",
    security(("api_key" = ["key_pairs:read", "clients:all"])),
    params(("account_id" = String, Path, description = "The account's id", example = "us")),
    responses((status = 200, description = "Of the account", body = KeyPairsView)),
    extensions(("x-problems" = json!([])))
)]
async fn one(
    http: web::Data<Http>,
    accounts: web::Data<Accounts>,
    request: HttpRequest,
    account: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    operator(&http, &request, scopes::KEY_PAIRS_READ).await?;
    Ok(HttpResponse::Ok().json(view(&http, &accounts, &account).await?))
}

/// Ask Amazon whether it takes the pair of a slot
///
/// With one signed GetAvailableFunds.
#[utoipa::path(
    post,
    path = "/v1/key-pairs/{account_id}/{slot}/verify",
    operation_id = "verify_key_pair",
    tag = "key pairs",
    security(("api_key" = ["key_pairs:write", "clients:all"])),
    params(("account_id" = String, Path, description = "The account's id", example = "us"), ("slot" = String, Path, description = "`primary` or `second`", example = "second")),
    responses((status = 200, description = "What Amazon answered", body = ProofView)),
    extensions(("x-problems" = json!(["invalid-state"])))
)]
async fn verify(
    http: web::Data<Http>,
    accounts: web::Data<Accounts>,
    request: HttpRequest,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    operator(&http, &request, scopes::KEY_PAIRS_WRITE).await?;
    let (id, slot) = path.into_inner();
    let slot = slot_of(&slot)?;
    let (accounts, name) = (accounts.get_ref().clone(), id.clone());
    let asked = async move {
        let (account, pairs) = pairs_of(&accounts, &name)?;
        pairs.verify(account, slot).await.map_err(Problem::from)
    };
    let proof = match http.run(asked).await? {
        Verified::Answered(KeyProof::Accepted) => "accepted",
        Verified::Answered(KeyProof::Refused) => "refused",
        Verified::Unanswered => {
            let detail = "Amazon did not answer for this pair: try again in a few seconds";
            return Err(Problem::new(Code::DEPENDENCY_UNAVAILABLE).detail(detail));
        }
        Verified::Asking => {
            return Err(Problem::new(Code::QUOTA_EXCEEDED).detail("Amazon is being asked about a pair of the account"));
        }
        Verified::Empty => return Err(NotActivated::Empty.into()),
    };
    Ok(HttpResponse::Ok().json(ProofView { account_id: id, slot: slot.as_str(), proof }))
}

/// The pair that is meant: a replica may hold another in the slot for a moment.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ActivateRequest)]
struct ActivateBody {
    /// The pair's name, as `GET /v1/key-pairs` has it.
    #[schema(example = "3f2a9c01")]
    key: String,
}

/// Put the pair of a slot in force
///
/// Every replica that holds it signs with it within a few seconds. Where it is in force already, the answer is the same: it may be one that
/// was lost.
#[utoipa::path(
    post,
    path = "/v1/key-pairs/{account_id}/{slot}/activate",
    operation_id = "activate_key_pair",
    tag = "key pairs",
    security(("api_key" = ["key_pairs:write", "clients:all"])),
    params(("account_id" = String, Path, description = "The account's id", example = "us"), ("slot" = String, Path, description = "`primary` or `second`", example = "second")),
    request_body = ActivateBody,
    responses((status = 200, description = "The pair is in force", body = KeyPairsView)),
    extensions(("x-problems" = json!(["invalid-state", "audit-unavailable"])))
)]
async fn activate(
    http: web::Data<Http>,
    accounts: web::Data<Accounts>,
    request: HttpRequest,
    path: web::Path<(String, String)>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let principal = operator(&http, &request, scopes::KEY_PAIRS_WRITE).await?;
    let (id, slot) = path.into_inner();
    let slot = slot_of(&slot)?;
    let ActivateBody { key } = http.body(&request, payload).await?;
    let actor = principal.actor(&request);
    let all = accounts.get_ref().clone();
    let ordered = async move {
        let (account, pairs) = pairs_of(&all, &id)?;
        let order = PairOrder { slot, key: Some(&key) };
        let status = match pairs.activate(account, &order, &pairs.scribe().of(actor)).await {
            Err(NotActivated::InForce) => pairs.status(account).await?,
            activated => activated?,
        };
        Ok::<_, Problem>(KeyPairsView::new(account, Some(status)))
    };
    Ok(HttpResponse::Ok().json(http.run(ordered).await?))
}
