//! Callers as a platform has them: they ask for a code, ask again when the connection breaks, cancel, reveal, and some
//! give up for good. What each was ever told is kept, and held against the book at the end.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use noshi::sandbox::{Fault, FaultRule};
use serde_json::{Value, json};

use super::{Dice, sold::Sold};
use crate::support::{Answer, App, with_json};

/// Askings by one key, and showings of one code, that stay inside the service's own limits with room for the last look.
const ASKED_MAX: u32 = 8;
/// Rules that the sandbox is given before it forgets all of them.
const RULES_MAX: usize = 900;

/// One key, and what whoever holds it was told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caller {
    pub(crate) key: String,
    pub(crate) amazon_id: String,
    pub(crate) sold: Sold,
    /// The card or the account that it acts on.
    pub(crate) target: Option<String>,
    amount: String,
    asked: u32,
    pub(crate) id: Option<String>,
    pub(crate) codes: BTreeSet<String>,
    /// An answer said that it is done.
    pub(crate) issued: bool,
    pub(crate) cancel_asked: bool,
    /// An answer said that it is canceled, or being canceled: no later request may bring a code.
    gone: bool,
    /// Never asks again: what is bought must come to its end without them.
    pub(crate) gives_up: bool,
    /// A request of theirs was cut off.
    pub(crate) touched: bool,
}

impl Caller {
    /// The body of the request.
    pub(crate) fn order(&self) -> Value {
        self.sold.order(self.target.as_deref(), &self.amount)
    }

    pub(crate) const fn is_gone(&self) -> bool {
        self.gone
    }
}

/// What a caller wants next.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wish {
    New,
    Again(usize),
    Cancel(usize),
    Reveal(usize),
}

impl Wish {
    const fn name(self) -> &'static str {
        match self {
            Self::New => "issue",
            Self::Again(_) => "again",
            Self::Cancel(_) => "cancel",
            Self::Reveal(_) => "reveal",
        }
    }
}

#[derive(Default)]
pub(crate) struct Told {
    pub(crate) callers: Vec<Caller>,
    /// How often each class was seen.
    pub(crate) classes: BTreeMap<String, usize>,
    /// What may never be.
    pub(crate) wrong: Vec<String>,
    /// Whose requests were cut off since the last look.
    cut: Vec<usize>,
    /// Who was told a code since the last look.
    shown: Vec<usize>,
}

/// All callers of one database.
pub(crate) struct Crowd {
    pub(crate) app: App,
    told: Mutex<Told>,
    pub(crate) dice: Mutex<Dice>,
    /// Of a hundred new keys, so many meet a fault at the gateway.
    faults: usize,
    /// What they want, in turn.
    wanted: &'static [Sold],
}

impl Crowd {
    /// Callers who want gift codes.
    pub(crate) fn new(app: App, seed: u64, faults: usize) -> Self {
        Self { app, told: Mutex::default(), dice: Mutex::new(Dice::new(seed)), faults, wanted: &[Sold::Code] }
    }

    /// Callers who want each of these, in turn.
    pub(crate) fn wanting(self, wanted: &'static [Sold]) -> Self {
        Self { wanted, ..self }
    }

    pub(crate) fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap()
    }

    pub(crate) fn roll(&self, end: usize) -> usize {
        self.dice.lock().unwrap().below(end)
    }

    pub(crate) fn percent(&self, chance: usize) -> bool {
        self.dice.lock().unwrap().percent(chance)
    }

    pub(crate) fn hit(&self, class: impl Into<String>) {
        *self.told().classes.entry(class.into()).or_default() += 1;
    }

    /// Amazon's ids of those whose requests were cut off since the last call.
    pub(crate) fn take_cut(&self) -> Vec<String> {
        let mut told = self.told();
        let cut = std::mem::take(&mut told.cut);
        cut.into_iter().map(|at| told.callers[at].amazon_id.clone()).collect()
    }

    /// Amazon's ids of those who were told a code since the last call.
    pub(crate) fn take_shown(&self) -> Vec<String> {
        let mut told = self.told();
        let shown = std::mem::take(&mut told.shown);
        shown.into_iter().map(|at| told.callers[at].amazon_id.clone()).collect()
    }

    /// One of the latest callers who have (`true`) or have not (`false`) been told their reward's id, may still ask, and
    /// have not given up.
    pub(crate) fn someone(&self, knows_id: bool) -> Option<usize> {
        let count = self.told().callers.len();
        (0..8).find_map(|_| {
            let at = count.checked_sub(1 + self.roll(count.clamp(1, 40)))?;
            let told = self.told();
            let caller = &told.callers[at];
            let fits = !caller.gives_up && caller.asked < ASKED_MAX && (caller.id.is_some() == knows_id);
            fits.then_some(at)
        })
    }

    /// A mix: new keys, the same key again, cancels, reveals.
    pub(crate) fn any_wish(&self) -> Wish {
        let drawn = self.roll(100);
        let who = self.someone(drawn >= 60);
        match (drawn, who) {
            (40..60, Some(at)) => Wish::Again(at),
            (60..70, Some(at)) => Wish::Again(at),
            (70..85, Some(at)) => Wish::Cancel(at),
            (85..100, Some(at)) => Wish::Reveal(at),
            _ => Wish::New,
        }
    }

    /// A new key; some of them are unlucky at the gateway, and some holders give up after the first try.
    fn join(&self) -> usize {
        let (unlucky, gives_up, cents) = (self.percent(self.faults), self.percent(15), self.roll(900) + 100);
        let mut told = self.told();
        let at = told.callers.len();
        let key = format!("caller-{at}");
        let amazon_id = self.app.amazon_id(&key);
        let amount = format!("{}.{:02}", cents / 100, cents % 100);
        let sold = self.wanted[at % self.wanted.len()];
        let target = sold.target(&self.app, at / self.wanted.len());
        let amazon = amazon_id.clone();
        told.callers.push(Caller { key, amazon_id: amazon, sold, target, amount, gives_up, ..Caller::default() });
        drop(told);
        if unlucky {
            self.plague(&amazon_id, None);
        }
        at
    }

    /// Lets the gateway fail the next call about this id.
    fn plague(&self, amazon_id: &str, fault: Option<Fault>) {
        let drawn = self.roll(10);
        let milliseconds = u64::try_from(5 + self.roll(30)).unwrap();
        let fault = fault.unwrap_or(match drawn {
            0 | 1 => Fault::DelayWork { milliseconds },
            2 | 3 => Fault::Delay { milliseconds },
            4 => Fault::DropAfterWork,
            5 => Fault::ResetAfterWork,
            6 => Fault::DropBeforeWork,
            7 => Fault::ResetInBody,
            8 => Fault::Resend { after_work: true },
            _ => Fault::HtmlError { status: 503, after_work: true },
        });
        if self.app.control.faults().len() > RULES_MAX {
            self.app.control.clear_faults();
        }
        let rule = FaultRule { creation_request_id: Some(amazon_id.to_owned()), ..FaultRule::once(fault) };
        self.app.control.script(rule).unwrap();
    }

    /// Asks, and keeps what was answered. Says who asked, and whether an answer came.
    pub(crate) async fn ask(&self, base: &str, wish: Wish) -> (usize, bool) {
        let at = match wish {
            Wish::New => self.join(),
            Wish::Again(at) | Wish::Cancel(at) | Wish::Reveal(at) => at,
        };
        let answered = self.ask_as(base, wish, at).await;
        (at, answered)
    }

    /// Asks for a code whose first answer is lost on the way from Amazon.
    pub(crate) async fn ask_in_vain(&self, base: &str) {
        let at = self.join();
        let amazon_id = self.told().callers[at].amazon_id.clone();
        self.plague(&amazon_id, Some(Fault::DropAfterWork));
        self.ask_as(base, Wish::New, at).await;
    }

    /// Asks for a code, and for its cancel, whose first answer is lost on the way from Amazon.
    pub(crate) async fn cancel_in_vain(&self, base: &str) {
        let (at, answered) = self.ask(base, Wish::New).await;
        if answered {
            let amazon_id = self.told().callers[at].amazon_id.clone();
            self.plague(&amazon_id, Some(Fault::DropAfterWork));
            self.ask_as(base, Wish::Cancel(at), at).await;
        }
    }

    /// Says whether an answer came.
    async fn ask_as(&self, base: &str, wish: Wish, at: usize) -> bool {
        let (caller, was_gone) = {
            let mut told = self.told();
            let caller = &mut told.callers[at];
            caller.asked += 1;
            caller.cancel_asked |= matches!(wish, Wish::Cancel(_));
            (caller.clone(), caller.gone)
        };
        let post = |path: &str| self.app.http.post(format!("{base}{path}")).bearer_auth(&self.app.key);
        let reason = json!({"reason": "test"});
        let request = match (wish, caller.id.as_deref()) {
            (Wish::Cancel(_), Some(id)) => with_json(post(&format!("/v1/rewards/{id}/cancel")), &reason),
            (Wish::Reveal(_), Some(id)) if caller.sold == Sold::Code => {
                with_json(post(&format!("/v1/rewards/{id}/reveal")), &reason)
            }
            _ => with_json(post("/v1/rewards").header("Idempotency-Key", &caller.key), &caller.order()),
        };
        match Answer::try_of(request).await {
            Some(answer) => {
                self.keep(at, wish, was_gone, &answer);
                true
            }
            None => {
                let mut told = self.told();
                told.callers[at].touched = true;
                told.cut.push(at);
                *told.classes.entry(format!("cut: {}", wish.name())).or_default() += 1;
                false
            }
        }
    }

    pub(crate) fn keep(&self, at: usize, wish: Wish, was_gone: bool, answer: &Answer) {
        let mut guard = self.told();
        let told = &mut *guard;
        *told.classes.entry(format!("{}: {}", wish.name(), answer.status)).or_default() += 1;
        let caller = &mut told.callers[at];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let id = text(&answer.json["id"]).or_else(|| text(&answer.json["reward_id"]));
        if let (Some(before), Some(now)) = (&caller.id, &id)
            && before != now
        {
            told.wrong.push(format!("{} is two rewards: {before} and {now}", caller.key));
        }
        caller.id = caller.id.take().or(id);
        if answer.status == 500 {
            told.wrong.push(format!("{}: {}", caller.key, answer.text));
        }
        if let Some(code) = text(&answer.json["claim_code"]) {
            if was_gone {
                told.wrong.push(format!("{} was shown a code after it was canceled", caller.key));
            }
            if answer.json["value"]["amount"] != caller.amount {
                told.wrong.push(format!("{} asked for {}: {}", caller.key, caller.amount, answer.json["value"]));
            }
            caller.codes.insert(code);
            told.shown.push(at);
        }
        caller.gone |= matches!(answer.json["status"].as_str(), Some("canceled"));
        caller.issued |= matches!(answer.json["status"].as_str(), Some("issued"));
    }
}
