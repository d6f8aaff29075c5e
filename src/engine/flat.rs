//! A stage as a flat row holds it. A slice keeps the fields in columns of its own, and reads them back through
//! [`FlatStage::stage`]: what fits no stage is refused there. A field that a stage has no use for is empty and is not read.

use chrono::{DateTime, Utc};

use super::order::{Attention, AttentionReason, Proof, Reversal, ReversalFailure, Reversed, Stage, State, Try};

/// The fields of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlatStage {
    /// The stage's word.
    pub state: State,
    /// [`Try::doubt`], or [`Attention::doubt`].
    pub doubt: bool,
    /// [`Try::refusals`].
    pub refusals: u8,
    /// [`Stage::reversal_wanted`].
    pub reversal_wanted: bool,
    /// [`Reversal::doubt`].
    pub reversal_doubt: bool,
    /// [`Stage::reversal_failure`].
    pub reversal_failure: Option<ReversalFailure>,
    /// [`Stage::attention`].
    pub attention: Option<AttentionReason>,
    /// [`Stage::first_sent_at`].
    pub first_sent_at: Option<DateTime<Utc>>,
    /// [`Stage::proven_at`].
    pub proven_at: Option<DateTime<Utc>>,
    /// [`Stage::reversed_at`].
    pub reversed_at: Option<DateTime<Utc>>,
    /// Of a refused stage.
    pub retryable: Option<bool>,
    /// Whether its receipt may have been handed out; `None` where nothing can have been.
    pub handed_out: Option<bool>,
    /// [`Try::done`], where it is true.
    pub done: Option<bool>,
}

/// The field of a flat row without which it is no stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// [`FlatStage::first_sent_at`].
    FirstSentAt,
    /// [`FlatStage::proven_at`].
    ProvenAt,
}

impl FlatStage {
    /// The fields of this stage.
    #[must_use]
    pub const fn of(stage: &Stage) -> Self {
        let (doubt, refusals) = match stage {
            Stage::Sending(sent) | Stage::Unproven(sent) => (sent.doubt, sent.refusals),
            Stage::Attention(attention) => (attention.doubt, 0),
            Stage::Pending | Stage::Proven(_) | Stage::Reversing(_) | Stage::Reversed(_) | Stage::Refused { .. } => {
                (false, 0)
            }
        };
        Self {
            state: stage.state(),
            doubt,
            refusals,
            reversal_wanted: stage.reversal_wanted(),
            reversal_doubt: matches!(stage, Stage::Reversing(Reversal { doubt: true, .. })),
            reversal_failure: stage.reversal_failure(),
            attention: stage.attention(),
            first_sent_at: stage.first_sent_at(),
            proven_at: stage.proven_at(),
            reversed_at: stage.reversed_at(),
            handed_out: match stage {
                // Until it is proven only a lost row can have handed anything out.
                Stage::Sending(sent) | Stage::Unproven(sent) => {
                    if sent.handed_out {
                        Some(true)
                    } else {
                        None
                    }
                }
                Stage::Proven(proof) => Some(proof.handed_out),
                Stage::Reversing(reversal) => Some(reversal.handed_out),
                Stage::Attention(Attention { why: Some(AttentionReason::CancelFailed), .. }) => Some(false),
                Stage::Attention(_) | Stage::Pending | Stage::Reversed(_) | Stage::Refused { .. } => None,
            },
            done: match stage {
                Stage::Sending(Try { done: true, .. }) | Stage::Unproven(Try { done: true, .. }) => Some(true),
                Stage::Sending(_)
                | Stage::Unproven(_)
                | Stage::Pending
                | Stage::Proven(_)
                | Stage::Reversing(_)
                | Stage::Reversed(_)
                | Stage::Refused { .. }
                | Stage::Attention(_) => None,
            },
            retryable: if let Stage::Refused { retryable } = stage { Some(*retryable) } else { None },
        }
    }

    /// The stage of these fields.
    ///
    /// # Errors
    /// The field that its state cannot do without.
    pub fn stage(&self) -> Result<Stage, Missing> {
        let sent_at = || self.first_sent_at.ok_or(Missing::FirstSentAt);
        let attempt = || -> Result<Try, Missing> {
            Ok(Try {
                first_sent_at: sent_at()?,
                doubt: self.doubt,
                reversal_wanted: self.reversal_wanted,
                refusals: self.refusals,
                handed_out: self.handed_out == Some(true),
                done: self.done == Some(true),
            })
        };
        Ok(match self.state {
            State::Pending => Stage::Pending,
            State::Issuing => Stage::Sending(attempt()?),
            State::Unresolved => Stage::Unproven(attempt()?),
            State::Issued => Stage::Proven(Proof {
                first_sent_at: sent_at()?,
                proven_at: self.proven_at.ok_or(Missing::ProvenAt)?,
                reversal_failure: self.reversal_failure,
                handed_out: self.handed_out != Some(false),
            }),
            State::Failed => Stage::Refused { retryable: self.retryable == Some(true) },
            State::Canceling => Stage::Reversing(Reversal {
                first_sent_at: sent_at()?,
                proven_at: self.proven_at,
                doubt: self.reversal_doubt,
                refused: self.reversal_failure,
                handed_out: self.handed_out != Some(false),
            }),
            State::Canceled => Stage::Reversed(Reversed {
                first_sent_at: self.first_sent_at,
                proven_at: self.proven_at,
                reversed_at: self.reversed_at,
                reversal_failure: self.reversal_failure,
            }),
            State::NeedsAttention => Stage::Attention(Attention {
                why: self.attention,
                first_sent_at: self.first_sent_at,
                proven_at: self.proven_at,
                doubt: self.doubt || self.reversal_doubt,
                reversal_wanted: self.reversal_wanted,
                reversal_failure: self.reversal_failure,
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::*;

    fn instant() -> impl Strategy<Value = DateTime<Utc>> {
        (0_i64..1000).prop_map(|seconds| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds))
    }

    fn stages() -> impl Strategy<Value = Stage> {
        let failure =
            || proptest::option::of(prop_oneof![Just(ReversalFailure::TooLate), Just(ReversalFailure::NotPermitted)]);
        let maybe = || proptest::option::of(instant());
        let attempt = || {
            (instant(), any::<bool>(), any::<bool>(), 0_u8..3, any::<bool>(), any::<bool>()).prop_map(
                |(first_sent_at, doubt, reversal_wanted, refusals, handed_out, done)| Try {
                    first_sent_at,
                    doubt,
                    reversal_wanted,
                    refusals,
                    handed_out,
                    done,
                },
            )
        };
        let why = (0..AttentionReason::ALL.len()).prop_map(|at| AttentionReason::ALL[at]);
        prop_oneof![
            Just(Stage::Pending),
            attempt().prop_map(Stage::Sending),
            attempt().prop_map(Stage::Unproven),
            any::<bool>().prop_map(|retryable| Stage::Refused { retryable }),
            (instant(), instant(), failure(), any::<bool>()).prop_map(
                |(first_sent_at, proven_at, reversal_failure, handed_out)| {
                    Stage::Proven(Proof { first_sent_at, proven_at, reversal_failure, handed_out })
                }
            ),
            (instant(), maybe(), any::<bool>(), failure(), any::<bool>()).prop_map(
                |(first_sent_at, proven_at, doubt, refused, handed_out)| {
                    Stage::Reversing(Reversal { first_sent_at, proven_at, doubt, refused, handed_out })
                }
            ),
            (maybe(), maybe(), maybe(), failure()).prop_map(
                |(first_sent_at, proven_at, reversed_at, reversal_failure)| {
                    Stage::Reversed(Reversed { first_sent_at, proven_at, reversed_at, reversal_failure })
                }
            ),
            (proptest::option::of(why), maybe(), maybe(), any::<bool>(), any::<bool>(), failure()).prop_map(
                |(why, first_sent_at, proven_at, doubt, reversal_wanted, reversal_failure)| {
                    Stage::Attention(Attention {
                        why,
                        first_sent_at,
                        proven_at,
                        doubt,
                        reversal_wanted,
                        reversal_failure,
                    })
                }
            ),
        ]
    }

    proptest! {
        #[test]
        fn every_stage_comes_back_from_its_fields(stage in stages()) {
            prop_assert_eq!(FlatStage::of(&stage).stage(), Ok(stage));
        }
    }

    #[test]
    fn what_fits_no_stage_is_refused() {
        let bare = FlatStage::of(&Stage::Pending);
        for state in [State::Issuing, State::Unresolved, State::Issued, State::Canceling] {
            assert_eq!(FlatStage { state, ..bare }.stage(), Err(Missing::FirstSentAt), "{}", state.as_str());
        }
        let sent = FlatStage { first_sent_at: Some(DateTime::UNIX_EPOCH), ..bare };
        assert_eq!(FlatStage { state: State::Issued, ..sent }.stage(), Err(Missing::ProvenAt));
    }
}
