//! Many notifications in no order, each several times, among as many forged ones: each has its effect once, and each charge is what Amazon
//! says. `NOSHI_TEST_NOTIFICATIONS=10000` is the whole of it.

use futures_util::{StreamExt, stream};
use noshi::sandbox::NoticeAct;
use serde_json::json;

use super::{Generation, LIMIT, counted, peek, rest, settled, until, written};
use crate::{
    pay::charge_of,
    support::{Answer, Backend, on_each_backend, rounds::count_of, seller, with_json},
};

/// Charges, and notifications in all: of each charge some, each sent again, and forged ones.
const CHARGES: usize = 10;
const EVERYDAY: usize = 120;

on_each_backend! {
    async fn shuffled_repeated_and_forged_ones_have_each_effect_once(backend: Backend) {
        let all = count_of("NOSHI_TEST_NOTIFICATIONS", EVERYDAY);
        for generation in Generation::ALL {
            let app = generation.shop(backend, if generation == Generation::Mws { "1" } else { "2" }).await;
            app.control.act_on_notices(NoticeAct::Hold).unwrap();
            let (mut paid, mut declined) = (Vec::new(), Vec::new());
            for at in 0..CHARGES {
                let to_be_declined = at % 3 == 0;
                let consent = match generation {
                    Generation::CheckoutV2 => seller::consent(&app.control, LIMIT, if to_be_declined { "4354" } else { "0701" }),
                    Generation::Mws => seller::agreement(&app.control, LIMIT),
                };
                let mut body = charge_of(&consent, "980");
                body["may_wait"] = json!(true);
                if to_be_declined && generation == Generation::Mws {
                    body["simulation"] = json!("HardDeclined");
                }
                let request = app.request("POST", "/v1/pay/charges").header("Idempotency-Key", format!("fee-{at}"));
                let begun = Answer::of(with_json(request.header("Prefer", "respond-async"), &body)).await;
                until(&app, "/v1/pay/charges", begun.id(), "pending").await;
                if to_be_declined { &mut declined } else { &mut paid }.push(begun.id().to_owned());
            }
            rest(&app).await;
            app.control.advance_clock(31).unwrap();
            let merchant_id = seller::MERCHANT.to_owned();
            let count = u32::try_from(all / 2).unwrap();
            app.control.act_on_notices(NoticeAct::Forge { merchant_id, count }).unwrap();
            app.control.act_on_notices(NoticeAct::Release { shuffled: true }).unwrap();
            for id in &paid {
                until(&app, "/v1/pay/charges", id, "paid").await;
            }
            for id in &declined {
                until(&app, "/v1/pay/charges", id, "declined").await;
            }
            settled(&app).await;
            let genuine: Vec<_> = app.control.notices().into_iter().filter(|notice| notice.about != "forged").collect();
            assert!(genuine.iter().all(|notice| notice.status == "delivered"), "{genuine:?}");
            let distinct = i64::try_from(genuine.len()).unwrap();
            assert_eq!(written(&app).await, distinct);
            let reads = app.control.requests().len();
            let version = app.database.text("SELECT CAST(SUM(version) AS TEXT) FROM payments").await;
            // The other half: each again, and again.
            let times = (all / 2).div_ceil(genuine.len());
            stream::iter(0..times).for_each(|_| async {
                app.control.act_on_notices(NoticeAct::Repeat).unwrap();
                settled(&app).await;
            })
            .await;
            assert_eq!(written(&app).await, distinct, "each is written down once");
            assert_eq!(app.control.requests().len(), reads, "a repeat makes nobody look");
            assert_eq!(app.database.text("SELECT CAST(SUM(version) AS TEXT) FROM payments").await, version);
            let forged = u64::from(count);
            assert_eq!(counted(&app, "refused").await, forged);
            for id in paid.iter().chain(&declined) {
                assert_ne!(peek(&app, "/v1/pay/charges", id).await["status"], "pending");
            }
            app.end().await;
        }
    }
}
