//! The promise for one key, as small as it can be said: where a reward may stand, what each request may do to it and be
//! told of it, and which steps the service takes by itself. Nothing here knows how the service does it.

/// Where a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    Nothing,
    Pending,
    Issuing,
    Unresolved,
    Issued,
    Failed,
    Canceling,
    Canceled,
}

impl Phase {
    /// The word of an answer's `status`.
    pub(super) fn named(word: &str) -> Option<Self> {
        Some(match word {
            "pending" => Self::Pending,
            "issuing" => Self::Issuing,
            "unresolved" => Self::Unresolved,
            "issued" => Self::Issued,
            "failed" => Self::Failed,
            "canceling" => Self::Canceling,
            "canceled" => Self::Canceled,
            _ => return None,
        })
    }
}

/// What a caller sees of a reward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct View {
    pub(super) phase: Phase,
    pub(super) cancel_requested: bool,
    pub(super) cancel_failed: bool,
}

/// What is true of a key at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Truth {
    pub(super) view: View,
    /// A refusal that may be cured: the same key tries again.
    curable: bool,
    /// The only code that anyone was ever told.
    code: Option<u8>,
    /// Someone was told 201.
    sold: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Issue,
    Cancel,
    Read,
    Reveal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// There is no such reward.
    Nothing,
    State(View),
    /// 201 (`bought`) or 200, and the code.
    Code {
        bought: bool,
        code: u8,
    },
    /// Amazon refused the purchase.
    Failed,
    /// 410: canceled, or on its way there.
    Gone,
    /// 409: the state does not allow it.
    NotNow,
    /// 409: Amazon did not permit the cancel.
    CancelFailed,
    /// No answer, or one that leaves it open whether the request did something. It may still do it at any later time.
    Lost,
}

/// What a request was to its key when it took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// It bought, or tried again after a refusal.
    Buyer,
    Other,
}

impl Truth {
    pub(super) const START: Self = Self {
        view: View { phase: Phase::Nothing, cancel_requested: false, cancel_failed: false },
        curable: false,
        code: None,
        sold: false,
    };

    const fn at(self, phase: Phase) -> Self {
        Self { view: View { phase, ..self.view }, ..self }
    }

    /// What the service may make of it by itself, at any time.
    pub(super) fn by_itself(self) -> Vec<Self> {
        let unwanted = self.view.cancel_requested;
        match self.view.phase {
            Phase::Pending => vec![self.at(Phase::Issuing)],
            Phase::Issuing if unwanted => {
                vec![self.at(Phase::Unresolved), self.at(Phase::Canceling), self.canceled()]
            }
            Phase::Issuing => {
                let failed = self.at(Phase::Failed);
                let (curable, final_) = (Self { curable: true, ..failed }, Self { curable: false, ..failed });
                vec![self.at(Phase::Issued), self.at(Phase::Unresolved), self.at(Phase::Pending), curable, final_]
            }
            Phase::Unresolved if unwanted => vec![self.at(Phase::Canceling)],
            Phase::Unresolved => vec![self.at(Phase::Issued)],
            Phase::Canceling => {
                let refused = View { cancel_failed: true, ..self.view };
                let kept = View { phase: Phase::Issued, cancel_requested: false, cancel_failed: true };
                vec![self.canceled(), Self { view: refused, ..self }, Self { view: kept, ..self }]
            }
            Phase::Nothing | Phase::Issued | Phase::Failed | Phase::Canceled => Vec::new(),
        }
    }

    const fn canceled(self) -> Self {
        let view = View { phase: Phase::Canceled, cancel_requested: false, cancel_failed: false };
        Self { view, ..self }
    }

    /// A request's effect; `None` where it can have none now.
    pub(super) fn enter(self, asked: Asked) -> Option<(Self, Role)> {
        let wished = |phase| {
            let view = View { phase, cancel_requested: true, cancel_failed: false };
            Some((Self { view, ..self }, Role::Other))
        };
        match (asked, self.view.phase) {
            (Asked::Issue, Phase::Nothing) => Some((self.at(Phase::Issuing), Role::Buyer)),
            (Asked::Issue, Phase::Failed) if self.curable => Some((self.at(Phase::Issuing), Role::Buyer)),
            (Asked::Cancel, Phase::Nothing) => None,
            (Asked::Cancel, Phase::Pending) => Some((self.canceled(), Role::Other)),
            (Asked::Cancel, phase @ (Phase::Issuing | Phase::Unresolved)) => wished(phase),
            (Asked::Cancel, Phase::Issued) => wished(Phase::Canceling),
            (Asked::Cancel | Asked::Issue | Asked::Read | Asked::Reveal, _) => Some((self, Role::Other)),
        }
    }

    /// Whether a request may be told this now, and what is true from then on.
    pub(super) fn tell(self, asked: Asked, role: Role, told: Told) -> Option<Self> {
        let phase = self.view.phase;
        let may = match (asked, told) {
            (Asked::Issue | Asked::Reveal, Told::Code { bought, code }) => {
                let same = self.code.is_none_or(|known| known == code);
                phase == Phase::Issued && same && bought == (role == Role::Buyer) && !(bought && self.sold)
            }
            (Asked::Read, Told::Nothing) => phase == Phase::Nothing,
            (Asked::Issue | Asked::Read, Told::State(view)) => phase != Phase::Nothing && view == self.view,
            (Asked::Cancel, Told::State(view)) => phase != Phase::Issued && phase != Phase::Failed && view == self.view,
            (Asked::Issue, Told::Failed) | (Asked::Cancel, Told::NotNow) => phase == Phase::Failed,
            (Asked::Cancel, Told::CancelFailed) => phase == Phase::Issued && self.view.cancel_failed,
            (Asked::Reveal, Told::Gone) => matches!(phase, Phase::Canceling | Phase::Canceled),
            (Asked::Reveal, Told::NotNow) => {
                matches!(phase, Phase::Pending | Phase::Issuing | Phase::Unresolved | Phase::Failed)
            }
            (Asked::Issue | Asked::Cancel | Asked::Read | Asked::Reveal, _) => false,
        };
        let next = if let Told::Code { bought, code } = told {
            Self { code: Some(code), sold: self.sold || bought, ..self }
        } else {
            self
        };
        may.then_some(next)
    }
}
