//! What cannot be taken now is answered so that SNS sends it again, and is taken then.

use noshi::sandbox::NoticeAct;
use serde_json::json;

use super::{Generation, LIMIT, PATH, counted, peek, post, rest, signed, until, written};
use crate::{
    pay::charge_of,
    support::{Answer, App, Backend, look::Look, on_each_backend, seller, wait, with_json},
};

/// Keeps notifications from being written.
async fn break_the_table(app: &App) {
    let text = match app.database.backend {
        Backend::Sqlite => {
            "CREATE TRIGGER broken BEFORE INSERT ON pay_notifications BEGIN SELECT RAISE(ABORT, 'broken'); END"
        }
        Backend::Postgres => {
            "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'broken'; END $$; \
             CREATE TRIGGER broken BEFORE INSERT ON pay_notifications FOR EACH ROW EXECUTE FUNCTION broken()"
        }
    };
    Look::at(&app.database).await.run(text).await.unwrap();
}

async fn mend_the_table(app: &App) {
    let text = match app.database.backend {
        Backend::Sqlite => "DROP TRIGGER broken",
        Backend::Postgres => "DROP TRIGGER broken ON pay_notifications; DROP FUNCTION broken()",
    };
    Look::at(&app.database).await.run(text).await.unwrap();
}

on_each_backend! {
    async fn while_the_database_takes_nothing_it_is_503_and_the_repeat_lands(backend: Backend) {
        let app = Generation::CheckoutV2.shop(backend, "1").await;
        app.control.act_on_notices(NoticeAct::Hold).unwrap();
        let mut body = charge_of(&seller::consent(&app.control, LIMIT, "0701"), "980");
        body["may_wait"] = json!(true);
        let request = app.request("POST", "/v1/pay/charges").header("Idempotency-Key", "fee").header("Prefer", "respond-async");
        let begun = Answer::of(with_json(request, &body)).await;
        until(&app, "/v1/pay/charges", begun.id(), "pending").await;
        rest(&app).await;
        app.control.advance_clock(31).unwrap();
        break_the_table(&app).await;
        let message = signed(&app, &Generation::CheckoutV2.message("S03-1234567-1234567-C123456", "by hand"));
        post(&app, message).await.is_problem(503, "dependency-unavailable");
        app.control.act_on_notices(NoticeAct::Release { shuffled: false }).unwrap();
        wait::until("each was sent once", async || {
            let sent = app.control.notices();
            sent.len() >= 2 && sent.iter().all(|notice| notice.attempts == 1 && notice.answer == Some(503))
        })
        .await;
        assert_eq!((written(&app).await, counted(&app, "taken").await), (0, 0));
        assert_eq!(peek(&app, "/v1/pay/charges", begun.id()).await["status"], "pending");
        mend_the_table(&app).await;
        app.control.advance_clock(3_600).unwrap();
        until(&app, "/v1/pay/charges", begun.id(), "paid").await;
        wait::until("all are delivered", async || app.control.notices().iter().all(|notice| notice.status == "delivered")).await;
        assert_eq!(counted(&app, "failed").await, 1 + u64::try_from(app.control.notices().iter().filter(|notice| notice.attempts == 2).count()).unwrap());
        app.end().await;
    }

    async fn what_a_stopped_service_missed_is_taken_after_its_start(backend: Backend) {
        let mut app = Generation::Mws.shop(backend, "2").await;
        let sent = seller::agreement(&app.control, LIMIT);
        wait::until("the first has come", async || counted(&app, "taken").await == 1).await;
        assert!(app.stop().await);
        seller::agreement(&app.control, LIMIT);
        wait::until("one has found nobody", async || {
            app.control.notices().iter().any(|notice| notice.about != sent && notice.attempts == 1 && notice.answer.is_none())
        })
        .await;
        app.start().await;
        // SNS goes on sending to the address of then: here that of the new process.
        Generation::Mws.listen(&app, "2");
        app.control.act_on_notices(NoticeAct::Redirect { url: format!("{}{}", app.base, PATH) }).unwrap();
        app.control.advance_clock(3_600).unwrap();
        wait::until("it is written", async || written(&app).await == 2).await;
        app.end().await;
    }
}
