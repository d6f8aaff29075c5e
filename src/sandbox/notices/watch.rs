//! Sees what has changed, and sends what is due. It runs from the first receiver on.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::compose::{self, Closed, NoticeDraft, NoticeState};
use super::{AGAIN_AFTER, ATTEMPTS_MAX, NewNoticeReceiver, NoticeAct, NoticeGeneration, NoticeOffice, Outgoing, send};
use crate::sandbox::world::World;

/// How often it looks.
const EVERY: Duration = Duration::from_millis(25);
/// How many messages are on their way at once.
const AT_ONCE: usize = 16;

/// Watches until the sandbox stops.
pub(in crate::sandbox) async fn run(world: Arc<World>) {
    loop {
        look(&world);
        loop {
            let due = world.notices.take_due(&world);
            if due.is_empty() || world.stopping.is_cancelled() {
                break;
            }
            let sent = join_all(due.iter().map(send::post)).await;
            due.iter().zip(sent).for_each(|(message, answer)| world.notices.settle(&world, message, answer));
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = world.stopping.cancelled() => return,
        }
    }
}

/// Everything that notifications are sent about, as it stands.
fn states(world: &World, receiver: &NewNoticeReceiver) -> Vec<NoticeState> {
    let now = world.clock.now();
    let all = match receiver.generation {
        NoticeGeneration::CheckoutV2 => world.pay.book.notice_states(now),
        NoticeGeneration::Mws => world.mws.book.notice_states(now),
    };
    all.into_iter().filter(|state| state.merchant_id == receiver.merchant_id).collect()
}

/// Writes a message about each change.
fn look(world: &World) {
    let receivers = world.notices.desk().receivers.clone();
    for receiver in receivers {
        for state in states(world, &receiver) {
            let place = (format!("{:?}", receiver.generation), state.id.clone());
            let known = world.notices.desk().seen.insert(place, state.state.clone());
            if known.as_ref() != Some(&state.state) {
                world.notices.add(compose::about(world, &receiver, &state));
            }
        }
    }
}

impl NoticeOffice {
    fn add(&self, message: Result<Outgoing, String>) {
        match message {
            Ok(message) => self.desk().out.push_back(message),
            Err(error) => tracing::error!(error, "the sandbox could not write a notification"),
        }
    }

    /// What is to be sent now.
    fn take_due(&self, world: &World) -> Vec<Outgoing> {
        let now = world.clock.now();
        let mut desk = self.desk();
        if desk.held {
            return Vec::new();
        }
        let due = desk.out.iter_mut().filter(|message| message.due.is_some_and(|due| due <= now)).take(AT_ONCE);
        due.map(|message| {
            (message.due, message.is_under_way) = (None, true);
            message.attempts = message.attempts.saturating_add(1);
            message.clone()
        })
        .collect()
    }

    /// What became of a message that was sent.
    fn settle(&self, world: &World, sent: &Outgoing, answer: Option<u16>) {
        let again = world.clock.now().checked_add_signed(AGAIN_AFTER);
        let mut desk = self.desk();
        let of_it = |message: &&mut Outgoing| message.message_id == sent.message_id && message.is_under_way;
        let Some(message) = desk.out.iter_mut().find(of_it) else { return };
        (message.answer, message.is_under_way) = (answer, false);
        (message.status, message.due) = match answer {
            Some(200..300) => ("delivered", message.due),
            Some(400..500) => ("refused", message.due),
            _ if message.attempts >= ATTEMPTS_MAX => ("given_up", None),
            _ => ("waiting", again),
        };
    }

    fn receiver(&self, merchant_id: &str) -> Result<NewNoticeReceiver, String> {
        let desk = self.desk();
        let found = desk.receivers.iter().find(|one| one.merchant_id == merchant_id).cloned();
        found.ok_or_else(|| format!("{merchant_id:?} has no receiver"))
    }

    /// A message that a test sends itself.
    pub(in crate::sandbox) fn draft(
        &self,
        world: &World,
        merchant_id: &str,
        draft: NoticeDraft,
    ) -> Result<String, String> {
        compose::close(world, &self.receiver(merchant_id)?, draft).map(|closed| closed.body)
    }

    /// Does something with messages.
    pub(in crate::sandbox) fn act(&self, world: &World, act: NoticeAct) -> Result<(), String> {
        match act {
            NoticeAct::Hold => self.desk().held = true,
            NoticeAct::Release { shuffled } => self.release(world, shuffled),
            NoticeAct::Repeat => {
                let now = world.clock.now();
                let mut desk = self.desk();
                let delivered = desk.out.iter_mut().filter(|message| message.status == "delivered");
                delivered.for_each(|message| message.due = Some(now));
            }
            NoticeAct::Forge { merchant_id, count } => {
                let receiver = self.receiver(&merchant_id)?;
                for at in 0..count {
                    let closed = forged(world, &receiver, at)?;
                    let message =
                        compose::outgoing(&receiver, closed, "forged".to_owned(), "Notification", world.clock.now());
                    self.desk().out.push_back(message);
                }
            }
            NoticeAct::Sample { merchant_id } => {
                let receiver = self.receiver(&merchant_id)?;
                let closed = compose::close(
                    world,
                    &receiver,
                    NoticeDraft { message: sample(world, &receiver), ..NoticeDraft::default() },
                )?;
                let message =
                    compose::outgoing(&receiver, closed, "sample".to_owned(), "Notification", world.clock.now());
                self.desk().out.push_back(message);
            }
            NoticeAct::Subscribe { merchant_id } => self.subscribe(world, &merchant_id)?,
            NoticeAct::ChargeBack { merchant_id, charge_id } => self.charge_back(world, &merchant_id, &charge_id)?,
            NoticeAct::Redirect { url } => {
                if send::address_of(&url).is_none() {
                    return Err("url must be http:// with an address and a path".to_owned());
                }
                let mut desk = self.desk();
                desk.out
                    .iter_mut()
                    .filter(|message| message.status == "waiting")
                    .for_each(|message| message.url.clone_from(&url));
            }
            NoticeAct::Certificates { available } => self.desk().hidden = !available,
        }
        Ok(())
    }

    fn release(&self, world: &World, shuffled: bool) {
        let mut desk = self.desk();
        desk.held = false;
        if !shuffled {
            return;
        }
        // Every place is exchanged with one that is drawn.
        for at in 1..desk.out.len() {
            let other = world.chance.below(u64::try_from(at.saturating_add(1)).unwrap_or(1));
            desk.out.swap(at, usize::try_from(other).unwrap_or(0));
        }
    }

    fn subscribe(&self, world: &World, merchant_id: &str) -> Result<(), String> {
        let receiver = self.receiver(merchant_id)?;
        let token = format!("{}{}", world.chance.request_id(), world.chance.request_id()).replace('-', "");
        let kind = "SubscriptionConfirmation";
        let draft = NoticeDraft {
            message: "You have chosen to subscribe to the topic.".to_owned(),
            kind: Some(kind.to_owned()),
            token: Some(token.clone()),
            ..NoticeDraft::default()
        };
        let closed = compose::close(world, &receiver, draft)?;
        let message = compose::outgoing(&receiver, closed, "subscription".to_owned(), kind, world.clock.now());
        let mut desk = self.desk();
        desk.tokens.insert(token, false);
        desk.out.push_back(message);
        Ok(())
    }

    fn charge_back(&self, world: &World, merchant_id: &str, charge_id: &str) -> Result<(), String> {
        let receiver = self.receiver(merchant_id)?;
        let of_it = |state: &NoticeState| state.id == charge_id;
        let charge = states(world, &receiver).into_iter().find(of_it);
        let charge = charge.ok_or_else(|| format!("there is no charge {charge_id:?}"))?;
        let order = charge_id.get(..19).unwrap_or(charge_id);
        let (kind, id) = match receiver.generation {
            NoticeGeneration::CheckoutV2 => ("CHARGEBACK", format!("{order}-B{}", world.chance.digits(6))),
            NoticeGeneration::Mws => ("Chargeback Detailed Notification", format!("A2{}", world.chance.digits(11))),
        };
        let under = match receiver.generation {
            NoticeGeneration::CheckoutV2 => charge.under.clone(),
            NoticeGeneration::Mws => order.to_owned(),
        };
        self.add(compose::about(world, &receiver, &NoticeState { kind, id, under, ..charge }));
        Ok(())
    }
}

/// A message that SNS did not sign: its text was changed, its signature is none, its topic is another's, or its certificate is.
fn forged(world: &World, receiver: &NewNoticeReceiver, at: u32) -> Result<Closed, String> {
    let message = sample(world, receiver);
    let mut draft = NoticeDraft { message, ..NoticeDraft::default() };
    match at % 4 {
        1 => draft.topic = Some("arn:aws:sns:us-east-1:666666666666:of-somebody-else".to_owned()),
        2 => draft.certificate = super::NoticeCertificate::OfAnother,
        3 => draft.certificate_url = Some(format!("https://sns.example.com/{}.pem", world.chance.request_id())),
        _ => {}
    }
    let mut closed = compose::close(world, receiver, draft)?;
    if at.is_multiple_of(4) {
        closed.body = closed.body.replacen("2013-01-01", "2013-01-02", 1);
    }
    Ok(closed)
}

/// What the test button of Seller Central sends.
fn sample(world: &World, receiver: &NewNoticeReceiver) -> String {
    let zeros = "S03-0000000-0000000";
    let state = NoticeState {
        merchant_id: receiver.merchant_id.clone(),
        kind: "PaymentAuthorize",
        id: zeros.to_owned(),
        under: zeros.to_owned(),
        reference: "sample".to_owned(),
        state: "Closed".to_owned(),
    };
    let message = compose::of_mws(world, receiver, &state);
    message.replacen('{', "{\"IsSample\":true,", 1)
}
