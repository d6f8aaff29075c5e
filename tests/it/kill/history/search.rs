//! Whether a key's history can be explained: the search of Wing and Gong with Lowe's memory of what was tried.
//!
//! A request has two points inside its time, not one: where it takes effect and, not before it, where what it is told is
//! true. Between any two points the service may take steps by itself.

use std::collections::HashSet;

use super::model::{Asked, Role, Told, Truth};

/// A request and what came of it, in nanoseconds since the run began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Op {
    pub(super) asked: Asked,
    pub(super) told: Told,
    pub(super) from: u64,
    pub(super) until: u64,
}

/// How far a request is, two bits each.
const WAITING: u128 = 0;
const BUYER: u128 = 1;
const OTHER: u128 = 2;
const DONE: u128 = 3;
/// Requests of the longest history.
pub(super) const OPS_MAX: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Node {
    progress: u128,
    truth: Truth,
}

impl Node {
    const fn of(self, at: usize) -> u128 {
        (self.progress >> (2 * at)) & 3
    }

    const fn with(self, at: usize, progress: u128, truth: Truth) -> Self {
        Self { progress: (self.progress & !(3 << (2 * at))) | (progress << (2 * at)), truth }
    }
}

/// Looks for an order that explains the history. Says how many situations were looked at; an error is how far the best
/// of them came.
pub(super) fn explain(ops: &[Op]) -> Result<usize, usize> {
    assert!(ops.len() <= OPS_MAX, "{} requests of one key", ops.len());
    let (mut seen, mut best) = (HashSet::new(), 0);
    let mut open = vec![Node { progress: 0, truth: Truth::START }];
    while let Some(node) = open.pop() {
        if !seen.insert(node) {
            continue;
        }
        let left = |(at, op): &(usize, &Op)| op.told != Told::Lost && node.of(*at) != DONE;
        let Some(soonest) = ops.iter().enumerate().filter(left).map(|(_at, op)| op.until).min() else {
            return Ok(seen.len());
        };
        best = best.max((0..ops.len()).filter(|at| node.of(*at) == DONE).count());
        // Whoever began after another had its answer comes after it.
        let may_go = || ops.iter().enumerate().filter(|(_at, op)| op.from <= soonest);
        // An answer changes nothing for the others (a second code or a second 201 is wrong in any order): where one can
        // be given now, later is no better.
        if let Some(answered) = may_go().find_map(|(at, op)| answer(node, at, op)) {
            open.push(answered);
            continue;
        }
        open.extend(node.truth.by_itself().into_iter().map(|truth| Node { truth, ..node }));
        open.extend(may_go().filter_map(|(at, op)| enter(node, at, op)));
    }
    Err(best)
}

/// The request takes effect, if it can now.
fn enter(node: Node, at: usize, op: &Op) -> Option<Node> {
    let (truth, role) = (node.of(at) == WAITING).then(|| node.truth.enter(op.asked))??;
    // One that nobody heard of may as well have done nothing.
    let idle = op.told == Told::Lost && truth == node.truth;
    (!idle).then(|| node.with(at, if role == Role::Buyer { BUYER } else { OTHER }, truth))
}

/// The request is answered, if what it was told is true now.
fn answer(node: Node, at: usize, op: &Op) -> Option<Node> {
    let looks = matches!(op.asked, Asked::Read | Asked::Reveal);
    let role = match node.of(at) {
        WAITING if looks => Role::Other,
        BUYER => Role::Buyer,
        OTHER => Role::Other,
        _ => return None,
    };
    node.truth.tell(op.asked, role, op.told).map(|truth| node.with(at, DONE, truth))
}
