//! How much goes back of a charge.

use futures_util::future::join_all;

use super::{Generation, charge, charge_of, consent, given_back, refund, refund_of, shop};
use crate::support::{Backend, on_each_backend};

on_each_backend! {
    async fn no_more_goes_back_than_amazon_gives(backend: Backend) {
        let app = shop(backend).await;
        let consent = consent(&app);
        let paid = charge(&app, "fee", &charge_of(&consent, "10000")).await;
        let refused = refund(&app, "too much", &refund_of(paid.id(), "11501")).await;
        refused.is_problem(409, "not-refundable");
        assert_eq!(refused.json["detail"], "11500 JPY can still be given back");
        assert_eq!(refund(&app, "most", &refund_of(paid.id(), "11500")).await.status, 202);
        refund(&app, "one yen more", &refund_of(paid.id(), "1")).await.is_problem(409, "not-refundable");
        assert_eq!(app.control.refunds().len(), 1);
        app.end().await;
    }

    async fn refunds_at_once_do_not_pass_the_cap_together(backend: Backend) {
        for generation in Generation::ALL {
            let app = generation.shop(backend).await;
            let consent = generation.consent(&app);
            let paid = charge(&app, "fee", &charge_of(&consent, "1000")).await;
            let keys: Vec<String> = (0..8).map(|at| format!("back-{at}")).collect();
            let body = refund_of(paid.id(), "400");
            let answers = join_all(keys.iter().map(|key| refund(&app, key, &body))).await;
            let taken = answers.iter().filter(|answer| answer.status == 202).count();
            assert_eq!(taken, 2, "{answers:?}");
            assert_eq!(given_back(&app, paid.json["amazon_id"].as_str().unwrap()), ["400", "400"]);
            app.end().await;
        }
    }

    /// A refund must not count against itself.
    async fn many_requests_at_once_under_one_key_are_one_refund(backend: Backend) {
        let app = shop(backend).await;
        let consent = consent(&app);
        let paid = charge(&app, "fee", &charge_of(&consent, "1000")).await;
        let body = refund_of(paid.id(), "1000");
        let answers = join_all((0..10).map(|_at| refund(&app, "back", &body))).await;
        assert!(answers.iter().all(|answer| answer.status == 202), "{answers:?}");
        let ids: std::collections::BTreeSet<_> = answers.iter().map(|answer| answer.id().to_owned()).collect();
        assert_eq!((ids.len(), app.control.refunds().len()), (1, 1));
        app.end().await;
    }

    async fn a_charge_has_ten_refunds(backend: Backend) {
        let app = shop(backend).await;
        let consent = consent(&app);
        let paid = charge(&app, "fee", &charge_of(&consent, "1000")).await;
        for at in 0..10 {
            let answer = refund(&app, &format!("back-{at}"), &refund_of(paid.id(), "1")).await;
            assert_eq!(answer.status, 202, "{}", answer.text);
        }
        let refused = refund(&app, "the eleventh", &refund_of(paid.id(), "1")).await;
        refused.is_problem(409, "not-refundable");
        assert_eq!(app.control.refunds().len(), 10);
        app.end().await;
    }

    async fn only_what_is_paid_is_given_back(backend: Backend) {
        let app = shop(backend).await;
        let consent = consent(&app);
        let mut body = charge_of(&consent, "980");
        body["simulation"] = serde_json::json!("HardDeclined");
        let declined = charge(&app, "fee", &body).await;
        let id = declined.json["payment_id"].as_str().unwrap();
        refund(&app, "back", &refund_of(id, "980")).await.is_problem(409, "invalid-state");
        let nobody = refund(&app, "none", &refund_of("pmt_01990000000070008000000000000000", "1")).await;
        nobody.is_problem(400, "invalid-request");
        assert_eq!(app.control.refunds().len(), 0);
        app.end().await;
    }
}
