//! Each class at the first, second and third attempt to cancel. What comes before it is a connection that ends without a
//! word, so the second and third meet a cancel that is in doubt already.

use futures_util::future::join_all;
use noshi::sandbox::{Fault, Operation};

use super::{
    Ran,
    classes::{CLASSES, Class, Made, Means, is_curable},
    front::Front,
    ground::{Ground, Order},
    watch::{Step, steps},
};
use crate::support::{Backend, Shape};

const ATTEMPTS: [usize; 3] = [1, 2, 3];
/// From a cancel's last doubt to the instant from which on "not canceled" is a verdict.
const PAST_THE_VERDICT: i64 = 1000;

struct Cell {
    class: &'static Class,
    attempt: usize,
    order: Order,
}

pub(super) async fn run(backend: Backend) -> (Ran, Vec<String>) {
    let fronts = ATTEMPTS.map(|_| Front::new("POST /CancelGiftCard")).to_vec();
    let mut ground = Ground::new(backend, fronts, Shape::default()).await;
    let cells = cells(&ground);
    let orders: Vec<Order> = cells.iter().map(|cell| cell.order.clone()).collect();
    ground.fronts.iter().for_each(Front::open);
    let issued = join_all(orders.iter().map(|order| ground.issue(order))).await;
    let told: Vec<(String, String)> =
        orders.iter().zip(&issued).map(|(order, answer)| (order.key.clone(), answer.code().to_owned())).collect();
    for cell in &cells {
        // U25: what was done already is asked for again.
        let silent = if cell.class.name == "U25" { Fault::DropAfterWork } else { Fault::DropBeforeWork };
        let before = (1..cell.attempt).map(|_| silent.clone());
        ground.script(Operation::CancelGiftCard, &cell.order, before.chain(cell.class.cancel.fault(cell.attempt)));
        if let Some(front) = cell.order.front {
            ground.fronts[front].shut().await;
            ground.fronts[front].open_for(cell.attempt - 1);
        }
    }
    let driven = async {
        join_all(issued.iter().map(|answer| ground.app.cancel(answer.id()))).await;
        until_only_verdicts_are_left(&ground, &cells).await;
    };
    tokio::select! { () = ground.abandon() => {}, () = driven => {} }
    ground.app.advance(PAST_THE_VERDICT);
    ground.settle(|_order, _steps| false, &orders).await;
    let (mut ran, mut wrong) = (Ran::new(), Vec::new());
    for cell in &cells {
        *ran.entry(cell.class.name).or_default() += 1;
        wrong.extend(check(&ground, cell).await);
    }
    wrong.extend(ground.end_well(&orders, &told).await);
    (ran, wrong)
}

fn cells(ground: &Ground) -> Vec<Cell> {
    let mut cells = Vec::new();
    for class in CLASSES.iter().filter(|class| class.cancel.exists()) {
        for attempt in ATTEMPTS {
            let front = matches!(class.cancel, Made::Refused).then_some(attempt - 1);
            let order = ground.order(format!("{}-at-{attempt}", class.name), front);
            cells.push(Cell { class, attempt, order });
        }
    }
    cells
}

/// Waits for everything but the rows that wait for the instant of the verdict: a cancel of theirs came too late and another
/// may still be on its way.
async fn until_only_verdicts_are_left(ground: &Ground, cells: &[Cell]) {
    const WAITING: &str = "SELECT COUNT(*) FROM rewards WHERE state = 'canceling' AND cancel_failure = 'too_late' \
                           AND lease_token IS NULL";
    const OPEN: &str = "SELECT COUNT(*) FROM rewards WHERE due_at IS NOT NULL";
    for _ in 0..600 {
        for cell in cells {
            // The first step is the create's.
            if let Some(front) = cell.order.front
                && steps(&ground.seen(&cell.order).await).len() > cell.attempt
            {
                ground.fronts[front].open();
            }
        }
        if ground.app.database.number(OPEN).await == ground.app.database.number(WAITING).await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("cancels are still under way");
}

/// Where a cancel's outcome leads, and what a refusal is taken for.
fn after_cancel(class: &Class, fault: Option<&Fault>) -> (&'static str, Option<&'static str>) {
    match class.means {
        Means::Card => ("canceled", None),
        Means::Definite if class.name == "U15" => ("canceling", Some("too_late")),
        // The account's trouble: nothing was done, and the next attempt may find it cured.
        Means::Definite if is_curable(fault) => ("canceling", None),
        Means::Definite => ("canceling", Some("not_permitted")),
        Means::NotSent | Means::KeysRejected | Means::Unknown | Means::Odd(_) | Means::Abandoned => ("canceling", None),
    }
}

async fn check(ground: &Ground, cell: &Cell) -> Vec<String> {
    let Cell { class, attempt, order } = cell;
    let fault = class.cancel.fault(*attempt);
    let (state, failure) = after_cancel(class, fault.as_ref());
    // The first is the create's.
    let steps: Vec<Step> = steps(&ground.seen(order).await).into_iter().skip(1).collect();
    let mut wrong = Vec::new();
    if let Some(early) = steps.iter().take(attempt - 1).find(|step| step.row.state != "canceling") {
        wrong.push(format!("{}: before its attempt it was {early:?}", order.key));
    }
    let Some(step) = steps.get(attempt - 1) else { return vec![format!("{}: no such attempt: {steps:?}", order.key)] };
    if (step.row.state.as_str(), step.row.cancel_failure.as_deref()) != (state, failure) {
        wrong.push(format!("{}: must be {state} {failure:?}: {step:?}", order.key));
    }
    let unnamed = matches!(class.means, Means::Card | Means::Abandoned);
    if step.word.as_deref().is_some_and(|word| class.words.contains(&word)) == unnamed {
        wrong.push(format!("{}: must be called one of {:?}: {step:?}", order.key, class.words));
    }
    let met = ground.heard(Operation::CancelGiftCard, order).get(attempt - 1).map(|request| request.fault.clone());
    if !matches!(class.cancel, Made::Refused) && met != Some(fault) {
        wrong.push(format!("{}: attempt {attempt} met {met:?}", order.key));
    }
    let last = steps.last().map(|step| step.row.state.as_str());
    // Any other refusal is no verdict while the window is open: the next attempt goes through.
    let expected = if failure == Some("too_late") { "issued" } else { "canceled" };
    if last != Some(expected) {
        wrong.push(format!("{}: must end as {expected}: {last:?}", order.key));
    }
    wrong
}
