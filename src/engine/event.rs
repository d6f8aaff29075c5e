//! What can happen to an order, in the engine's words: a product reads its remote service's answers as these.

use super::order::ReversalFailure;

/// What an answer shows of the effect. A receipt travels beside the machine, never through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sight {
    /// Live, and all as asked.
    Live,
    /// The same, but whose it is, is not shown, or whether it is so still. A read by an operation of its own shows this, and a replay that
    /// may be answered as the id's first use was.
    Unattributed,
    /// Reversed.
    Reversed,
    /// Neither.
    Odd,
    /// Not what was asked.
    Mismatch,
    /// Not there. Only a read by an operation of its own shows this: an attempt that is on its way can still arrive.
    Absent,
    /// The remote service has taken it under an id of its own, and decides later.
    Undecided,
    /// The remote service had taken it, and has decided against it: nothing was done, and under this id nothing will be.
    Declined,
}

/// What a definite refusal means for the same request later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusalClass {
    /// The same request can succeed later.
    Curable,
    /// Repeating the request unchanged is pointless.
    Final,
    /// It is done already, under another id.
    Elsewhere,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// An attempt is about to be committed and then sent.
    Begin,
    /// The lease ran out without an outcome: the process died, or froze. A pending order has one while its caller waits
    /// for the next attempt.
    Abandoned,
    /// An attempt was answered with the effect.
    Seen(Sight),
    /// An attempt was refused for good.
    Refused(RefusalClass),
    /// An attempt's outcome is unknown.
    Lost,
    /// It is proven that an attempt did not reach the remote service, or did nothing there.
    NotSent,
    /// The caller wants it reversed.
    ReversalAsked,
    /// A reversal succeeded.
    ReversalDone,
    /// A reversal was refused for good.
    ReversalRefused(ReversalFailure),
    /// A reversal's outcome is unknown.
    ReversalLost,
    /// It is proven that a reversal did not reach the remote service.
    ReversalNotSent,
    /// The kind's time without proof is over, or the order is too old to be replayed.
    GiveUp,
}
