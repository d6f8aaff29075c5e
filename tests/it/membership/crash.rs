//! Death at each named place on the way of a period: it is paid once, and has one reward.

use serde_json::json;

use super::{club, each_paid_period_has_its_reward, join, plan, plan_of, taken};
use crate::{
    kill::start,
    support::{
        Answer, Backend, on_each_backend, seller,
        wait::{self, found},
        with_json,
    },
};

/// Every place from the claim of a charge to the reward in the member's hands. What stands between the calls to Amazon is the payments' and the
/// rewards' own: some of it is here, because a period must survive it, too.
const PLACES: [&str; 15] = [
    "membership.claimed",
    "membership.in_charge",
    "membership.charging",
    "pay.in_t1",
    "pay.before_send",
    "pay.after_answer",
    "membership.in_settle",
    "pay.in_t2",
    "pay.after_t2",
    "membership.charged",
    "membership.in_reward",
    "membership.issuing",
    "issue.after_t1",
    "membership.issued",
    "membership.rewarded",
];
/// What a process that died had taken up is due when its time is over: nobody waits for that here.
const DUE: [&str; 4] = [
    "UPDATE membership_periods SET due_at = created_at WHERE due_at IS NOT NULL",
    "UPDATE membership_periods SET reward_due_at = created_at WHERE reward_due_at IS NOT NULL",
    "UPDATE payments SET due_at = created_at WHERE due_at IS NOT NULL",
    "UPDATE rewards SET due_at = created_at WHERE due_at IS NOT NULL",
];

on_each_backend! {
    async fn a_crash_at_any_place_of_a_period_charges_once_and_rewards_once(backend: Backend) {
        let mut app = club(backend).await;
        let gold = plan(&app, "gold", &plan_of("980")).await;
        assert!(app.stop().await);
        let consents = PLACES.map(|_place| seller::consent(&app.control, 5_000, "1111"));
        for (at, place) in PLACES.into_iter().enumerate() {
            let mut armed = app.environment().to_vec();
            armed.push(("NOSHI_FAILPOINT".to_owned(), format!("{place}@1")));
            if let Ok(mut served) = start(armed).await {
                app.base.clone_from(&served.base);
                // What was left of the member before it may be taken up first: then it dies before it answers.
                let body = json!({"plan_id": gold, "consent_id": consents[at], "reference": format!("member-{at}")});
                let request = app.request("POST", "/v1/memberships").header("Idempotency-Key", format!("member-{at}"));
                let _ = Answer::try_of(with_json(request, &body)).await;
                found(&format!("it dies at {place}"), async || served.ended()).await;
            }
            for text in DUE {
                app.database.execute(text).await.unwrap();
            }
        }
        let served = start(app.environment().to_vec()).await.unwrap();
        app.base.clone_from(&served.base);
        for (at, consent) in consents.iter().enumerate() {
            // Their callers ask again.
            let joined = join(&app, &gold, consent, &format!("member-{at}")).await;
            assert!([200, 201].contains(&joined.status), "{}", joined.text);
        }
        let members = i64::try_from(PLACES.len()).unwrap();
        let issued = "SELECT COUNT(*) FROM membership_periods WHERE entitlement = 'issued'";
        wait::until("each member has the reward", async || {
            // Also what rests until it is looked at again.
            for text in DUE {
                app.database.execute(text).await.unwrap();
            }
            tokio::time::sleep(std::time::Duration::from_millis(700)).await;
            app.database.number(issued).await == members
        })
        .await;
        assert_eq!(taken(&app), vec!["980"; PLACES.len()]);
        each_paid_period_has_its_reward(&app).await;
        drop(served);
        app.end().await;
    }
}
