//! What the demo does, and what must hold after each step.

use std::{fs, net::SocketAddr, path::PathBuf, time::Duration};

use serde_json::json;

use super::{
    DemoError, FUNDS,
    exchange::{DemoAnswer, DemoRequest, exchange},
};
use crate::{
    ambient::Ambient,
    cli::{CommandError, sandbox::PARTNER_ID},
    http::problem::timestamp,
    kernel::{Currency, Money},
    sandbox::{Card, CardState, Control},
};

/// What the demo's rewards cost.
const KEPT: &str = "25.00";
const CANCELED: &str = "10.00";
const ACTIVATED: &str = "15.00";
const LOADED: &str = "20.00";

/// The demo in progress.
pub(super) struct Demo {
    pub(super) address: SocketAddr,
    /// The port of the console.
    pub(super) admin: SocketAddr,
    pub(super) key: String,
    pub(super) control: Control,
    pub(super) ambient: Ambient,
    pub(super) folder: PathBuf,
    /// Whether the service ends with the steps.
    pub(super) once: bool,
}

impl Demo {
    /// Takes every step, in order.
    pub(super) async fn run(&self) -> Result<(), CommandError> {
        self.fund()?;
        let before = self.show_balance("1. The balance, as Amazon last said it", None).await?;
        let (id, code) = self.issue_one().await?;
        self.read_one(&id, &code).await?;
        self.cancel_another().await?;
        self.activate_a_card().await?;
        self.load_a_balance().await?;
        let kept = Money::parse(KEPT, Currency::Usd).map_err(|_error| DemoError::Step("the demo's own amount"))?;
        let expected = before.checked_sub(kept).ok_or(DemoError::Step("the balance covers the demo"))?;
        self.show_balance("8. The balance after it: 25.00 less, and what was canceled came back", Some(expected))
            .await?;
        self.look_for(&code)?;
        self.say_how_to_go_on(&id)
    }

    /// Refills the sandbox's funds. Each start of the demo spends some of them.
    pub(super) fn fund(&self) -> Result<(), CommandError> {
        let low = |_error| DemoError::Step("the gateway knows the demo's account");
        if self.control.funds(PARTNER_ID).map_err(low)? < 100.into() {
            self.control.set_funds(PARTNER_ID, FUNDS.into()).map_err(low)?;
        }
        Ok(())
    }

    async fn issue_one(&self) -> Result<(String, String), CommandError> {
        let key = self.fresh_key()?;
        self.head("2. Buy a gift code of 25.00 USD")?;
        let body = json!({
            "kind": "gift_code",
            "value": { "amount": KEPT, "currency_code": "USD" },
            "metadata": { "campaign": "demo" },
        });
        let answer = self
            .ask(DemoRequest {
                method: "POST",
                path: "/v1/rewards",
                idempotency_key: Some(&key),
                body: Some(body.clone()),
            })
            .await?;
        let (id, code) = (text(&answer, "/id")?, text(&answer, "/claim_code")?);
        check(answer.status == 201 && answer.text("/status") == Some("issued"), "the reward is issued")?;
        check(
            self.card(&answer).is_some_and(|card| card.claim_code == code && card.state == CardState::Live),
            "the gateway's book has one live card with this code",
        )?;
        self.head("3. The same request again, as after a lost answer: the same card, not another one")?;
        let again = self
            .ask(DemoRequest { method: "POST", path: "/v1/rewards", idempotency_key: Some(&key), body: Some(body) })
            .await?;
        check(
            again.status == 200 && text(&again, "/id")? == id && text(&again, "/claim_code")? == code,
            "the same key gives the same card",
        )?;
        Ok((id, code))
    }

    async fn read_one(&self, id: &str, code: &str) -> Result<(), CommandError> {
        self.head("4. Read it: the code is stored nowhere, so it is not shown. Reveal it: Amazon is asked again")?;
        let read = self
            .ask(DemoRequest { method: "GET", path: &format!("/v1/rewards/{id}"), idempotency_key: None, body: None })
            .await?;
        check(read.status == 200 && !read.json.to_string().contains(code), "a read does not show the code")?;
        let path = format!("/v1/rewards/{id}/reveal");
        let body = Some(json!({ "reason": "the customer lost the mail" }));
        let revealed = self.ask(DemoRequest { method: "POST", path: &path, idempotency_key: None, body }).await?;
        check(revealed.status == 200 && text(&revealed, "/claim_code")? == code, "the code is the same")
    }

    async fn cancel_another(&self) -> Result<(), CommandError> {
        self.head("5. Buy a second one of 10.00 USD and cancel it, inside Amazon's 15 minutes")?;
        let key = self.fresh_key()?;
        let body = json!({ "kind": "gift_code", "value": { "amount": CANCELED, "currency_code": "USD" } });
        let answer = self
            .ask(DemoRequest { method: "POST", path: "/v1/rewards", idempotency_key: Some(&key), body: Some(body) })
            .await?;
        check(answer.status == 201, "the second reward is issued")?;
        let path = format!("/v1/rewards/{}/cancel", text(&answer, "/id")?);
        let body = Some(json!({ "reason": "ordered twice" }));
        let canceled = self.ask(DemoRequest { method: "POST", path: &path, idempotency_key: None, body }).await?;
        check(canceled.status == 200 && canceled.text("/status") == Some("canceled"), "the second reward is canceled")?;
        check(
            self.card(&canceled).is_some_and(|card| card.state == CardState::Refunded),
            "the gateway's book says refunded",
        )
    }

    async fn activate_a_card(&self) -> Result<(), CommandError> {
        self.head("6. Activate a physical card with 15.00 USD, send the same again, and deactivate it")?;
        let active: Vec<String> = self
            .control
            .book()
            .into_iter()
            .filter(|card| card.state == CardState::Live)
            .map(|card| card.gc_id)
            .collect();
        let inactive = self
            .control
            .cards()
            .into_iter()
            .find(|card| card.denomination.is_none() && !active.contains(&card.card_number));
        let number = inactive.ok_or(DemoError::Step("the gateway has an inactive card"))?.card_number;
        let body = json!({
            "kind": "card_activation",
            "value": { "amount": ACTIVATED, "currency_code": "USD" },
            "target": { "card_number": number },
        });
        self.do_twice_and_take_back(body, &number).await
    }

    async fn load_a_balance(&self) -> Result<(), CommandError> {
        self.head("7. Load 20.00 USD into the balance of an Amazon account, send the same again, and take it back")?;
        let barcode =
            self.control.shoppers().into_iter().find(|shopper| shopper.active).and_then(|shopper| shopper.barcode);
        let barcode = barcode.ok_or(DemoError::Step("the gateway has an Amazon account with a barcode"))?;
        let body = json!({
            "kind": "balance_load",
            "value": { "amount": LOADED, "currency_code": "USD" },
            "target": { "barcode": barcode },
        });
        self.do_twice_and_take_back(body, &barcode).await
    }

    /// What acts on something has no code. The same request again does nothing more, and a cancel takes it back.
    async fn do_twice_and_take_back(&self, body: serde_json::Value, acts_on: &str) -> Result<(), CommandError> {
        let key = self.fresh_key()?;
        let order = || DemoRequest {
            method: "POST",
            path: "/v1/rewards",
            idempotency_key: Some(&key),
            body: Some(body.clone()),
        };
        let answer = self.ask(order()).await?;
        check(answer.status == 201 && answer.json.get("claim_code").is_none(), "it is done, and there is no code")?;
        check(!answer.json.to_string().contains(acts_on), "the answer does not show what it acts on")?;
        let again = self.ask(order()).await?;
        check(again.status == 200 && again.text("/id") == answer.text("/id"), "the same key is the same reward")?;
        let path = format!("/v1/rewards/{}/cancel", text(&answer, "/id")?);
        let body = Some(json!({ "reason": "the customer changed their mind" }));
        let canceled = self.ask(DemoRequest { method: "POST", path: &path, idempotency_key: None, body }).await?;
        check(canceled.status == 200 && canceled.text("/status") == Some("canceled"), "it is taken back")?;
        check(
            self.card(&canceled).is_some_and(|card| card.state == CardState::Refunded),
            "the gateway's book says that the money is back",
        )
    }

    /// Waits for a balance that the service reads from now on, and shows it. With an expected balance, waits for that
    /// one.
    async fn show_balance(&self, title: &str, expected: Option<Money>) -> Result<Money, CommandError> {
        self.head(title)?;
        let since = timestamp(self.ambient.now());
        for _ in 0..100 {
            let request = DemoRequest { method: "GET", path: "/v1/balances", idempotency_key: None, body: None };
            let answer = exchange(self.address, &self.key, request).await?;
            let amount = answer.text("/data/0/available/amount");
            let money = amount.and_then(|amount| Money::parse(amount, Currency::Usd).ok());
            // An earlier start of the demo may have read the balance. Timestamps of one form compare as text.
            let fresh = answer.text("/data/0/as_of").is_some_and(|as_of| as_of >= since.as_str());
            if let Some(money) = money.filter(|money| fresh && expected.is_none_or(|expected| expected == *money)) {
                super::announce(&answer.shown)?;
                return Ok(money);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(DemoError::Step("the balance is the expected one within 10 s").into())
    }

    /// Searches every file of the service for the code, as a thief would.
    fn look_for(&self, code: &str) -> Result<(), CommandError> {
        self.head("9. Where is the code now? In the gateway's own book, and in no file of the service")?;
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let bytes = fs::read(&path)?;
            let found = bytes.windows(code.len()).any(|window| window == code.as_bytes());
            super::announce(&format!(
                "  {name}: {} bytes, the code is {}",
                bytes.len(),
                if found { "there" } else { "not there" }
            ))?;
            check(found == name.starts_with("sandbox-book"), "only the sandbox's book holds the code")?;
        }
        super::announce("")
    }

    fn say_how_to_go_on(&self, id: &str) -> Result<(), CommandError> {
        if self.once {
            // By the time that someone could type a line, no service is there to answer it.
            return super::announce("Every step held. Start `noshi demo` to go on by hand.");
        }
        let (base, key) = (format!("http://{}", self.address), &self.key);
        super::announce(&format!(
            "Every step held. To go on by hand (the key is good for 30 days, for this demo only):\n\n\
             export NOSHI={base} KEY={key}\n\
             curl -s $NOSHI/v1/ping -H \"Authorization: Bearer $KEY\"\n\
             curl -s $NOSHI/v1/rewards -H \"Authorization: Bearer $KEY\" -H \"Idempotency-Key: my-first-order\" \\\n  \
             -H \"Content-Type: application/json\" -d '{{\"kind\":\"gift_code\",\"value\":{{\"amount\":\"5.00\",\"currency_code\":\"USD\"}}}}'\n\
             curl -s $NOSHI/v1/rewards/{id}/events -H \"Authorization: Bearer $KEY\"\n\
             curl -s $NOSHI/v1/balances -H \"Authorization: Bearer $KEY\"\n\n\
             The same without curl:\n\n\
             export NOSHI_URL=$NOSHI NOSHI_API_KEY=$KEY\n\
             noshi rewards show {id}        # or: cargo run -q -- rewards show {id}\n\
             noshi rewards list\n\
             noshi balance\n\n\
             In a browser: http://{admin}/console; log in with the key, {key}\n\n\
             Ctrl-C ends the demo. The next `noshi demo` goes on with the same rewards and with another key.",
            admin = self.admin
        ))
    }

    pub(super) async fn ask(&self, request: DemoRequest<'_>) -> Result<DemoAnswer, CommandError> {
        let answer = exchange(self.address, &self.key, request).await?;
        super::announce(&answer.shown)?;
        Ok(answer)
    }

    pub(super) fn head(&self, title: &str) -> Result<(), CommandError> {
        super::announce(&format!("\n== {title}\n"))
    }

    pub(super) fn fresh_key(&self) -> Result<String, CommandError> {
        let token = self.ambient.token().map_err(|_error| DemoError::Step("there is randomness"))?;
        Ok(format!("demo-{}", token.simple()))
    }

    /// The card that the gateway's book holds for a reward.
    fn card(&self, answer: &DemoAnswer) -> Option<Card> {
        let id = answer.text("/creation_request_id")?.to_owned();
        let mut cards = self.control.book().into_iter().filter(|card| card.creation_request_id == id);
        cards.next().filter(|_card| cards.next().is_none())
    }
}

pub(super) fn text(answer: &DemoAnswer, pointer: &'static str) -> Result<String, CommandError> {
    Ok(answer.text(pointer).map(str::to_owned).ok_or(DemoError::Step("the answer has every member"))?)
}

pub(super) fn check(held: bool, what: &'static str) -> Result<(), CommandError> {
    if held { Ok(()) } else { Err(DemoError::Step(what).into()) }
}
