//! What `noshi demo --pay` does: a member pays by Amazon Pay and gets a gift code for each period, and what must hold after each step.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{
    DemoError,
    clock::DemoClock,
    exchange::{DemoAnswer, DemoRequest, exchange},
    steps::{Demo, check, text},
};
use crate::{
    cli::CommandError,
    sandbox::{CardState, MwsBuyerAct, NewMwsAgreement, NewMwsSeller},
};

/// The seller of the demo, and its access key.
pub(super) const SELLER_ID: &str = "A1DEMOSELLER";
pub(super) const MWS_KEY_ID: &str = "AKIDDEMOSELLER";
pub(super) const MWS_SECRET: &str = "the demo's own secret";

const PRICE: &str = "9.80";
const REWARD: &str = "5.00";
/// After so long, by the sandbox's clock, Amazon has decided what is pending.
const DECIDED: i64 = 31;
/// Looks in a second, and for how many seconds they go on.
const LOOKS: u32 = 10;
const PATIENCE: u32 = 20;

/// A member of the demo's plan.
struct DemoMember<'a> {
    demo: &'a Demo,
    clock: &'a DemoClock,
    id: String,
    agreement: String,
}

/// Makes the seller known to the sandbox.
pub(super) fn register(demo: &Demo) -> Result<(), CommandError> {
    let [seller_id, access_key_id, secret_access_key] = [SELLER_ID, MWS_KEY_ID, MWS_SECRET].map(str::to_owned);
    let known = demo.control.register_mws_seller(NewMwsSeller { seller_id, access_key_id, secret_access_key });
    Ok(known.map_err(|_error| DemoError::Step("the gateway takes the demo's seller"))?)
}

/// Takes every step, in order.
pub(super) async fn run(demo: &Demo, clock: &DemoClock) -> Result<(), CommandError> {
    register(demo)?;
    demo.fund()?;
    let member = join(demo, clock).await?;
    let first = member.first_period().await?;
    let second = member.decline_and_mend().await?;
    member.give_back(&second).await?;
    member.end().await?;
    member.compare_books(&first)?;
    member.say_how_to_go_on()
}

/// The buyer agrees, a plan is made, and the buyer joins it.
async fn join<'a>(demo: &'a Demo, clock: &'a DemoClock) -> Result<DemoMember<'a>, CommandError> {
    demo.head("1. A buyer agrees at Amazon to charges that recur, up to 50.00 USD a month")?;
    let agreement = demo.control.mws_agreement(NewMwsAgreement {
        seller_id: SELLER_ID.to_owned(),
        limit: "50.00".to_owned(),
        open: true,
        currency: "USD".to_owned(),
    });
    let agreement = agreement.map_err(|_error| DemoError::Step("the gateway makes a billing agreement"))?;
    super::announce(&format!("  the billing agreement is {agreement}"))?;
    demo.head("2. A plan: 9.80 USD a month for a gift code of 5.00 USD")?;
    let plan_key = demo.fresh_key()?;
    let plan = demo
        .ask(DemoRequest {
            method: "POST",
            path: "/v1/membership/plans",
            idempotency_key: Some(&plan_key),
            body: Some(json!({
                "name": "Demo",
                "price": { "amount": PRICE, "currency_code": "USD" },
                "period": { "unit": "months", "length": 1 },
                "reward": { "value": { "amount": REWARD, "currency_code": "USD" } },
            })),
        })
        .await?;
    check(plan.status == 201, "the plan is made")?;
    demo.head("3. The buyer joins it; the same request again is the same membership")?;
    let (plan, key) = (text(&plan, "/id")?, demo.fresh_key()?);
    let body = json!({ "plan_id": plan, "consent_id": agreement, "reference": key });
    let order = || DemoRequest {
        method: "POST",
        path: "/v1/memberships",
        idempotency_key: Some(&key),
        body: Some(body.clone()),
    };
    let joined = demo.ask(order()).await?;
    check(joined.status == 201, "the buyer is a member")?;
    let again = demo.ask(order()).await?;
    check(again.status == 200 && again.text("/id") == joined.text("/id"), "the same key is the same membership")?;
    Ok(DemoMember { demo, clock, id: text(&joined, "/id")?, agreement })
}

impl DemoMember<'_> {
    async fn first_period(&self) -> Result<Value, CommandError> {
        self.demo.head(
            "4. The first period is charged at once; Amazon decides in half a minute, and then the gift code is issued",
        )?;
        let first = self.until_period(1, "the first period is paid and has its reward", is_rewarded);
        let first = first.await?;
        check(self.taken()? == vec![PRICE.to_owned()], "Amazon took the price once")?;
        let path = format!("/v1/rewards/{}/reveal", member(&first, "reward_id"));
        let body = Some(json!({ "reason": "shown to the member" }));
        let shown = self.demo.ask(DemoRequest { method: "POST", path: &path, idempotency_key: None, body }).await?;
        check(shown.status == 200 && shown.text("/claim_code").is_some(), "the member sees the code")?;
        Ok(first)
    }

    /// A month later the buyer's card is not good any more.
    async fn decline_and_mend(&self) -> Result<Value, CommandError> {
        self.demo.head("5. A month later the buyer's card is declined: no money, no reward")?;
        self.wish("simulate", Some(json!({ "simulation": "HardDeclined" }))).await?;
        self.pass_period().await?;
        self.until("the membership waits for the buyer", "", |seen| member(seen, "state") == "suspended").await?;
        check(self.taken()?.len() == 1 && self.live() == 1, "nothing was taken, and nothing was bought")?;
        self.demo.head("6. The buyer mends it at Amazon, and the charge is made again, under another key")?;
        let mended = self.demo.control.act_in_mws(MwsBuyerAct::Mend { id: self.agreement.clone() });
        mended.map_err(|_error| DemoError::Step("the buyer mends the payment method"))?;
        self.wish("retry", None).await?;
        let second = self.until_period(2, "the second period is paid and has its reward", |period| {
            is_rewarded(period) && period.get("tries").and_then(Value::as_u64) == Some(2)
        });
        let second = second.await?;
        check(self.taken()?.len() == 2 && self.live() == 2, "two periods, two payments, two codes")?;
        Ok(second)
    }

    /// The seller gives the second period back, inside the time in which Amazon cancels a gift code.
    async fn give_back(&self, second: &Value) -> Result<(), CommandError> {
        self.demo.head("7. The member wants the money of that period back: the gift code comes back, too")?;
        let key = self.demo.fresh_key()?;
        let body =
            json!({ "charge_id": member(second, "charge_id"), "value": { "amount": PRICE, "currency_code": "USD" } });
        let path = "/v1/pay/refunds";
        let order = DemoRequest { method: "POST", path, idempotency_key: Some(&key), body: Some(body) };
        let begun = self.demo.ask(order).await?;
        check([201, 202].contains(&begun.status), "Amazon has the refund")?;
        let back = self.until_period(2, "the money is back, and the code is canceled", |period| {
            member(period, "state") == "refunded" && member(period, "entitlement") == "canceled"
        });
        back.await?;
        check(self.live() == 1, "the gateway's book has one live card")
    }

    async fn end(&self) -> Result<(), CommandError> {
        self.demo
            .head("8. The membership ends: nothing more is charged, and the buyer's agreement is closed at Amazon")?;
        let ended = self.wish("end", None).await?;
        check(ended.text("/state") == Some("ended"), "it has ended")?;
        for _ in 0..LOOKS.saturating_mul(PATIENCE) {
            let found = self.demo.control.mws_consents().into_iter().find(|one| one.id == self.agreement);
            if found.is_some_and(|one| one.state == "Closed") {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(DemoError::Step("the agreement is closed within 20 s").into())
    }

    /// Both of Amazon's books, for this member.
    fn compare_books(&self, first: &Value) -> Result<(), CommandError> {
        self.demo.head("9. The books: what Amazon took, gave back, and sold")?;
        let back: Vec<String> = self.demo.control.mws_refunds().into_iter().map(|refund| refund.amount).collect();
        check(
            self.taken()?.len() == 2 && back.last().map(String::as_str) == Some(PRICE),
            "one period is paid in the end",
        )?;
        super::announce(&format!(
            "  taken {PRICE} USD twice, given back {PRICE} USD once; live gift codes of this start: {}, of period {}",
            self.live(),
            first.get("number").cloned().unwrap_or_default()
        ))
    }

    fn say_how_to_go_on(&self) -> Result<(), CommandError> {
        if self.demo.once {
            return super::announce("\nEvery step held. Start `noshi demo --pay` to go on by hand.");
        }
        super::announce(&format!(
            "\nEvery step held. To go on by hand (the clock of this demo is ahead; the key is for this demo only):\n\n\
             export NOSHI_URL=http://{} NOSHI_API_KEY={}\n\
             noshi membership list          # or: cargo run -q -- membership list\n\
             noshi membership show {}\n\n\
             In a browser: http://{}/console; log in with the key, {}\n\n\
             Ctrl-C ends the demo.",
            self.demo.address, self.demo.key, self.id, self.demo.admin, self.demo.key
        ))
    }

    /// Amounts that Amazon took by this agreement.
    fn taken(&self) -> Result<Vec<String>, CommandError> {
        let captures = self.demo.control.mws_captures().into_iter().filter(|one| one.consent_id == self.agreement);
        Ok(captures.filter(|one| one.state == "Completed").map(|one| one.amount).collect())
    }

    /// Live cards that were bought for members since this start.
    fn live(&self) -> usize {
        let book = self.demo.control.book().into_iter();
        book.filter(|card| card.state == CardState::Live && !self.clock.was_there(&card.creation_request_id)).count()
    }

    async fn wish(&self, what: &str, body: Option<Value>) -> Result<DemoAnswer, CommandError> {
        let path = format!("/v1/memberships/{}/{what}", self.id);
        let answer = self.demo.ask(DemoRequest { method: "POST", path: &path, idempotency_key: None, body }).await?;
        check(answer.status == 200, "the service does as it is asked")?;
        Ok(answer)
    }

    /// Moves every clock of the demo to just behind the end of the last period.
    async fn pass_period(&self) -> Result<(), CommandError> {
        let path = format!("/v1/memberships/{}", self.id);
        let known = exchange(self.demo.address, &self.demo.key, get(&path)).await?;
        let ends = known.text("/renews_at").and_then(|text| text.parse::<DateTime<Utc>>().ok());
        let ends = ends.ok_or(DemoError::Step("the membership is renewed some time"))?;
        self.clock.advance(ends.signed_duration_since(self.demo.ambient.now()).num_seconds().saturating_add(1))
    }

    /// Waits for what must come, and shows it. The clocks go on meanwhile, for Amazon decides later, and is asked again later.
    async fn until(
        &self,
        what: &'static str,
        below: &str,
        is_so: impl Fn(&Value) -> bool,
    ) -> Result<Value, CommandError> {
        let path = format!("/v1/memberships/{}{below}", self.id);
        for _ in 0..PATIENCE {
            for _ in 0..LOOKS {
                let answer = exchange(self.demo.address, &self.demo.key, get(&path)).await?;
                if is_so(&answer.json) {
                    super::announce(&answer.shown)?;
                    return Ok(answer.json);
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            self.clock.advance(DECIDED)?;
        }
        Err(DemoError::Step(what).into())
    }

    async fn until_period(
        &self,
        number: usize,
        what: &'static str,
        is_so: impl Fn(&Value) -> bool,
    ) -> Result<Value, CommandError> {
        let at = format!("/data/{}", number.saturating_sub(1));
        let seen = self.until(what, "/periods", |page| page.pointer(&at).is_some_and(&is_so)).await?;
        Ok(seen.pointer(&at).cloned().unwrap_or_default())
    }
}

const fn get(path: &str) -> DemoRequest<'_> {
    DemoRequest { method: "GET", path, idempotency_key: None, body: None }
}

/// The text of a member; empty where there is none.
fn member<'a>(of: &'a Value, name: &str) -> &'a str {
    of.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn is_rewarded(period: &Value) -> bool {
    member(period, "state") == "paid" && member(period, "entitlement") == "issued"
}
