//! A month of an account by program: the statement, with a chart. It prints.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web,
};
use askama::Template;
use chrono::{Datelike, Months, NaiveDate};
use futures_util::stream;

use super::{
    Console,
    chart::BarChart,
    page::{MONTHS, PageFrame, answer, figure, finish},
    visitor::{Halt, Visitor},
    words::Words,
};
use crate::{
    http::{Code, Http, Problem},
    identity::caller::CLIENTS_ALL,
    kernel::calendar,
    ledger::statement::{
        self, Statement, StatementAccount, StatementFunds, StatementLine,
        export::{ExportFormat, ExportShape, MonthExport, MonthExportError},
    },
};

/// A program that reads a month.
struct AccountingProgram {
    name: &'static str,
    format: ExportFormat,
    ending: &'static str,
}

const HLEDGER: AccountingProgram =
    AccountingProgram { name: "hledger", format: ExportFormat::Hledger, ending: "journal" };
const BEANCOUNT: AccountingProgram =
    AccountingProgram { name: "Beancount", format: ExportFormat::Beancount, ending: "beancount" };

/// The last month of an account, and this one.
pub(super) struct MonthLink {
    pub(super) account: String,
    pub(super) last: String,
    pub(super) this: String,
}

/// A program's month.
struct MonthRow {
    program: String,
    issued: String,
    count: i64,
    canceled: String,
    net: String,
}

#[derive(Template)]
#[template(path = "month.html", config = "src/console/askama.toml")]
struct MonthPage {
    frame: PageFrame,
    account: String,
    currency: &'static str,
    month: String,
    zone: &'static str,
    /// Where it is for a spreadsheet.
    sheet: String,
    /// Where it is for accounting programs, and what they are called; none for a key that is no operator's.
    books: Vec<(&'static str, String)>,
    is_closed: bool,
    funds: Vec<(&'static str, String)>,
    rows: Vec<MonthRow>,
    total: MonthRow,
    chart: BarChart,
    earlier: Option<String>,
    later: Option<String>,
}

/// Where each account's last month is.
pub(super) fn links(console: &Console) -> Vec<MonthLink> {
    let now = console.http.ambient.now();
    let link = |account: StatementAccount| {
        let this = now.with_timezone(&account.zone).date_naive().with_day(1)?;
        let last = this.checked_sub_months(Months::new(1))?;
        Some(MonthLink { last: address(&account.id, last), this: address(&account.id, this), account: account.id })
    };
    console.ledger.accounts.iter().map(StatementAccount::of).filter_map(link).collect()
}

pub(super) fn address(account: &str, month: NaiveDate) -> String {
    format!("/console/months/{account}/{}", month.format("%Y-%m"))
}

pub(super) async fn show(console: web::Data<Console>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let came = month(&console, &request).await;
    finish(&console, &request, came).await
}

async fn month(console: &Console, request: &HttpRequest) -> Result<HttpResponse, Halt> {
    let visitor = Visitor::with(console, request, MONTHS).await?;
    let statement = asked(console, request, &visitor).await?;
    let later = statement.stretch.to <= console.http.ambient.now();
    let frame = PageFrame::new(console, request, Some(&visitor));
    Ok(answer(StatusCode::OK, &page(frame, &statement, later))?)
}

/// The same for a spreadsheet.
pub(super) async fn sheet(console: web::Data<Console>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let came = as_sheet(&console, &request).await;
    finish(&console, &request, came).await
}

async fn as_sheet(console: &Console, request: &HttpRequest) -> Result<HttpResponse, Halt> {
    let visitor = Visitor::with(console, request, MONTHS).await?;
    let statement = asked(console, request, &visitor).await?;
    let body = statement::sheet::csv(&statement).map_err(|_error| Problem::new(Code::INTERNAL))?;
    let name = format!("attachment; filename=\"{}-{}.csv\"", statement.account.id, statement.month_text());
    let mut answer = HttpResponse::Ok();
    answer.insert_header((header::CONTENT_DISPOSITION, name));
    Ok(answer.content_type("text/csv; charset=utf-8; header=present").body(body))
}

/// The text that hledger reads.
pub(super) async fn hledger(console: web::Data<Console>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let came = as_book(&console, &request, &HLEDGER).await;
    finish(&console, &request, came).await
}

/// The text that Beancount reads.
pub(super) async fn beancount(console: web::Data<Console>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let came = as_book(&console, &request, &BEANCOUNT).await;
    finish(&console, &request, came).await
}

/// The entries of the whole month. The funds are all clients', and so an operator's to see.
async fn as_book(console: &Console, request: &HttpRequest, book: &AccountingProgram) -> Result<HttpResponse, Halt> {
    let visitor = Visitor::with(console, request, MONTHS).await?;
    visitor.must(CLIENTS_ALL)?;
    let statement = asked(console, request, &visitor).await?;
    let name = format!("attachment; filename=\"{}-{}.{}\"", statement.account.id, statement.month_text(), book.ending);
    let shape = ExportShape { format: book.format, append: false };
    let export = MonthExport::new(&console.ledger.store, statement, shape);
    let mut answer = HttpResponse::Ok();
    answer.content_type("text/plain; charset=utf-8").insert_header((header::CONTENT_DISPOSITION, name));
    let parts = stream::try_unfold((console.http.clone(), export), |(http, export)| next_part(http, export));
    Ok(answer.streaming(Box::pin(parts)))
}

/// The next part of a stream. One that cannot be read cuts the connection: nobody takes half a month for the whole.
async fn next_part(http: Http, mut export: MonthExport) -> Result<Option<(web::Bytes, (Http, MonthExport))>, Problem> {
    let (part, export) = http
        .run(async move {
            let part = export.next().await.map_err(|error| match error {
                MonthExportError::Store(error) => error.into(),
                MonthExportError::Io(_) => Problem::new(Code::INTERNAL),
            })?;
            Ok::<_, Problem>((part, export))
        })
        .await?;
    Ok(part.map(|part| (web::Bytes::from(part), (http, export))))
}

/// The statement that the path names.
async fn asked(console: &Console, request: &HttpRequest, visitor: &Visitor) -> Result<Statement, Problem> {
    let not_found = || Problem::new(Code::NOT_FOUND);
    let path = request.match_info();
    let account = console.ledger.account(path.query("account")).map(StatementAccount::of).ok_or_else(not_found)?;
    let month = calendar::month(path.query("month")).ok_or_else(not_found)?;
    let (shown, ledger, now) = (visitor.caller().shown(), console.ledger.clone(), console.http.ambient.now());
    let made = async move { statement::make(&ledger.store, &account, month, &shown, now).await };
    console.http.run(made).await?.ok_or_else(not_found)
}

/// Where the month is for accounting programs. A statement has funds where it is of all clients.
fn books(statement: &Statement) -> Vec<(&'static str, String)> {
    let here = address(&statement.account.id, statement.month);
    let all = [&HLEDGER, &BEANCOUNT].into_iter().filter(|_book| statement.funds.is_some());
    all.map(|book| (book.name, format!("{here}.{}", book.ending))).collect()
}

fn page(frame: PageFrame, statement: &Statement, has_later: bool) -> MonthPage {
    let (words, id) = (frame.words, &statement.account.id);
    let name = |line: &StatementLine| line.program.clone().unwrap_or_else(|| words.no_program.to_owned());
    let bars: Vec<_> = statement.lines.iter().map(|line| (name(line), line.net().minor())).collect();
    let next = |months: Option<NaiveDate>| months.map(|month| address(id, month));
    MonthPage {
        account: id.clone(),
        currency: statement.account.currency.code(),
        month: statement.month_text(),
        zone: statement.account.zone.name(),
        sheet: format!("{}.csv", address(id, statement.month)),
        books: books(statement),
        is_closed: statement.closed,
        funds: statement.funds.as_ref().map(|funds| funds_of(funds, words)).unwrap_or_default(),
        chart: BarChart::new(&bars),
        total: MonthRow::new(&statement.total, words.total.to_owned()),
        earlier: next(statement.month.checked_sub_months(Months::new(1))),
        later: next(statement.month.checked_add_months(Months::new(1)).filter(|_month| has_later)),
        rows: statement.lines.iter().map(|line| MonthRow::new(line, name(line))).collect(),
        frame,
    }
}

fn funds_of(funds: &StatementFunds, words: &Words) -> Vec<(&'static str, String)> {
    let all = [
        (words.opening, funds.opening, true),
        (words.initial, funds.initial.value, funds.initial.entries > 0),
        (words.deposits, funds.deposits.value, true),
        (words.adjustments, funds.adjustments.value, funds.adjustments.entries > 0),
        (words.closing, funds.closing, true),
    ];
    all.into_iter().filter(|(_name, _value, shown)| *shown).map(|(name, value, _)| (name, figure(&value))).collect()
}

impl MonthRow {
    fn new(line: &StatementLine, program: String) -> Self {
        Self {
            program,
            issued: figure(&line.issued.value),
            count: line.issued.entries,
            canceled: figure(&line.canceled.value),
            net: figure(&line.net()),
        }
    }
}
