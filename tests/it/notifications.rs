//! Notifications of Amazon Pay: only Amazon's are taken, each has its effect once, and it is no more than a look at Amazon.

mod charge_back;
mod refused;
mod sent_again;
mod storm;
mod strangers;
mod subscription;
mod taken;
mod woken;

use noshi::sandbox::{NewNoticeReceiver, NoticeDraft, NoticeGeneration};
use serde_json::{Value, json};

use crate::{
    pay::selling,
    support::{Answer, App, Backend, Shape, seller, wait},
};

/// The marketplace of the topic.
const MARKETPLACE: &str = "A1VC38T7YXB528";
const PATH: &str = "/v1/pay/notifications/shop";
/// What a buyer consents to in most tests, in yen a month.
const LIMIT: u32 = 100_000;
/// Marks whatever of a message must be kept nowhere.
const CANARY: &str = "CANARY-OF-A-BODY";

/// The generations of Amazon Pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Generation {
    CheckoutV2,
    Mws,
}

impl Generation {
    const ALL: [Self; 2] = [Self::CheckoutV2, Self::Mws];

    fn shape(self) -> Shape {
        let topic = format!("{MARKETPLACE}{}", seller::MERCHANT);
        let shape = Shape { mws: self == Self::Mws, ..selling() };
        shape.with("NOSHI__PAY__SHOP__NOTIFICATION_TOPIC", topic)
    }

    /// A service whose notifications come from the sandbox, signed in this version.
    async fn shop(self, backend: Backend, version: &str) -> App {
        let app = App::shaped(backend, self.shape()).await;
        self.listen(&app, version);
        app
    }

    /// Names the service to the sandbox: after a restart its address is another.
    fn listen(self, app: &App, version: &str) {
        let generation = match self {
            Self::CheckoutV2 => NoticeGeneration::CheckoutV2,
            Self::Mws => NoticeGeneration::Mws,
        };
        let receiver = NewNoticeReceiver {
            merchant_id: seller::MERCHANT.to_owned(),
            url: format!("{}{PATH}", app.base),
            generation,
            marketplace_id: MARKETPLACE.to_owned(),
            signature_version: version.to_owned(),
        };
        app.control.notify(receiver).unwrap();
    }

    /// What a notification of it says about this object.
    fn message(self, object: &str, reference: &str) -> Value {
        match self {
            Self::CheckoutV2 => json!({
                "MerchantID": seller::MERCHANT, "ObjectType": "CHARGE", "ObjectId": object, "ChargePermissionId": "C03-1234567-1234567",
                "NotificationType": "STATE_CHANGE", "NotificationId": reference, "NotificationVersion": "V2", "Note": CANARY
            }),
            Self::Mws => json!({
                "NotificationReferenceId": reference, "NotificationType": "PaymentAuthorize", "SellerId": seller::MERCHANT,
                "MarketplaceID": MARKETPLACE, "ReleaseEnvironment": "Sandbox", "Version": "2013-01-01", "Timestamp": "2026-11-29T03:55:00Z",
                "NotificationData": format!(
                    "<AuthorizationNotification><AuthorizationDetails><AmazonAuthorizationId>{object}</AmazonAuthorizationId>\
                     <SellerAuthorizationNote>{CANARY}</SellerAuthorizationNote></AuthorizationDetails></AuthorizationNotification>"
                )
            }),
        }
    }
}

/// A message of this text, signed by the sandbox and not sent.
fn signed(app: &App, message: &Value) -> String {
    signed_as(app, NoticeDraft { message: message.to_string(), ..NoticeDraft::default() })
}

fn signed_as(app: &App, draft: NoticeDraft) -> String {
    app.control.draft_notice(seller::MERCHANT, draft).unwrap()
}

/// Posts a body as SNS does.
async fn post(app: &App, body: impl Into<String>) -> Answer {
    let request = app.anonymous("POST", PATH).header("Content-Type", "text/plain; charset=UTF-8");
    Answer::of(request.body(body.into())).await
}

/// Lets every payment rest by its row for as long as one ever does, so that only a notification makes it due. What rests longer is taken for the
/// work of a clock that was ahead, and recalled.
async fn rest(app: &App) {
    let later =
        (app.ambient.now() + chrono::TimeDelta::minutes(10)).to_rfc3339_opts(chrono::SecondsFormat::Micros, false);
    wait::until("nothing is in hand", async || {
        app.database.number("SELECT COUNT(*) FROM payments WHERE lease_token IS NOT NULL").await == 0
    })
    .await;
    app.database.execute(&format!("UPDATE payments SET due_at = '{later}' WHERE due_at IS NOT NULL")).await.unwrap();
}

/// Waits until nothing is to be sent any more.
async fn settled(app: &App) {
    wait::until("all are settled", async || app.control.notices_due() == 0).await;
}

/// How many notifications are written down.
async fn written(app: &App) -> i64 {
    app.database.number("SELECT COUNT(*) FROM pay_notifications").await
}

/// How many of the account's ended so, by the metrics page.
async fn counted(app: &App, result: &str) -> u64 {
    let name = format!("noshi_pay_notifications_total{{account=\"shop\",result=\"{result}\"}} ");
    let page = app.metrics().await;
    let line = page.lines().find_map(|line| line.strip_prefix(&name));
    line.unwrap_or_else(|| panic!("no {name} in {page}")).parse().unwrap()
}

/// Waits until a payment has this status.
async fn until(app: &App, path: &str, id: &str, status: &str) -> Value {
    let mut last = Value::Null;
    let what = format!("{id} is {status}");
    wait::until(&what, async || {
        last = peek(app, path, id).await;
        last["status"] == status
    })
    .await;
    last
}

/// A payment as a list shows it: asking for one by its id would bring the next look about.
async fn peek(app: &App, path: &str, id: &str) -> Value {
    let list = app.get(path).await.json;
    list["data"].as_array().unwrap().iter().find(|one| one["id"] == id).cloned().unwrap_or_default()
}
