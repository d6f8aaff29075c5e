//! An account, or a token, in the wrong place: texts of a caller are stored as they are.

use serde_json::{Value, json};

use super::{Backend, Counter, load, on_each_backend};

fn with(target: &Value, member: &str, text: Value) -> Value {
    let mut order = load(target.clone(), "25.00");
    order[member] = text;
    order
}

on_each_backend! {
    async fn a_request_that_repeats_its_account_or_its_token_in_a_text_is_refused_by_the_field(backend: Backend) {
        let counter = Counter::open(backend).await;
        let shopper = counter.shopper(0);
        let (barcode, phone, user_id) = (shopper.barcode.unwrap(), shopper.phone.unwrap(), shopper.user_id);
        let signed_in = counter.signed_in(0);
        let token = signed_in["access_token"].as_str().unwrap().to_owned();
        let id_alone = user_id.trim_start_matches("amzn1.account.").to_owned();
        for (target, text) in [
            (json!({"barcode": barcode}), barcode.clone()),
            (json!({"phone": phone}), phone.replace("+1", "+1 (") + ")"),
            (json!({"phone": phone}), phone.replace("+1", "0")),
            (json!({"account_id": user_id}), format!("for {id_alone}")),
            (signed_in.clone(), token.replace('|', "%7C")),
            (signed_in, user_id.clone()),
        ] {
            for (order, pointer) in [
                (with(&target, "external_id", json!(text)), "/external_id"),
                (with(&target, "metadata", json!({"whose": text})), "/metadata"),
            ] {
                let refused = counter.app.issue_body("one", order.clone()).await;
                refused.is_problem(400, "invalid-request");
                assert_eq!(refused.json["errors"][0]["pointer"], pointer, "{order}: {}", refused.text);
                assert!(!refused.text.contains(&id_alone) && !refused.text.contains(&token), "{}", refused.text);
            }
        }
        assert_eq!((counter.rewards().await, counter.standing().len()), (0, 0));
        let issued = counter.load("one", json!({"account_id": user_id})).await;
        let path = format!("/v1/rewards/{}/cancel", issued.id());
        let refused = counter.app.post(&path, json!({"reason": format!("{id_alone} asked twice")})).await;
        assert_eq!(refused.json["errors"][0]["pointer"], "/reason", "{}", refused.text);
        counter.end_with_books().await;
    }
}
