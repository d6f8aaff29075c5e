//! Every ordered pair of classes on a create: the first attempt meets one, the replay the other, and then nothing goes
//! wrong any more. The replay is recovery's where the first attempt leaves the outcome open, and the caller's where it
//! does not: a read of what is issued, another try at what was refused. Nothing is sent for what is over.

use futures_util::future::join_all;
use noshi::sandbox::Operation;

use super::{
    Ran,
    classes::{CLASSES, Class, Made, Stand},
    creates::{differs, doors, told_by},
    ground::{Ground, Order},
    watch::{Step, steps},
};
use crate::support::{Backend, Shape, rounds::count_of};

/// Services side by side: each drives so many rewards at once, and hanging calls would fill one.
const LANES: usize = 3;
/// Of the classes that may come second, every third one comes after a given first one in an everyday run. The next first
/// one begins one further, so that each class comes second, too.
const APART: usize = 3;

struct Pair {
    first: &'static Class,
    second: &'static Class,
    order: Order,
}

impl Pair {
    fn after_first(&self) -> Stand {
        Stand::NEW.after_create(self.first, self.first.create.fault(1).as_ref())
    }

    /// Where the second attempt begins.
    fn before_second(&self) -> Stand {
        let stand = self.after_first();
        if stand.retryable { Stand::NEW } else { stand }
    }

    /// Nothing is sent for it any more, whoever asks.
    fn is_over(&self) -> bool {
        let stand = self.after_first();
        stand.state == "needs_attention" || stand.state == "failed" && !stand.retryable
    }

    fn is_refused(class: &Class) -> bool {
        matches!(class.create, Made::Refused)
    }
}

pub(super) async fn run(backend: Backend) -> (Ran, Vec<String>) {
    let lanes = join_all((0..LANES).map(|lane| run_lane(backend, lane))).await;
    let (mut ran, mut wrong) = (Ran::new(), Vec::new());
    for (of_lane, broken) in lanes {
        for (name, count) in of_lane {
            *ran.entry(name).or_default() += count;
        }
        wrong.extend(broken);
    }
    (ran, wrong)
}

async fn run_lane(backend: Backend, lane: usize) -> (Ran, Vec<String>) {
    let existing: Vec<&'static Class> = CLASSES.iter().filter(|class| class.create.exists()).collect();
    let firsts: Vec<&'static Class> = existing.iter().copied().skip(lane).step_by(LANES).collect();
    let apart = count_of("NOSHI_TEST_PAIRS_APART", APART);
    let of_first = |(at, first): (usize, &&'static Class)| -> Vec<_> {
        existing.iter().skip(at % apart).step_by(apart).map(|second| (*first, *second)).collect()
    };
    let couples: Vec<(&'static Class, &'static Class)> = firsts.iter().enumerate().flat_map(of_first).collect();
    let refused = |couple: &&(&'static Class, &'static Class)| Pair::is_refused(couple.0) || Pair::is_refused(couple.1);
    let ground = Ground::new(backend, doors(couples.iter().filter(refused).count()), Shape::default()).await;
    let mut fronts = 0..;
    let pairs: Vec<Pair> = couples
        .iter()
        .map(|couple| {
            let front = Some(couple).filter(refused).and_then(|_couple| fronts.next());
            let order = ground.order(format!("{}-then-{}", couple.0.name, couple.1.name), front);
            Pair { first: couple.0, second: couple.1, order }
        })
        .collect();
    prepare(&ground, &pairs).await;
    let orders: Vec<Order> = pairs.iter().map(|pair| pair.order.clone()).collect();
    let mut told = Vec::new();
    let driven = async {
        told.extend(told_by(&orders, join_all(orders.iter().map(|order| ground.issue(order))).await));
        let gone_by = |order: &Order, steps: &[Step]| may_open(&pairs, order, steps);
        ground.settle(gone_by, &orders).await;
        let called: Vec<Order> =
            pairs.iter().filter(|pair| !pair.after_first().is_open()).map(|pair| pair.order.clone()).collect();
        told.extend(told_by(&called, join_all(called.iter().map(|order| ground.issue(order))).await));
        ground.fronts.iter().for_each(|front| front.open());
        ground.settle(|_order, _steps| false, &orders).await;
    };
    tokio::select! { () = ground.abandon() => {}, () = driven => {} }
    let (mut ran, mut wrong) = (Ran::new(), Vec::new());
    for pair in &pairs {
        *ran.entry(pair.first.name).or_default() += 1;
        wrong.extend(check(&ground, pair).await);
    }
    // What can be cured is, and what was refused again is asked for again.
    told.extend(told_by(&orders, join_all(orders.iter().map(|order| ground.issue(order))).await));
    wrong.extend(ground.end_well(&orders, &told).await);
    (ran, wrong)
}

/// Cards that are there already, the rules, and the doors.
async fn prepare(ground: &Ground, pairs: &[Pair]) {
    // Where nothing is sent a second time, there is no replay to find the card.
    let bought = |pair: &&Pair| {
        let known = |class: &Class| matches!(class.create, Made::AlreadyBought);
        known(pair.first) || known(pair.second) && !pair.is_over()
    };
    let before: Vec<&Order> = pairs.iter().filter(bought).map(|pair| &pair.order).collect();
    let doors: Vec<usize> = before.iter().filter_map(|order| order.front).collect();
    doors.iter().for_each(|front| ground.fronts[*front].open());
    ground.buy_and_forget(&before).await;
    join_all(doors.iter().map(|front| ground.fronts[*front].shut())).await;
    for pair in pairs {
        let faults = [pair.first.create.fault(1), pair.second.create.fault(2)];
        // A first call that goes well passes the second one's fault by.
        let well = matches!(pair.first.create, Made::Well | Made::AlreadyBought);
        ground.script_after(u32::from(well), Operation::CreateGiftCard, &pair.order, faults.into_iter().flatten());
        if let Some(front) = pair.order.front {
            ground.fronts[front].open_for(usize::from(!Pair::is_refused(pair.first)));
        }
    }
}

/// Whether the last attempt that the door was to refuse is over. Where the replay is the caller's it stays shut until
/// then.
fn may_open(pairs: &[Pair], order: &Order, steps: &[Step]) -> bool {
    let pair = pairs.iter().find(|pair| pair.order.key == order.key).unwrap();
    steps.len() >= if Pair::is_refused(pair.second) { 2 } else { 1 }
}

async fn check(ground: &Ground, pair: &Pair) -> Vec<String> {
    let (first, second) =
        (pair.after_first(), pair.before_second().after_create(pair.second, pair.second.create.fault(2).as_ref()));
    let (seen, key) = (ground.seen(&pair.order).await, &pair.order.key);
    let mut steps = steps(&seen);
    let mut wrong = Vec::new();
    let Some(one) = steps.first().cloned() else { return vec![format!("{key}: no attempt")] };
    wrong.extend(differs(pair.first, first, &one).map(|why| format!("{key}: first {why}: {one:?}")));
    // A door stays shut a little longer than for one call.
    if Pair::is_refused(pair.first) && !Pair::is_refused(pair.second) {
        let more = steps.iter().take_while(|step| step.is_refused_connection()).count();
        drop(steps.drain(1..more.max(1)));
    }
    if pair.is_over() {
        let heard = ground.heard(Operation::CreateGiftCard, &pair.order).len();
        if heard != 1 || steps.len() != 1 {
            wrong.push(format!("{key}: is over, and {heard} calls were heard: {steps:?}"));
        }
        return wrong;
    }
    if first.state == "issued" {
        let last = seen.last().unwrap();
        if last.state != second.state {
            wrong.push(format!("{key}: a read must leave it {}: {last:?}", second.state));
        }
        return wrong;
    }
    match steps.get(1) {
        Some(two) => wrong.extend(differs(pair.second, second, two).map(|why| format!("{key}: then {why}: {two:?}"))),
        None => wrong.push(format!("{key}: there was no replay: {steps:?}")),
    }
    wrong
}
