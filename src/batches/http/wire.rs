//! Batches on the wire.

use std::collections::BTreeMap;

use actix_web::HttpRequest;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::{IntoParams, ToSchema};

use crate::{
    batches::{
        model::{BatchItem, ITEMS_MAX, ItemOutcome, ItemRefusal, RewardBatch, item_key},
        service::{CountedBatch, NewBatch},
        sql::OutcomeCounts,
    },
    http::{
        Code, Problem,
        body::parse,
        paging::{no_query, query},
        problem::timestamp,
        value::ValueView,
    },
    identity::Principal,
    incentives::{
        Command,
        dto::{BatchItemBody, may_be_code},
    },
    kernel::{IdempotencyKey, ProgramId, claim_code::may_hold_claim_code},
    ledger,
};

/// Characters of the longest name.
const NAME_MAX: usize = 100;
/// Faults of items that a refusal lists.
const FAULTS_SHOWN: usize = 20;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(
    as = BatchRequest,
    example = json!({"name": "spring", "items": [
        {"external_id": "order-4711", "value": {"amount": "25.00", "currency_code": "USD"}},
        {"external_id": "order-4712", "value": {"amount": "10.00", "currency_code": "USD"}}
    ]})
)]
pub(super) struct BatchBody {
    /// To find it again: the batches of a campaign may have one name.
    #[schema(min_length = 1, max_length = 100, example = "spring")]
    name: Option<String>,
    /// The program to charge; the one that the key is bound to where it is left out.
    #[schema(example = "prg_spring")]
    program_id: Option<String>,
    /// Which account pays; needed where several deal in the currency.
    #[schema(example = "us")]
    account_id: Option<String>,
    /// What to buy, in this order.
    #[schema(min_items = 1, max_items = 1000)]
    items: Vec<BatchItemBody>,
}

/// What all items of a batch have in common, where its body is lines.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CommonQuery {
    name: Option<String>,
    program_id: Option<String>,
    account_id: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct BatchesQuery {
    /// Those of this name, of one's own client.
    #[param(example = "spring")]
    pub(super) name: Option<String>,
    /// Where to go on: the `next_cursor` of the page before. Opaque.
    pub(super) cursor: Option<String>,
    /// How many at most.
    #[param(value_type = Option<i64>, minimum = 1, maximum = 200, default = 50)]
    pub(super) limit: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct BatchItemsQuery {
    /// Where to go on: the `next_cursor` of the page before. Opaque.
    pub(super) cursor: Option<String>,
    /// How many at most on a page.
    #[param(value_type = Option<i64>, minimum = 1, maximum = 200, default = 50)]
    pub(super) limit: Option<String>,
}

/// A batch as it was sent; an item that cannot be read is a problem.
pub(super) struct BatchUpload {
    name: Option<String>,
    program_id: Option<String>,
    account_id: Option<String>,
    items: Vec<Result<BatchItemBody, Problem>>,
}

impl BatchUpload {
    /// One JSON object.
    pub(super) fn of_json(request: &HttpRequest, bytes: &[u8]) -> Result<Self, Problem> {
        no_query(request)?;
        let BatchBody { name, program_id, account_id, items } = parse(bytes)?;
        Ok(Self { name, program_id, account_id, items: items.into_iter().map(Ok).collect() })
    }

    /// One item a line. An empty line at the end is none.
    pub(super) fn of_lines(request: &HttpRequest, bytes: &[u8]) -> Result<Self, Problem> {
        let CommonQuery { name, program_id, account_id } = query(request)?;
        let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        // One more than there may be is enough to refuse them.
        let lines = text.split(|byte| *byte == b'\n').take(ITEMS_MAX.saturating_add(1));
        Ok(Self { name, program_id, account_id, items: lines.map(parse).collect() })
    }

    /// The batch of this caller, each item checked for shape.
    pub(super) fn into_batch(self, key: IdempotencyKey, principal: &Principal) -> Result<NewBatch, Problem> {
        let Self { name, program_id, account_id, items } = self;
        if items.is_empty() || items.len() > ITEMS_MAX {
            return Err(Problem::new(Code::INVALID_REQUEST).field("/items", "invalid", "1 to 1000 items"));
        }
        check_name(name.as_deref())?;
        let program = program_of(program_id, principal)?;
        let (mut commands, mut faults) = (Vec::with_capacity(items.len()), Vec::new());
        for (at, item) in items.into_iter().enumerate() {
            let read = item.and_then(|item| {
                let key = item_key(&item.external_id).map_err(|_not_a_key| not_a_key())?;
                item.into_command(key, program.as_ref(), account_id.as_deref(), principal)
            });
            match read {
                Ok(command) => commands.push(command),
                Err(problem) => faults.push((at, problem)),
            }
        }
        if !faults.is_empty() {
            return Err(faulty(faults));
        }
        let twice = twice(&commands);
        if !twice.is_empty() {
            return Err(faulty(twice));
        }
        let digest = digest(name.as_deref(), account_id.as_deref(), &commands);
        Ok(NewBatch { key, name, program, commands, digest })
    }
}

fn not_a_key() -> Problem {
    Problem::new(Code::INVALID_REQUEST).field(
        "/external_id",
        "invalid",
        "1 to 128 characters of printable ASCII, no blank at its ends",
    )
}

fn check_name(name: Option<&str>) -> Result<(), Problem> {
    let Some(name) = name else { return Ok(()) };
    if name.is_empty() || name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
        return Err(Problem::new(Code::INVALID_REQUEST).field("/name", "invalid", "1 to 100 printable characters"));
    }
    if may_hold_claim_code(name) { Err(may_be_code("/name")) } else { Ok(()) }
}

/// The program that pays: what the caller names, or what its key is bound to.
fn program_of(named: Option<String>, principal: &Principal) -> Result<Option<ProgramId>, Problem> {
    let invalid = || Problem::new(Code::INVALID_REQUEST).field("/program_id", "invalid", "not a program's id");
    let named = named.map(|text| text.parse::<ProgramId>()).transpose().map_err(|_malformed| invalid())?;
    match (named, &principal.program) {
        (Some(named), Some(own)) if named != *own => Err(Problem::new(ledger::problems::PROGRAM_FORBIDDEN)),
        (named, own) => Ok(named.or_else(|| own.clone())),
    }
}

/// The items whose external id another before them has.
fn twice(commands: &[Command]) -> Vec<(usize, Problem)> {
    let mut first_at: BTreeMap<&str, usize> = BTreeMap::new();
    let mut found = Vec::new();
    for (at, command) in commands.iter().enumerate() {
        let external_id = command.external_id.as_deref().unwrap_or_default();
        match first_at.get(external_id) {
            Some(first) => {
                let detail = format!("another than that of /items/{first}");
                found.push((at, Problem::new(Code::INVALID_REQUEST).field("/external_id", "duplicate", detail)));
            }
            None => {
                first_at.insert(external_id, at);
            }
        }
    }
    found
}

/// One refusal for all that is wrong with items: each fault names its item and the member.
pub(super) fn faulty(faults: Vec<(usize, Problem)>) -> Problem {
    let wrong = faults.len();
    let refused = Problem::new(Code::INVALID_REQUEST).detail(format!(
        "{wrong} items cannot be bought, and nothing was taken; errors has the first {FAULTS_SHOWN} faults"
    ));
    let each = faults.into_iter().flat_map(|(at, problem)| {
        let pointed: Vec<_> = problem
            .errors()
            .iter()
            .map(|error| (format!("/items/{at}{}", error.pointer), error.code, error.detail.clone()))
            .collect();
        let whole = (format!("/items/{at}"), problem.code().as_str(), problem.code().title().into());
        if pointed.is_empty() { vec![whole] } else { pointed }
    });
    each.take(FAULTS_SHOWN).fold(refused, |refused, (pointer, code, detail)| refused.field(pointer, code, detail))
}

/// Tells whether the same was sent again.
fn digest(name: Option<&str>, account: Option<&str>, commands: &[Command]) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix(b"noshi/batch/v1\0");
    hash.update(serde_json::json!([name, account]).to_string());
    for command in commands {
        let (program, value) = (command.program.as_ref().map(ProgramId::as_str), command.value);
        let line = serde_json::json!([
            command.external_id,
            command.kind.as_str(),
            value.minor(),
            value.currency().code(),
            program,
            command.metadata_json(),
        ]);
        hash.update(b"\n");
        hash.update(line.to_string());
    }
    hash.finalize().into()
}

/// How many items came to what; together they are all.
#[derive(Serialize, ToSchema)]
#[schema(as = BatchCounts)]
struct CountsView {
    /// To be bought.
    waiting: i64,
    /// Handed over, and not known yet.
    sent: i64,
    /// Bought.
    issued: i64,
    /// Refused by Amazon.
    failed: i64,
    /// It is not known yet whether they were bought.
    unresolved: i64,
    /// A person decides.
    needs_attention: i64,
    /// Not bought, or given back.
    canceled: i64,
    /// Refused by the service.
    refused: i64,
}

impl From<OutcomeCounts> for CountsView {
    fn from(counts: OutcomeCounts) -> Self {
        let of = |outcome| counts.iter().find(|(counted, _count)| *counted == outcome).map_or(0, |(_of, count)| *count);
        Self {
            waiting: of(ItemOutcome::Waiting),
            sent: of(ItemOutcome::Sent),
            issued: of(ItemOutcome::Issued),
            failed: of(ItemOutcome::Failed),
            unresolved: of(ItemOutcome::Unresolved),
            needs_attention: of(ItemOutcome::NeedsAttention),
            canceled: of(ItemOutcome::Canceled),
            refused: of(ItemOutcome::Refused),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Batch)]
pub(super) struct BatchView {
    /// Its id.
    #[schema(example = "bat_01990000000070008000000000000000")]
    id: String,
    /// Your name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "spring")]
    name: Option<String>,
    /// `running`, `paused`, `canceled` or `finished`; more may come.
    #[schema(example = "running")]
    state: &'static str,
    /// The program that pays.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "prg_spring")]
    program_id: Option<String>,
    /// The account that pays.
    #[schema(example = "us")]
    account_id: String,
    /// How many items it has.
    #[schema(example = 1000)]
    items: i64,
    /// What became of them; absent in lists, and once the items were removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    counts: Option<CountsView>,
    /// The code of the problem that holds it up.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "insufficient-funds")]
    waiting_for: Option<String>,
    /// When it is tried again then.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime, example = "2026-11-28T09:30:00.000Z")]
    resume_at: Option<String>,
    /// When it arrived.
    #[schema(format = DateTime, example = "2026-11-28T09:30:00.000Z")]
    created_at: String,
    /// When nothing of it was left to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime, example = "2026-11-28T09:30:00.000Z")]
    ended_at: Option<String>,
}

impl From<RewardBatch> for BatchView {
    fn from(batch: RewardBatch) -> Self {
        Self {
            id: batch.id.to_string(),
            name: batch.name,
            state: batch.state.as_str(),
            program_id: batch.program.map(|id| id.as_str().to_owned()),
            account_id: batch.account,
            items: batch.items,
            counts: None,
            waiting_for: batch.waiting_for,
            resume_at: batch.resume_at.map(timestamp),
            created_at: timestamp(batch.created_at),
            ended_at: batch.ended_at.map(timestamp),
        }
    }
}

impl From<CountedBatch> for BatchView {
    fn from(counted: CountedBatch) -> Self {
        Self { counts: counted.counts.map(CountsView::from), ..Self::from(counted.batch) }
    }
}

/// Why the service refused an item.
#[derive(Serialize, ToSchema)]
#[schema(as = BatchItemRefusal)]
struct ItemRefusalView {
    /// The code of the problem that a single request would have had.
    #[schema(example = "idempotency-mismatch")]
    code: String,
    /// The member that it is about (JSON Pointer into the item).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "/value")]
    pointer: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = BatchItem)]
pub(super) struct BatchItemView {
    /// Its place in the batch, from 0.
    position: i64,
    /// Your own reference.
    #[schema(example = "order-4711")]
    external_id: String,
    /// What is bought.
    #[schema(example = "gift_code")]
    kind: String,
    /// What it is worth.
    value: ValueView,
    /// `waiting`, `sent`, `issued`, `failed`, `unresolved`, `needs_attention`, `canceled` or `refused`; more may come.
    #[schema(example = "issued")]
    outcome: &'static str,
    /// Its reward, once it was handed over: read it there, reveal its code, cancel it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "rwd_01990000000070008000000000000000")]
    reward_id: Option<String>,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    problem: Option<ItemRefusalView>,
}

impl From<(BatchItem, ItemOutcome)> for BatchItemView {
    fn from(one: (BatchItem, ItemOutcome)) -> Self {
        let (item, outcome) = one;
        Self {
            position: item.position,
            external_id: item.external_id,
            kind: item.kind,
            value: item.value.into(),
            outcome: outcome.as_str(),
            reward_id: item.reward.map(|id| id.to_string()),
            problem: item.refused.map(|ItemRefusal { code, pointer }| ItemRefusalView { code, pointer }),
        }
    }
}
