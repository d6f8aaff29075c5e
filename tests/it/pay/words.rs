//! Every word that an answer of Amazon's may leave fits the column that keeps it: one that did not would never be settled.

use noshi::{
    kernel::NotSent,
    pay::kind::CaptureStatus,
    provider::pay::{DeclineKind, PayDoubt, PayReason},
    sandbox::PayCall,
};

use super::{charge, charge_of, consent, doubt::strike, shop};
use crate::support::{Backend, on_each_backend};

on_each_backend! {
    async fn every_word_of_an_answer_fits_its_column(backend: Backend) {
        let app = shop(backend).await;
        let consent = consent(&app);
        assert_eq!(charge(&app, "fee", &charge_of(&consent, "980")).await.status, 201);
        let reasons = PayReason::ALL.iter().map(|one| one.as_str());
        let doubts = PayDoubt::ALL.iter().map(|one| one.as_str());
        let unsent = NotSent::ALL.iter().map(|one| one.as_str());
        let words: Vec<&str> = reasons.chain(doubts).chain(unsent).chain(["odd_id", "captured_elsewhere"]).collect();
        assert!(words.len() > 70, "{}", words.len());
        for word in words {
            let update = format!("UPDATE payments SET error_code = '{word}'");
            assert_eq!(app.database.execute(&update).await.unwrap(), 1, "{word}");
        }
        for status in CaptureStatus::ALL {
            let update = format!("UPDATE payments SET capture_status = '{}'", status.as_str());
            assert_eq!(app.database.execute(&update).await.unwrap(), 1, "{status:?}");
        }
        for kind in DeclineKind::ALL {
            let update = format!("UPDATE payments SET decline = '{}'", kind.as_str());
            assert_eq!(app.database.execute(&update).await.unwrap(), 1, "{kind:?}");
        }
        app.end().await;
    }

    /// Through the whole service: a word whose second letter is a capital.
    async fn a_buyer_who_did_not_prove_who_they_are_must_choose_another_method(backend: Backend) {
        let app = shop(backend).await;
        let consent = consent(&app);
        let fault = noshi::sandbox::Fault::ReasonCode { status: 422, reason_code: "MFANotCompleted".to_owned(), after_work: false };
        app.control.script(strike(PayCall::CreateCharge, fault, 1)).unwrap();
        let refused = charge(&app, "fee", &charge_of(&consent, "980")).await;
        refused.is_problem(402, "payment-declined");
        assert_eq!((&refused.json["errors"][0]["code"], &refused.json["upstream"]["error_code"]), (&"method".into(), &"MFANotCompleted".into()));
        app.end().await;
    }
}
