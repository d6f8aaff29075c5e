//! Each class at the first, second and third attempt to create. What comes before it is a connection that ends without a
//! word, so the second and third meet a row that is ambiguous already.

use std::sync::Arc;

use futures_util::future::join_all;
use noshi::sandbox::{Fault, Operation};

use super::{
    Ran,
    classes::{CLASSES, Class, Made, Means, Stand},
    front::Front,
    ground::{Ground, Order},
    watch::{Step, steps},
};
use crate::support::{Answer, Backend, Shape};

const ATTEMPTS: [usize; 3] = [1, 2, 3];

struct Cell {
    class: &'static Class,
    attempt: usize,
    order: Order,
}

pub(super) async fn run(backend: Backend) -> (Ran, Vec<String>) {
    let fronts = doors(ATTEMPTS.len());
    let ground = Ground::new(backend, fronts, Shape::default()).await;
    let cells = cells(&ground);
    let bought: Vec<&Order> = cells.iter().filter(|cell| is_bought(cell.class)).map(|cell| &cell.order).collect();
    ground.buy_and_forget(&bought).await;
    for cell in &cells {
        let before = (1..cell.attempt).map(|_| Fault::DropBeforeWork);
        ground.script(Operation::CreateGiftCard, &cell.order, before.chain(cell.class.create.fault(cell.attempt)));
        if let Some(front) = cell.order.front {
            ground.fronts[front].open_for(cell.attempt - 1);
        }
    }
    let orders: Vec<Order> = cells.iter().map(|cell| cell.order.clone()).collect();
    let mut told = Vec::new();
    let driven = async {
        told.extend(told_by(&orders, join_all(orders.iter().map(|order| ground.issue(order))).await));
        let refused = |order: &Order, steps: &[Step]| {
            cells.iter().any(|cell| cell.order.key == order.key && steps.len() >= cell.attempt)
        };
        ground.settle(refused, &orders).await;
    };
    tokio::select! { () = ground.abandon() => {}, () = driven => {} }
    let (mut ran, mut wrong) = (Ran::new(), Vec::new());
    for cell in &cells {
        *ran.entry(cell.class.name).or_default() += 1;
        wrong.extend(check(&ground, cell).await);
    }
    // What can be cured is: the same key tries again.
    told.extend(told_by(&orders, join_all(orders.iter().map(|order| ground.issue(order))).await));
    wrong.extend(ground.end_well(&orders, &told).await);
    (ran, wrong)
}

fn is_bought(class: &Class) -> bool {
    matches!(class.create, Made::AlreadyBought)
}

fn cells(ground: &Ground) -> Vec<Cell> {
    let mut cells = Vec::new();
    for class in CLASSES.iter().filter(|class| class.create.exists()) {
        for attempt in ATTEMPTS {
            let front = matches!(class.create, Made::Refused).then_some(attempt - 1);
            let order = ground.order(format!("{}-at-{attempt}", class.name), front);
            cells.push(Cell { class, attempt, order });
        }
    }
    cells
}

/// The codes that answers handed over.
pub(super) fn told_by(orders: &[Order], answers: Vec<Answer>) -> Vec<(String, String)> {
    let told = |(order, answer): (&Order, Answer)| {
        answer.json["claim_code"].as_str().map(|code| (order.key.clone(), code.to_owned()))
    };
    orders.iter().zip(answers).filter_map(told).collect()
}

async fn check(ground: &Ground, cell: &Cell) -> Vec<String> {
    let Cell { class, attempt, order } = cell;
    let steps = steps(&ground.seen(order).await);
    let before = if *attempt == 1 { Stand::NEW } else { Stand { state: "unresolved", ambiguous: true, ..Stand::NEW } };
    let fault = class.create.fault(*attempt);
    let expected = before.after_create(class, fault.as_ref());
    let mut wrong = Vec::new();
    if let Some(early) = steps.iter().take(attempt - 1).find(|step| step.row.state != "unresolved") {
        wrong.push(format!("{}: before its attempt it was {early:?}", order.key));
    }
    let Some(step) = steps.get(attempt - 1) else { return vec![format!("{}: no such attempt: {steps:?}", order.key)] };
    wrong.extend(differs(class, expected, step).map(|why| format!("{}: {why}: {step:?}", order.key)));
    let heard = ground.heard(Operation::CreateGiftCard, order);
    let met = heard.get(attempt - 1).map(|request| request.fault.clone());
    if !matches!(class.create, Made::Refused) && met != Some(fault) {
        wrong.push(format!("{}: attempt {attempt} met {met:?}", order.key));
    }
    wrong
}

/// How the row right after an attempt is not as the table says.
pub(super) fn differs(class: &Class, expected: Stand, step: &Step) -> Option<String> {
    let row = &step.row;
    if (row.state.as_str(), row.ambiguous) != (expected.state, expected.ambiguous) {
        return Some(format!("must be {expected:?}"));
    }
    let attention = if let Means::Odd(why) = class.means { Some(why) } else { None };
    if row.attention.as_deref() != attention {
        return Some(format!("must need attention for {attention:?}"));
    }
    let is_card = matches!(class.means, Means::Card | Means::Odd(_) | Means::Abandoned);
    let named = step.word.as_deref().is_some_and(|word| class.words.contains(&word));
    (named == is_card).then(|| format!("must be called one of {:?}", class.words))
}

/// So many doors.
pub(super) fn doors(count: usize) -> Vec<Arc<Front>> {
    (0..count).map(|_| Front::new("POST /CreateGiftCard")).collect()
}
