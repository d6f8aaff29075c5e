//! The one loop that awaits: it does what a [`Drive`] asks for, through a product's [`Effects`], and answers with what came.
//! The first try of a request and every recovery run here.

use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::{
    drive::{Change, DatedEvent, Drive, DriveLimits, End, Input, Instruction},
    order::Order,
    rules::Rules,
    schedule::Moment,
};
use crate::{
    lifecycle::workplaces::outside,
    store::{Committed, StoreError},
};

/// What came of a change.
pub enum Written<R> {
    /// It is durable.
    Done(Committed<R>),
    /// The row is another version: this one, which is durable; `None` when there is no row.
    Conflict(Option<Committed<R>>),
}

/// What a product does for the engine.
pub trait Effects: Sync {
    /// The product's row, with the order in it.
    type Row: Clone + Send + Sync;
    /// What an attempt came to, in the product's words.
    type Answer: Send + Sync;
    /// What is handed to the caller, where the kind has one. It exists in one variable only.
    type Receipt: Send;
    /// The right to send one request, taken before: it may have gone stale meanwhile.
    type Turn: Send;
    /// What the caller of this drive brings: a reason that is to be written beside a change, say. By default nothing.
    type Note: Default + Sync;

    /// The order of a row.
    fn order(row: &Self::Row) -> Order;

    /// The rules of a row's kind.
    fn rules(row: &Self::Row) -> &'static Rules;

    /// The limits of the settings.
    fn limits(&self) -> DriveLimits;

    /// What an answer is to the state machine, and when its request left.
    fn event(answer: &Self::Answer) -> DatedEvent;

    /// Takes the receipt out of an answer.
    fn take_receipt(answer: &mut Self::Answer) -> Option<Self::Receipt>;

    /// The present, a random number, and how long `waiter` still waits.
    fn moment(&self, waiter: Option<&Waiter<Self::Row>>) -> Moment;

    /// Commits a change of `row`, if the row is still the version that the change names.
    fn commit(
        &self,
        row: &Self::Row,
        change: Change,
        answer: Option<&Self::Answer>,
        note: &Self::Note,
    ) -> impl Future<Output = Result<Written<Self::Row>, StoreError>> + Send;

    /// Sends what is due for a committed, leased order, in this turn if it is still good. Nothing durable changes here.
    /// `None` when nothing may be sent for this order from here.
    fn send(
        &self,
        attempt: &Committed<Self::Row>,
        drive: &Drive,
        turn: Option<Self::Turn>,
    ) -> impl Future<Output = Option<Self::Answer>> + Send;

    /// Reads an effect. `None` as in [`Effects::send`].
    fn read(&self, row: &Self::Row, note: &Self::Note) -> impl Future<Output = Option<Self::Answer>> + Send;

    /// Waits.
    fn sleep(&self, pause: Duration) -> impl Future<Output = ()> + Send;

    /// Waits, but not once the process is to stop.
    fn hold(&self, pause: Duration) -> impl Future<Output = ()> + Send;
}

/// Where a drive begins.
pub enum Start<E: Effects> {
    /// With an attempt that is committed and leased, and with its turn at the remote service if that was taken before.
    Leased(Committed<E::Row>, Option<E::Turn>),
    /// With a row as it was read.
    Read(E::Row),
}

/// What a request is answered whose time is up: the row as it was last committed.
#[derive(Debug, Clone)]
pub struct Latest<R> {
    /// The row.
    pub row: R,
    /// The key was used before, for this row.
    pub replayed: bool,
}

/// The worker's end: what it commits while the request waits, it publishes here.
pub struct Waiter<R> {
    deadline: Instant,
    latest: watch::Sender<Option<Latest<R>>>,
}

impl<R: Clone> Waiter<R> {
    /// For a request that waits until `deadline`, and the end where it listens.
    #[must_use]
    pub fn new(deadline: Instant) -> (Self, watch::Receiver<Option<Latest<R>>>) {
        let (latest, listener) = watch::channel(None);
        (Self { deadline, latest }, listener)
    }

    /// Publishes what is committed now.
    pub fn publish(&self, row: &R) {
        self.latest.send_replace(Some(Latest { row: row.clone(), replayed: false }));
    }

    /// Publishes the row that the key was used for before.
    pub fn publish_known(&self, row: &R) {
        self.latest.send_replace(Some(Latest { row: row.clone(), replayed: true }));
    }

    /// What was published last.
    #[must_use]
    pub fn latest(&self) -> Option<R> {
        self.latest.borrow().as_ref().map(|latest| latest.row.clone())
    }

    /// How long the request still waits.
    #[must_use]
    pub fn patience(&self, now: Instant) -> Duration {
        self.deadline.saturating_duration_since(now)
    }
}

/// How a drive ended.
pub struct Ran<E: Effects> {
    /// How.
    pub end: End,
    /// The row as this drive last saw it.
    pub row: E::Row,
    /// The last answer, without its receipt.
    pub answer: Option<E::Answer>,
    /// The receipt, when it may be handed over now: its commit won.
    pub receipt: Option<E::Receipt>,
    /// Why the last commit is not confirmed.
    pub error: Option<StoreError>,
}

/// The row that a drive works on, with the proof that it was committed where there is one.
enum Held<R> {
    Committed(Committed<R>),
    Read(R),
}

impl<R> Held<R> {
    fn get(&self) -> &R {
        match self {
            Self::Committed(row) => row.get(),
            Self::Read(row) => row,
        }
    }

    fn into_inner(self) -> R {
        match self {
            Self::Committed(row) => row.into_inner(),
            Self::Read(row) => row,
        }
    }
}

/// Carries an order whose attempt is committed and leased.
pub async fn carry<E: Effects>(
    effects: &E,
    attempt: Committed<E::Row>,
    turn: Option<E::Turn>,
    waiter: Option<&Waiter<E::Row>>,
) -> Ran<E> {
    let order = E::order(attempt.get());
    let (rules, limits) = (*E::rules(attempt.get()), effects.limits());
    let drive = Drive::carry(order, order.lease.unwrap_or_default(), rules, limits);
    run(effects, drive, Start::Leased(attempt, turn), &E::Note::default(), waiter).await
}

/// Runs a drive to its end. While it goes on, `waiter` is shown each row that is committed.
pub async fn run<E: Effects>(
    effects: &E,
    mut drive: Drive,
    start: Start<E>,
    note: &E::Note,
    waiter: Option<&Waiter<E::Row>>,
) -> Ran<E> {
    let (mut row, mut turn) = match start {
        Start::Leased(row, turn) => (Held::Committed(row), turn),
        Start::Read(row) => (Held::Read(row), None),
    };
    let (mut answer, mut error, mut input) = (None, None, Input::Begin);
    loop {
        input = match drive.next(input, effects.moment(waiter)) {
            Instruction::Commit(change) => match effects.commit(row.get(), change, answer.as_ref(), note).await {
                Ok(Written::Done(committed)) => {
                    row = Held::Committed(committed);
                    Input::Committed
                }
                Ok(Written::Conflict(Some(found))) => {
                    let order = E::order(found.get());
                    row = Held::Committed(found);
                    Input::Conflict(Some(order))
                }
                Ok(Written::Conflict(None)) => Input::Conflict(None),
                Err(failed) => {
                    error = Some(failed);
                    Input::Unconfirmed
                }
            },
            Instruction::Send => {
                publish(waiter, row.get());
                // Only what is proven to be committed is sent.
                answer = match &row {
                    Held::Committed(attempt) => effects.send(attempt, &drive, turn.take()).await,
                    Held::Read(_) => None,
                };
                answer.as_ref().map_or(Input::Unsendable, |answer| Input::Answered(E::event(answer)))
            }
            Instruction::Read => {
                answer = effects.read(row.get(), note).await;
                answer.as_ref().map_or(Input::Unsendable, |answer| Input::Answered(E::event(answer)))
            }
            Instruction::Sleep(pause) => {
                outside(effects.sleep(pause)).await;
                Input::Slept
            }
            Instruction::Hold(pause) => {
                publish(waiter, row.get());
                outside(effects.hold(pause)).await;
                Input::Slept
            }
            Instruction::Done(end) => {
                // A receipt that is not handed over ends here, and is wiped.
                let receipt = answer.as_mut().and_then(E::take_receipt);
                let receipt = receipt.filter(|_receipt| end == End::Settled { deliver: true });
                return Ran { end, row: row.into_inner(), answer, receipt, error };
            }
        };
    }
}

fn publish<R: Clone>(waiter: Option<&Waiter<R>>, row: &R) {
    if let Some(waiter) = waiter {
        waiter.publish(row);
    }
}
