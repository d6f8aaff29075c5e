//! The state machine: what an event makes of a stage. Pure: the caller brings the stage and the instant.
//!
//! Every stage × event is decided here, and a table test holds all of them. The rules that are easy to get wrong:
//! - doubt is sticky: a refusal after it proves nothing;
//! - an effect is believed only when it is live and all as asked;
//! - a read that does not show whose the effect is proves it only together with an answer to our own id;
//! - a reversal is sent only once existence is proven, inside the window that counts from the first send;
//! - while the window is open a refused reversal is tried again, unless the remote service says that its own is over;
//! - before the window is over, "not reversed" is a verdict only if no reversal is in doubt;
//! - what was not reversed and is nobody's needs a person;
//! - a read that does not show whose the effect is ends no doubt about a reversal;
//! - what the remote service has taken and not decided is in doubt; a decision against it that a read shows ends every doubt.

use chrono::{DateTime, Utc};

use super::{
    event::{Event, RefusalClass, Sight},
    order::{Attention, AttentionReason, OnUnproven, Proof, Reversal, ReversalFailure, Reversed, Stage, Try},
    rules::{AfterRefusal, Reading, Rules},
};

/// After so many final refusals of an unproven order, or so many reads that miss what was done, a person decides: going on
/// proves nothing any more.
pub const REFUSALS_MAX: u8 = 3;

/// When the order is taken up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wake {
    /// Never by itself.
    Never,
    /// At once: the same worker goes on.
    Now,
    /// After the ladder's next step.
    Backoff,
    /// Not before this instant.
    At(DateTime<Utc>),
}

/// What an event makes of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Next {
    /// The new stage.
    pub stage: Stage,
    /// The receipt in hand may be given to the caller once this is committed.
    pub deliver: bool,
    /// When the order is due again.
    pub wake: Wake,
}

/// The event does not apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Rejected {
    /// The stage does not know this event.
    #[error("the state does not allow it")]
    InvalidState,
    /// The window for reversals is closed.
    #[error("the window for reversals is closed")]
    WindowClosed,
}

/// An event at its instant, under the rules of the order's kind.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// What happened.
    pub event: Event,
    /// When. Of an answer, this is when its question left: the remote service may have changed since.
    pub at: DateTime<Utc>,
    /// When it is written down. Proofs and reversals are dated by it.
    pub now: DateTime<Utc>,
    /// The kind's rules.
    pub rules: &'a Rules,
    /// What becomes of the order when its outcome is not proven while the caller waits.
    pub on_unproven: OnUnproven,
    /// Someone waits for the receipt. It is handed to nobody else.
    pub awaited: bool,
}

impl Step<'_> {
    /// What the event makes of the stage.
    ///
    /// # Errors
    /// [`Rejected`] when the stage does not allow the event; nothing changes then.
    pub fn apply(&self, stage: Stage) -> Result<Next, Rejected> {
        match stage {
            Stage::Pending => self.of_pending(),
            Stage::Sending(sent) | Stage::Unproven(sent) => self.of_unproven(stage, sent),
            Stage::Proven(proof) => self.of_proven(stage, proof),
            Stage::Refused { retryable } => match self.event {
                Event::Begin if retryable => Ok(self.begin()),
                Event::Begin
                | Event::Abandoned
                | Event::Seen(_)
                | Event::Refused(_)
                | Event::Lost
                | Event::NotSent
                | Event::ReversalAsked
                | Event::ReversalDone
                | Event::ReversalRefused(_)
                | Event::ReversalLost
                | Event::ReversalNotSent
                | Event::GiveUp => Err(Rejected::InvalidState),
            },
            Stage::Reversing(reversal) => self.of_reversing(stage, reversal),
            Stage::Reversed(_) => match self.event {
                Event::ReversalAsked => Ok(to(stage, Wake::Never)),
                Event::Begin
                | Event::Abandoned
                | Event::Seen(_)
                | Event::Refused(_)
                | Event::Lost
                | Event::NotSent
                | Event::ReversalDone
                | Event::ReversalRefused(_)
                | Event::ReversalLost
                | Event::ReversalNotSent
                | Event::GiveUp => Err(Rejected::InvalidState),
            },
            Stage::Attention(_) => Err(Rejected::InvalidState),
        }
    }

    /// As [`Step::apply`], while the caller still waits and another attempt is made before they are answered: until then an
    /// order that is to be reversed when it is not proven in their time is like any other.
    ///
    /// # Errors
    /// As [`Step::apply`].
    pub fn apply_while_awaited(&self, stage: Stage) -> Result<Next, Rejected> {
        Step { on_unproven: OnUnproven::Keep, ..*self }.apply(stage)
    }

    /// The first send, or the first that counts: before it nothing can have been done.
    fn begin(&self) -> Next {
        let sent = Try {
            first_sent_at: self.at,
            doubt: false,
            reversal_wanted: false,
            refusals: 0,
            handed_out: false,
            done: false,
        };
        to(Stage::Sending(sent), Wake::Now)
    }

    /// Nothing was done, and nothing will be.
    fn never_done(&self) -> Next {
        let reversed =
            Reversed { first_sent_at: None, proven_at: None, reversed_at: Some(self.now), reversal_failure: None };
        to(Stage::Reversed(reversed), Wake::Never)
    }

    fn of_pending(&self) -> Result<Next, Rejected> {
        match self.event {
            Event::Begin => Ok(self.begin()),
            Event::ReversalAsked => Ok(self.never_done()),
            Event::GiveUp => Ok(to(Stage::Refused { retryable: true }, Wake::Never)),
            // Nothing was sent, and the caller who waited has had no answer: they count it as not done.
            Event::Abandoned if self.on_unproven == OnUnproven::Reverse => Ok(self.never_done()),
            Event::Abandoned => Ok(self.begin()),
            Event::Seen(_)
            | Event::Refused(_)
            | Event::Lost
            | Event::NotSent
            | Event::ReversalDone
            | Event::ReversalRefused(_)
            | Event::ReversalLost
            | Event::ReversalNotSent => Err(Rejected::InvalidState),
        }
    }

    /// Existence is not proven.
    fn of_unproven(&self, stage: Stage, sent: Try) -> Result<Next, Rejected> {
        let unproven = |sent: Try| {
            let reversal_wanted = sent.reversal_wanted || self.on_unproven == OnUnproven::Reverse;
            to(Stage::Unproven(Try { doubt: true, reversal_wanted, ..sent }), Wake::Backoff)
        };
        match self.event {
            // A replay: the first send stays what it was.
            Event::Begin => Ok(to(stage, Wake::Now)),
            Event::Abandoned => Ok(Next { wake: Wake::Now, ..unproven(sent) }),
            Event::Seen(sight) => Ok(self.seen_unproven(stage, sent, sight)),
            Event::Lost => Ok(unproven(Try { refusals: 0, ..sent })),
            Event::Refused(RefusalClass::Final) if sent.doubt => {
                let refused = Try { refusals: sent.refusals.saturating_add(1), ..sent };
                let over = refused.refusals >= REFUSALS_MAX;
                Ok(if over { attention_of(refused, AttentionReason::RefusedInDoubt) } else { unproven(refused) })
            }
            // Ours may have been done before that, and be gone. Nothing that can be asked would show it.
            Event::Refused(RefusalClass::Elsewhere) if sent.doubt => {
                Ok(attention_of(sent, AttentionReason::DoneElsewhere))
            }
            Event::Refused(RefusalClass::Curable) | Event::NotSent if sent.doubt => Ok(unproven(sent)),
            // It is proven that nothing was done, and nothing is wanted any more.
            Event::Refused(_) | Event::NotSent if sent.reversal_wanted => Ok(self.never_done()),
            // We answer now that nothing was done, and the caller may compensate the customer in another way. A later
            // attempt would pay the customer twice, so the order ends here.
            Event::NotSent if self.on_unproven == OnUnproven::Reverse => Ok(self.never_done()),
            Event::Refused(refusal) => {
                let retryable = refusal == RefusalClass::Curable && self.rules.after_refusal == AfterRefusal::SameId;
                Ok(to(Stage::Refused { retryable }, Wake::Never))
            }
            Event::NotSent => Ok(to(Stage::Pending, Wake::Backoff)),
            Event::ReversalAsked => {
                let sent = Try { reversal_wanted: true, ..sent };
                let stage = match stage {
                    Stage::Sending(_) => Stage::Sending(sent),
                    Stage::Unproven(_)
                    | Stage::Pending
                    | Stage::Proven(_)
                    | Stage::Reversing(_)
                    | Stage::Reversed(_)
                    | Stage::Refused { .. }
                    | Stage::Attention(_) => Stage::Unproven(sent),
                };
                Ok(to(stage, Wake::Now))
            }
            Event::GiveUp => Ok(attention_of(Try { doubt: true, ..sent }, AttentionReason::Unproven)),
            Event::ReversalDone | Event::ReversalRefused(_) | Event::ReversalLost | Event::ReversalNotSent => {
                Err(Rejected::InvalidState)
            }
        }
    }

    fn seen_unproven(&self, stage: Stage, sent: Try, sight: Sight) -> Next {
        match sight {
            // The answer to a replay is that of the id's first use. It may have been reversed since: a read must follow.
            Sight::Live if sent.doubt && self.rules.reading == Reading::Operation && is_sent(&stage) => {
                to(Stage::Unproven(Try { done: true, ..sent }), Wake::Now)
            }
            Sight::Live => self.proven(sent),
            Sight::Unattributed if sent.done => self.proven(sent),
            Sight::Reversed => self.found_reversed(sent),
            // What was done is gone. A read that lags behind would show the same, so it is read again.
            Sight::Absent if sent.done => {
                let missed = Try { refusals: sent.refusals.saturating_add(1), ..sent };
                if missed.refusals >= REFUSALS_MAX {
                    self.found_reversed(missed)
                } else {
                    to(Stage::Unproven(missed), Wake::Backoff)
                }
            }
            Sight::Odd => attention_of(sent, AttentionReason::OddStatus),
            // It was seen done before.
            Sight::Declined if sent.done => attention_of(sent, AttentionReason::OddStatus),
            Sight::Mismatch => attention_of(sent, AttentionReason::Mismatch),
            Sight::Undecided => {
                let reversal_wanted = sent.reversal_wanted || self.on_unproven == OnUnproven::Reverse;
                // Asked again, it may be refused: that is no decision.
                to(Stage::Unproven(Try { doubt: true, reversal_wanted, refusals: 0, ..sent }), Wake::Backoff)
            }
            Sight::Declined if sent.reversal_wanted => self.never_done(),
            Sight::Declined => to(Stage::Refused { retryable: false }, Wake::Never),
            // The answer to an attempt itself proves nothing by that.
            Sight::Absent | Sight::Unattributed if is_sent(&stage) => {
                to(Stage::Unproven(Try { doubt: true, ..sent }), Wake::Backoff)
            }
            // The same bytes leave again, and the doubt stays: the attempt in doubt has not arrived, and can still; or it has,
            // and the answer to its id shows that it was ours.
            Sight::Absent | Sight::Unattributed => to(Stage::Sending(Try { doubt: true, ..sent }), Wake::Now),
        }
    }

    /// It exists, all as asked, and is ours.
    fn proven(&self, sent: Try) -> Next {
        let first_sent_at = sent.first_sent_at;
        if sent.reversal_wanted {
            let handed_out = sent.handed_out;
            let reversal = Reversal { first_sent_at, proven_at: None, doubt: false, refused: None, handed_out };
            return to(Stage::Reversing(reversal), Wake::Now);
        }
        // What has no receipt is the recipient's as soon as it exists.
        let handed_out = sent.handed_out || self.awaited || !self.rules.has_receipt;
        let proof = Proof { first_sent_at, proven_at: self.now, reversal_failure: None, handed_out };
        Next { deliver: self.awaited, ..to(Stage::Proven(proof), Wake::Never) }
    }

    /// It was done under our id, and was reversed.
    fn found_reversed(&self, sent: Try) -> Next {
        if !sent.reversal_wanted && !self.rules.ends_by_itself {
            return attention_of(sent, AttentionReason::CanceledElsewhere);
        }
        let reversed = Reversed {
            first_sent_at: Some(sent.first_sent_at),
            proven_at: None,
            reversed_at: Some(self.now),
            reversal_failure: None,
        };
        to(Stage::Reversed(reversed), Wake::Never)
    }

    fn of_proven(&self, stage: Stage, proof: Proof) -> Result<Next, Rejected> {
        let attention = |why| {
            attention(Attention {
                why: Some(why),
                first_sent_at: Some(proof.first_sent_at),
                proven_at: Some(proof.proven_at),
                doubt: false,
                reversal_wanted: false,
                reversal_failure: proof.reversal_failure,
            })
        };
        match self.event {
            Event::ReversalAsked if self.rules.may_reverse(proof.first_sent_at, self.at) => {
                let reversal = Reversal {
                    first_sent_at: proof.first_sent_at,
                    proven_at: Some(proof.proven_at),
                    doubt: false,
                    refused: None,
                    handed_out: proof.handed_out,
                };
                Ok(to(Stage::Reversing(reversal), Wake::Now))
            }
            Event::ReversalAsked => Err(Rejected::WindowClosed),
            Event::Seen(Sight::Live) => {
                let shown = Proof { handed_out: true, ..proof };
                Ok(Next { deliver: true, ..to(Stage::Proven(shown), Wake::Never) })
            }
            // A read without a receipt that finds it as it was; or one that lags behind.
            Event::Seen(Sight::Unattributed | Sight::Undecided) => Ok(to(stage, Wake::Never)),
            Event::Seen(Sight::Reversed) if self.rules.ends_by_itself => {
                let reversed = Reversed {
                    first_sent_at: Some(proof.first_sent_at),
                    proven_at: Some(proof.proven_at),
                    reversed_at: Some(self.now),
                    reversal_failure: proof.reversal_failure,
                };
                Ok(to(Stage::Reversed(reversed), Wake::Never))
            }
            // What was proven and is gone was reversed.
            Event::Seen(Sight::Reversed | Sight::Absent) => Ok(attention(AttentionReason::CanceledElsewhere)),
            Event::Seen(Sight::Odd | Sight::Declined) => Ok(attention(AttentionReason::OddStatus)),
            Event::Seen(Sight::Mismatch) => Ok(attention(AttentionReason::Mismatch)),
            // A read that came to nothing changes nothing.
            Event::Refused(_) | Event::Lost | Event::NotSent => Ok(to(stage, Wake::Never)),
            Event::Begin
            | Event::Abandoned
            | Event::ReversalDone
            | Event::ReversalRefused(_)
            | Event::ReversalLost
            | Event::ReversalNotSent
            | Event::GiveUp => Err(Rejected::InvalidState),
        }
    }

    fn of_reversing(&self, stage: Stage, reversal: Reversal) -> Result<Next, Rejected> {
        let reversing = |reversal: Reversal, wake| to(Stage::Reversing(reversal), wake);
        let attention = |why| {
            attention(Attention {
                why: Some(why),
                first_sent_at: Some(reversal.first_sent_at),
                proven_at: reversal.proven_at,
                doubt: reversal.doubt,
                reversal_wanted: true,
                reversal_failure: reversal.refused,
            })
        };
        match self.event {
            Event::ReversalDone | Event::Seen(Sight::Reversed | Sight::Absent | Sight::Declined) => {
                let reversed = Reversed {
                    first_sent_at: Some(reversal.first_sent_at),
                    proven_at: reversal.proven_at,
                    reversed_at: Some(self.now),
                    reversal_failure: None,
                };
                Ok(to(Stage::Reversed(reversed), Wake::Never))
            }
            Event::ReversalRefused(failure) => {
                let refused = Reversal { refused: Some(failure), ..reversal };
                // It may not be ready yet: the window decides, and then a read.
                let wake = if refused.is_open(self.rules, self.now) { Wake::Backoff } else { Wake::Now };
                Ok(reversing(refused, wake))
            }
            Event::ReversalLost => Ok(reversing(Reversal { doubt: true, ..reversal }, Wake::Backoff)),
            // The process died with a reversal perhaps on its way.
            Event::Abandoned => Ok(reversing(Reversal { doubt: true, ..reversal }, Wake::Now)),
            Event::ReversalNotSent
            | Event::Refused(_)
            | Event::Lost
            | Event::NotSent
            | Event::Seen(Sight::Undecided) => Ok(to(stage, Wake::Backoff)),
            Event::Seen(sight @ (Sight::Live | Sight::Unattributed)) => Ok(self.verdict(stage, reversal, sight)),
            Event::Seen(Sight::Odd) => Ok(attention(AttentionReason::OddStatus)),
            Event::Seen(Sight::Mismatch) => Ok(attention(AttentionReason::Mismatch)),
            Event::Begin | Event::ReversalAsked => Ok(to(stage, Wake::Now)),
            Event::GiveUp => Ok(attention(AttentionReason::CancelUnproven)),
        }
    }

    /// A read shows an effect that is live. Where it is ours, the reversal did not happen, or has not happened yet.
    fn verdict(&self, stage: Stage, reversal: Reversal, sight: Sight) -> Next {
        if reversal.is_open(self.rules, self.at) {
            return to(stage, Wake::Backoff);
        }
        let certain_at = self.rules.verdict_at(reversal.first_sent_at);
        if reversal.doubt && self.at < certain_at {
            return to(stage, Wake::At(certain_at));
        }
        let failure = reversal.refused.unwrap_or(ReversalFailure::TooLate);
        let attention = |why, reversal_failure| {
            attention(Attention {
                why: Some(why),
                first_sent_at: Some(reversal.first_sent_at),
                proven_at: reversal.proven_at,
                doubt: sight == Sight::Unattributed && reversal.doubt,
                reversal_wanted: true,
                reversal_failure,
            })
        };
        // It may have been reversed, and somebody else may have done it anew; or the answer is that of the id's first use.
        if sight == Sight::Unattributed && reversal.doubt {
            return attention(AttentionReason::CancelUnproven, reversal.refused);
        }
        if !reversal.handed_out {
            return attention(AttentionReason::CancelFailed, Some(failure));
        }
        let proof = Proof {
            first_sent_at: reversal.first_sent_at,
            proven_at: reversal.proven_at.unwrap_or(self.now),
            reversal_failure: Some(failure),
            handed_out: true,
        };
        to(Stage::Proven(proof), Wake::Never)
    }
}

fn to(stage: Stage, wake: Wake) -> Next {
    Next { stage, deliver: false, wake }
}

/// An attempt is under way, and what came is its answer.
const fn is_sent(stage: &Stage) -> bool {
    matches!(stage, Stage::Sending(_))
}

fn attention(attention: Attention) -> Next {
    to(Stage::Attention(attention), Wake::Never)
}

fn attention_of(sent: Try, why: AttentionReason) -> Next {
    attention(Attention {
        why: Some(why),
        first_sent_at: Some(sent.first_sent_at),
        proven_at: None,
        doubt: sent.doubt,
        reversal_wanted: sent.reversal_wanted,
        reversal_failure: None,
    })
}

#[cfg(test)]
mod tests;
