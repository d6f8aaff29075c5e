//! Programs: what each may spend, and what it has spent.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use askama::Template;

use super::{
    Console,
    page::{PageFrame, answer, figure, finish},
    visitor::{Halt, Visitor},
    words::Words,
};
use crate::{
    http::Problem,
    kernel::Currency,
    ledger::{
        self,
        budget::{Measure, Period},
        programs::{LimitScope, ProgramState, number},
        service::ProgramSpending,
    },
    store::StoreError,
};

/// Programs on a page. An operator makes each of them.
const SHOWN_MAX: usize = 100;

/// One budget of a program.
struct BudgetRow {
    period: &'static str,
    used: String,
    limit: Option<String>,
    /// Of a hundred; a bar is this full.
    share: i64,
}

struct ProgramCard {
    id: String,
    name: String,
    account: String,
    owner: Option<String>,
    is_active: bool,
    budgets: Vec<BudgetRow>,
}

#[derive(Template)]
#[template(path = "programs.html", config = "src/console/askama.toml")]
struct ProgramsPage {
    frame: PageFrame,
    programs: Vec<ProgramCard>,
}

pub(super) async fn show(console: web::Data<Console>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let came = programs(&console, &request).await;
    finish(&console, &request, came).await
}

async fn programs(console: &Console, request: &HttpRequest) -> Result<HttpResponse, Halt> {
    let visitor = Visitor::with(console, request, ledger::scopes::PROGRAMS_READ).await?;
    let (ledger, caller) = (console.ledger.clone(), visitor.caller());
    let work = async move {
        let all = ledger.list().await?.into_iter().filter(|one| caller.deals_with(&one.program.id, one.owner()));
        let with_currency = |spending: ProgramSpending| {
            let currency = ledger.account(&spending.details.program.account).map(|account| account.currency());
            (spending, currency)
        };
        let seen: Vec<_> =
            ledger.spendings(all.take(SHOWN_MAX).collect()).await?.into_iter().map(with_currency).collect();
        Ok::<_, StoreError>(seen)
    };
    let seen = console.http.run(work).await?;
    let frame = PageFrame::new(console, request, Some(&visitor));
    let programs = seen.into_iter().map(|(spending, currency)| card(spending, currency, frame.words)).collect();
    Ok(answer(StatusCode::OK, &ProgramsPage { frame, programs })?)
}

fn card(spending: ProgramSpending, currency: Option<Currency>, words: &Words) -> ProgramCard {
    let budgets = currency.map(|currency| budgets(&spending, currency, words)).unwrap_or_default();
    let program = spending.details.program;
    ProgramCard {
        id: program.id.to_string(),
        name: program.name,
        account: program.account,
        owner: program.owner.map(|owner| owner.name),
        is_active: match program.state {
            ProgramState::Active => true,
            ProgramState::Suspended => false,
        },
        budgets,
    }
}

/// The program's own budgets: what each period has taken, against its hard limit.
fn budgets(spending: &ProgramSpending, currency: Currency, words: &Words) -> Vec<BudgetRow> {
    let own = spending.usage.iter().filter(|usage| usage.holder == ledger::budget::PROGRAM);
    own.flat_map(|usage| Measure::ALL.iter().map(move |measure| (usage, *measure)))
        .map(|(usage, measure)| {
            let limits = spending.details.limits.iter();
            let mut of_this = limits.filter(|one| {
                one.key.is_none() && one.scope == LimitScope::Period(usage.period) && one.measure == measure
            });
            let (hard, taken) = (of_this.next().and_then(|one| one.limit.hard), usage.taken(measure));
            let share = hard
                .filter(|hard| *hard > 0)
                .map_or(0, |hard| i128::from(taken.max(0)).saturating_mul(100).div_euclid(i128::from(hard)).min(100));
            let shown = |minor| match measure {
                Measure::Amount => format!("{} {}", currency, figure(&number(measure, minor, currency))),
                Measure::Count => format!("{} {}", number(measure, minor, currency), words.rewards_unit),
            };
            BudgetRow {
                period: match usage.period {
                    Period::Day => words.period_day,
                    Period::Month => words.period_month,
                    Period::Total => words.period_ever,
                },
                used: shown(taken),
                limit: hard.map(shown),
                share: i64::try_from(share).unwrap_or(100),
            }
        })
        .collect()
}
