//! Histories that must not pass: made by hand, and made from recorded ones by changing one answer.

use super::{
    model::{Asked, Phase, Told, View},
    search::{Op, explain},
};

const fn view(phase: Phase) -> View {
    View { phase, cancel_requested: false, cancel_failed: false }
}

const fn state(phase: Phase) -> Told {
    Told::State(view(phase))
}

const fn code(code: u8) -> Told {
    Told::Code { bought: false, code }
}

/// A change to one answer, and what it makes of the history.
pub(super) type Change = (&'static str, fn(&[Op]) -> Option<Vec<Op>>);

/// Each makes a history that no service may produce, where the history has what it takes.
pub(super) const CHANGES: [Change; 7] = [
    ("two codes", |ops| {
        let mut told = ops.iter().enumerate().filter(|(_at, op)| matches!(op.told, Told::Code { .. }));
        let ((_first, _), (second, _)) = (told.next()?, told.next()?);
        let other =
            |told| if let Told::Code { bought, .. } = told { Told::Code { bought, code: u8::MAX } } else { told };
        Some(changed(ops, second, other(ops[second].told)))
    }),
    ("a code after a cancel", |ops| {
        after(ops, is_canceled, |op| matches!(op.asked, Asked::Issue | Asked::Reveal), code(0))
    }),
    ("bought twice", |ops| after(ops, has_code, |op| op.told == code(0), Told::Code { bought: true, code: 0 })),
    ("back to nothing", |ops| after(ops, has_code, |op| op.asked == Asked::Read, Told::Nothing)),
    ("back to issuing", |ops| after(ops, has_code, |op| op.asked == Asked::Read, state(Phase::Issuing))),
    ("a cancel undone", |ops| after(ops, is_canceled, |op| op.asked == Asked::Read, state(Phase::Issued))),
    ("canceled by nobody", |ops| {
        let nobody = ops.iter().all(|op| op.asked != Asked::Cancel);
        nobody.then(|| after(ops, has_code, |op| op.asked == Asked::Read, state(Phase::Canceled)))?
    }),
];

fn is_canceled(op: &Op) -> bool {
    op.told == state(Phase::Canceled)
}

fn has_code(op: &Op) -> bool {
    matches!(op.told, Told::Code { .. })
}

/// Tells another thing to a request that began after such a one had been answered.
fn after(ops: &[Op], such: fn(&Op) -> bool, whose: fn(&Op) -> bool, told: Told) -> Option<Vec<Op>> {
    let known = ops.iter().filter(|op| such(op)).map(|op| op.until).min()?;
    let at = ops.iter().position(|op| op.from > known && op.told != Told::Lost && whose(op))?;
    Some(changed(ops, at, told))
}

fn changed(ops: &[Op], at: usize, told: Told) -> Vec<Op> {
    let mut ops = ops.to_vec();
    ops[at].told = told;
    ops
}

/// One after the other, unless a time is given.
fn history(ops: &[(Asked, Told)]) -> Vec<Op> {
    let op = |(at, (asked, told)): (u64, &(Asked, Told))| {
        let until = if *told == Told::Lost { u64::MAX } else { 10 * at + 5 };
        Op { asked: *asked, told: *told, from: 10 * at, until }
    };
    (0..).zip(ops).map(op).collect()
}

const BOUGHT: Told = Told::Code { bought: true, code: 0 };
const CANCELING: Told = Told::State(View { phase: Phase::Canceling, cancel_requested: true, cancel_failed: false });
const UNWANTED: Told = Told::State(View { phase: Phase::Issuing, cancel_requested: true, cancel_failed: false });

/// Without it the cancel may have failed, and the code be good again.
const GONE: (Asked, Told) = (Asked::Read, state(Phase::Canceled));

#[test]
fn what_the_promise_allows_is_explained() {
    let again = (Asked::Issue, code(0));
    let good: &[&[(Asked, Told)]] = &[
        &[(Asked::Read, Told::Nothing), (Asked::Issue, BOUGHT), again, (Asked::Read, state(Phase::Issued)), again],
        &[(Asked::Issue, state(Phase::Issuing)), (Asked::Read, state(Phase::Unresolved)), again],
        &[
            (Asked::Issue, BOUGHT),
            (Asked::Cancel, CANCELING),
            (Asked::Reveal, Told::Gone),
            (Asked::Cancel, state(Phase::Canceled)),
        ],
        &[(Asked::Issue, state(Phase::Issuing)), (Asked::Cancel, UNWANTED), (Asked::Issue, state(Phase::Canceled))],
        // Refused, cured, bought; a cancel that Amazon does not permit leaves the code.
        &[(Asked::Issue, Told::Failed), (Asked::Cancel, Told::NotNow), (Asked::Issue, BOUGHT)],
        &[(Asked::Issue, BOUGHT), (Asked::Cancel, Told::CancelFailed), (Asked::Reveal, code(0))],
        // A request that nobody heard of again has bought, later.
        &[(Asked::Issue, Told::Lost), (Asked::Read, Told::Nothing), (Asked::Issue, code(0))],
        &[(Asked::Issue, Told::Lost), (Asked::Read, Told::Nothing), (Asked::Issue, BOUGHT)],
        &[(Asked::Issue, BOUGHT), (Asked::Cancel, Told::Lost), again, (Asked::Read, state(Phase::Canceled))],
    ];
    for ops in good {
        assert!(explain(&history(ops)).is_ok(), "{ops:?}");
    }
}

#[test]
fn what_breaks_the_promise_is_not() {
    let bad: &[&[(Asked, Told)]] = &[
        &[(Asked::Issue, BOUGHT), (Asked::Issue, BOUGHT)],
        &[(Asked::Issue, code(0))],
        &[(Asked::Issue, BOUGHT), (Asked::Issue, code(1))],
        &[(Asked::Issue, BOUGHT), (Asked::Reveal, code(1))],
        &[(Asked::Issue, BOUGHT), (Asked::Read, Told::Nothing)],
        &[(Asked::Issue, BOUGHT), (Asked::Read, state(Phase::Unresolved))],
        &[(Asked::Issue, BOUGHT), (Asked::Issue, Told::Failed)],
        &[(Asked::Issue, state(Phase::Unresolved)), (Asked::Issue, Told::Failed)],
        &[(Asked::Issue, BOUGHT), (Asked::Read, state(Phase::Canceled))],
        &[(Asked::Issue, BOUGHT), (Asked::Cancel, CANCELING), (Asked::Reveal, code(0)), GONE],
        &[(Asked::Issue, BOUGHT), (Asked::Cancel, CANCELING), (Asked::Issue, code(0)), GONE],
        &[(Asked::Issue, BOUGHT), (Asked::Cancel, CANCELING), (Asked::Read, state(Phase::Issued))],
        &[(Asked::Issue, state(Phase::Issuing)), (Asked::Cancel, UNWANTED), (Asked::Issue, code(0)), GONE],
        &[(Asked::Issue, state(Phase::Issuing)), (Asked::Cancel, UNWANTED), (Asked::Read, state(Phase::Issuing))],
        &[(Asked::Issue, BOUGHT), (Asked::Cancel, state(Phase::Canceled)), (Asked::Cancel, Told::CancelFailed)],
        &[(Asked::Read, state(Phase::Issuing))],
        &[(Asked::Reveal, code(0)), (Asked::Issue, BOUGHT)],
    ];
    for ops in bad {
        assert!(explain(&history(ops)).is_err(), "{ops:?}");
    }
    // What is impossible one after the other is not when it happens at once.
    let at_once = |ops: &[(Asked, Told)]| {
        let mut ops = history(ops);
        ops.iter_mut().for_each(|op| (op.from, op.until) = (0, 5));
        explain(&ops)
    };
    assert!(at_once(&[(Asked::Reveal, code(0)), (Asked::Issue, BOUGHT)]).is_ok());
    assert!(at_once(&[(Asked::Issue, BOUGHT), (Asked::Cancel, CANCELING), (Asked::Reveal, code(0))]).is_ok());
    assert!(at_once(&[(Asked::Issue, BOUGHT), (Asked::Issue, BOUGHT)]).is_err());
    assert!(at_once(&[(Asked::Issue, BOUGHT), (Asked::Reveal, code(1))]).is_err());
}
