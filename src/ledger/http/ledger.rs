//! The ledger as pages of JSON, and as streams of CSV or NDJSON of any length, in constant memory.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use chrono_tz::Tz;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, OpenApi, ToSchema};

use crate::http::paging::{List, after, bad_query, from_instant, query, size, text, to_instant};
use crate::{
    accounts::Account,
    events,
    http::{
        Code, Http, Problem, accept,
        problem::timestamp,
        routing::{read, resource},
    },
    identity::{OwnedBy, Principal},
    kernel::glyphs::tame,
    ledger::{
        Ledger,
        journal::{
            LedgerEntry,
            page::{self, EntryFilter, EntryPage},
        },
        movements::{self, Movement},
    },
    store::StoreError,
};

/// Entries that a stream holds at once.
const STREAM_PAGE: i64 = 1000;
/// How long a page of a stream waits for its turn.
const STREAM_PATIENCE: Duration = Duration::from_secs(30);

/// The operations of the ledger.
#[derive(OpenApi)]
#[openapi(paths(entries), tags((name = "finance", description = "The ledger, and what finance and operators should hear of")))]
pub(crate) struct EntriesApi;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(resource("/v1/ledger-entries", "GET, HEAD", [read().to(entries)]));
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct EntriesQuery {
    /// The partner account.
    #[param(example = "us")]
    account_id: Option<String>,
    /// Booked at this instant or later; or on this day or later. Days are those of the account's time zone where `account_id` is given, else
    /// of UTC.
    #[param(example = "2026-11-01")]
    from: Option<String>,
    /// Booked before this instant; or on this day or before.
    #[param(example = "2026-11-30")]
    to: Option<String>,
    /// Of this program.
    #[param(example = "prg_spring")]
    program_id: Option<String>,
    /// Of this movement: `opening`, `deposit`, `reserved`, `issued`, `released`, `canceled`, `adjustment`.
    #[param(example = "issued")]
    kind: Option<String>,
    /// Where to go on: the `next_cursor` of the page before. Opaque.
    cursor: Option<String>,
    /// How many at most.
    #[param(value_type = Option<i64>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<String>,
}

impl EntriesQuery {
    fn into_filter(self, ledger: &Ledger, shown: OwnedBy) -> Result<EntryFilter, Problem> {
        let account = text(self.account_id, "account_id")?;
        let zone = account.as_deref().and_then(|id| ledger.account(id)).map_or(Tz::UTC, Account::time_zone);
        let bad_program = |_malformed| bad_query("program_id", "the id of a program, prg_…");
        let movement = |kind: String| Movement::from_kind(&kind).ok_or_else(|| bad_query("kind", &kinds()));
        Ok(EntryFilter {
            after: after(self.cursor)?,
            account,
            from: from_instant(self.from, &zone)?,
            to: to_instant(self.to, &zone)?,
            program: self.program_id.map(|id| id.parse()).transpose().map_err(bad_program)?,
            movement: self.kind.map(movement).transpose()?,
            shown,
            limit: size(self.limit)?,
        })
    }
}

fn kinds() -> String {
    format!("one of {}", movements::ALL.map(|movement| movement.kind).join(", "))
}

/// An entry on the wire: one level deep, so that JSON, NDJSON and CSV have the same members.
#[derive(Serialize, ToSchema)]
#[schema(as = LedgerEntry)]
struct LedgerEntryView {
    /// Its id; later entries have larger ones.
    #[schema(example = "42")]
    id: String,
    /// When it was booked.
    #[schema(format = DateTime, example = "2026-11-28T09:30:00.000Z")]
    timestamp: String,
    /// The partner account.
    #[schema(example = "us")]
    account_id: String,
    /// The movement, such as `issued`; more may come.
    #[schema(example = "issued")]
    kind: &'static str,
    /// The account that is debited.
    #[schema(example = "issued")]
    debit: &'static str,
    /// The account that is credited.
    #[schema(example = "reserved")]
    credit: &'static str,
    /// A decimal number with the currency's decimal places.
    #[schema(pattern = r"^[0-9]+(\.[0-9]+)?$", example = "25.00")]
    amount: String,
    /// ISO 4217.
    #[schema(example = "USD")]
    currency_code: &'static str,
    /// The reward that it is of.
    #[schema(required)]
    reward_id: Option<String>,
    /// The program that it is of.
    #[schema(required)]
    program_id: Option<String>,
    /// Why, of a correction by hand.
    #[schema(required)]
    note: Option<String>,
    /// Who, of a correction by hand.
    #[schema(required)]
    made_by: Option<String>,
    /// What the caller calls the reward: its `external_id`.
    #[schema(required, example = "order-4711")]
    external_id: Option<String>,
}

impl From<LedgerEntry> for LedgerEntryView {
    fn from(entry: LedgerEntry) -> Self {
        Self {
            id: entry.id.to_string(),
            timestamp: timestamp(entry.at),
            account_id: entry.account,
            kind: entry.movement.kind,
            debit: entry.debit.as_str(),
            credit: entry.credit.as_str(),
            amount: entry.value.to_string(),
            currency_code: entry.value.currency().code(),
            reward_id: entry.reward.map(|id| id.to_string()),
            program_id: entry.program,
            note: entry.note,
            made_by: entry.made_by,
            external_id: entry.external_id,
        }
    }
}

#[derive(Clone, Copy)]
enum StreamFormat {
    Csv,
    NdJson,
}

impl StreamFormat {
    /// What the caller likes best; `None` for pages of JSON.
    fn of(request: &HttpRequest) -> Option<Self> {
        match accept::preferred(request, &["application/json", "text/csv", "application/x-ndjson"])? {
            "text/csv" => Some(Self::Csv),
            "application/x-ndjson" => Some(Self::NdJson),
            _ => None,
        }
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::NdJson => "application/x-ndjson",
        }
    }

    /// What a browser that is to keep the stream calls its file.
    const fn disposition(self) -> &'static str {
        match self {
            Self::Csv => "attachment; filename=\"ledger-entries.csv\"",
            Self::NdJson => "attachment; filename=\"ledger-entries.ndjson\"",
        }
    }

    /// The lines of these entries; CSV's first page has the names above.
    fn lines(self, entries: Vec<LedgerEntry>, first: bool) -> Result<Vec<u8>, Problem> {
        let failed = || Problem::new(Code::INTERNAL);
        match self {
            Self::Csv => {
                let mut csv = csv::WriterBuilder::new().has_headers(first).from_writer(Vec::new());
                if first && entries.is_empty() {
                    csv.write_record(CSV_NAMES).map_err(|_error| failed())?;
                }
                for entry in entries {
                    let view = LedgerEntryView::from(entry);
                    let [note, made_by, external_id] = [view.note, view.made_by, view.external_id]
                        .map(|text| text.map(|text| tame(&text).into_owned()));
                    let view = LedgerEntryView { note, made_by, external_id, ..view };
                    csv.serialize(view).map_err(|_error| failed())?;
                }
                csv.into_inner().map_err(|_error| failed())
            }
            Self::NdJson => {
                let mut lines = Vec::new();
                for entry in entries {
                    serde_json::to_writer(&mut lines, &LedgerEntryView::from(entry)).map_err(|_error| failed())?;
                    lines.push(b'\n');
                }
                Ok(lines)
            }
        }
    }
}

/// The names above a CSV without entries; with entries they are the members' own.
const CSV_NAMES: [&str; 13] = [
    "id",
    "timestamp",
    "account_id",
    "kind",
    "debit",
    "credit",
    "amount",
    "currency_code",
    "reward_id",
    "program_id",
    "note",
    "made_by",
    "external_id",
];

async fn one_page(ledger: &Ledger, filter: &EntryFilter) -> Result<EntryPage, StoreError> {
    page::page(&mut ledger.store.question().await?, filter, &ledger.ambient).await
}

/// A page of a stream. It holds nothing meanwhile, and whoever is cut off begins anew: so it waits longer.
async fn streamed_page(ledger: &Ledger, filter: &EntryFilter) -> Result<EntryPage, StoreError> {
    page::page(&mut ledger.store.question_within(STREAM_PATIENCE).await?, filter, &ledger.ambient).await
}

/// List the entries of the ledger
///
/// `Accept: text/csv` or `application/x-ndjson` streams all of it.
#[utoipa::path(
    get,
    path = "/v1/ledger-entries",
    operation_id = "list_ledger_entries",
    tag = "finance",
    security(("api_key" = ["ledger:read"])),
    params(EntriesQuery),
    responses((status = 200, description = "In the order of writing. As CSV or NDJSON the whole ledger in one stream", content((List<LedgerEntryView> = "application/json"), (String = "text/csv"), (String = "application/x-ndjson")), headers(("Content-Disposition" = Option<String>, description = "Of CSV and NDJSON: the name of a file")))),
    extensions(("x-problems" = json!([])))
)]
async fn entries(
    http: web::Data<Http>,
    ledger: web::Data<Ledger>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let principal = Principal::of(&http, &request, events::scopes::LEDGER_READ).await?;
    let asked: EntriesQuery = query(&request)?;
    let filter = asked.into_filter(&ledger, principal.caller().shown())?;
    let (http, ledger) = (http.get_ref().clone(), ledger.get_ref().clone());
    if let Some(format) = StreamFormat::of(&request) {
        let filter = EntryFilter { limit: STREAM_PAGE, ..filter };
        let lines = stream::try_unfold(Some((http, ledger, filter, true)), move |left| next_lines(format, left));
        let mut answer = HttpResponse::Ok();
        answer.content_type(format.content_type());
        answer.insert_header((header::CONTENT_DISPOSITION, format.disposition()));
        return Ok(answer.streaming(Box::pin(lines)));
    }
    let EntryPage { entries, next } = http.run(async move { one_page(&ledger, &filter).await }).await?;
    let next_cursor = next.map(|id| id.to_string());
    Ok(HttpResponse::Ok().json(List { data: entries.into_iter().map(LedgerEntryView::from).collect(), next_cursor }))
}

type Left = Option<(Http, Ledger, EntryFilter, bool)>;

/// The next lines of a stream. A page that cannot be read cuts the connection: nobody takes half a ledger for the whole.
async fn next_lines(format: StreamFormat, left: Left) -> Result<Option<(web::Bytes, Left)>, Problem> {
    let Some((http, ledger, mut filter, mut first)) = left else { return Ok(None) };
    // A chunk without a byte would be the end of the stream.
    loop {
        let (reader, asked) = (ledger.clone(), filter.clone());
        let EntryPage { entries, next } = http.run(async move { streamed_page(&reader, &asked).await }).await?;
        let lines = web::Bytes::from(format.lines(entries, first)?);
        match (next, lines.is_empty()) {
            (None, true) => return Ok(None),
            (None, false) => return Ok(Some((lines, None))),
            (Some(after), false) => {
                return Ok(Some((lines, Some((http, ledger, EntryFilter { after, ..filter }, false)))));
            }
            (Some(after), true) => (filter.after, first) = (after, false),
        }
    }
}
