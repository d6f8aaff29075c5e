//! What a gift code says to Amazon besides its value (`provider/incentives/members.rs`): the program of a reseller, the product of a
//! voucher, the caller's reference, the till that prints it. Every attempt says the same.

mod two_versions;

use noshi::sandbox::{CardMembers, CardSource, Fault, PartnerTerms};
use serde_json::{Value, json};

use crate::support::{
    Answer, App, Backend, PARTNER, Shape, books::books_match, faults::of_create, on_each_backend, order,
};

const SETTINGS: [(&str, &str); 5] = [
    ("AMAZON_PROGRAM_ID", "PROG123"),
    ("AMAZON_PROGRAMS", "[{ program_id = \"prg_spring\", amazon_program_id = \"SPRING26\" }]"),
    ("PRODUCT_TYPES", "[\"bookPV\", \"hwPV\"]"),
    ("EXTERNAL_REFERENCE", "true"),
    ("PRINT_ON_RECEIPT", "true"),
];

fn name(setting: &str) -> String {
    format!("NOSHI__ACCOUNTS__MAIN__{setting}")
}

fn shape() -> Shape {
    SETTINGS.iter().fold(Shape::default(), |shape, (setting, value)| shape.with(name(setting), value))
}

/// The order of a voucher, with everything that its caller may say.
fn voucher() -> Value {
    let mut voucher = order("25.00");
    voucher["product_type"] = json!("bookPV");
    voucher["external_id"] = json!("café \"42\"");
    voucher["transaction_source"] = json!({"source_id": "till 7", "source_details": "{\"institutionName\":\"Shop\"}"});
    voucher
}

const MEMBERS: &str = r#""programId":"PROG123","productType":"bookPV","externalReference":"café \"42\"","transactionSource":{"sourceId":"till 7","sourceDetails":"{\"institutionName\":\"Shop\"}"}"#;

/// The bodies of all creates.
fn bodies(app: &App) -> Vec<String> {
    app.received("CreateGiftCard").into_iter().map(|call| call.body).collect()
}

fn is_wrong(answer: &Answer, pointer: &str) {
    answer.is_problem(400, "invalid-request");
    assert_eq!(answer.json["errors"][0]["pointer"], pointer, "{}", answer.text);
}

on_each_backend! {
    async fn what_a_contract_asks_for_and_a_caller_names_is_sent_and_stays_with_the_card(backend: Backend) {
        let app = App::shaped(backend, shape()).await;
        let program = json!({"id": "prg_spring", "name": "Spring", "account_id": "main"});
        assert_eq!(app.post("/v1/programs", program).await.status, 201);
        let issued = app.issue_body("one", voucher()).await;
        assert_eq!((issued.status, &issued.json["product_type"]), (201, &json!("bookPV")), "{}", issued.text);
        let id = app.amazon_id("one");
        let plain = format!(r#""creationRequestId":"{id}","partnerId":"{PARTNER}","value":{{"currencyCode":"USD","amount":25.00}}"#);
        assert_eq!(bodies(&app), [format!("{{{plain},{MEMBERS}}}")]);
        let source = CardSource {
            source_id: Some("till 7".to_owned()),
            source_details: Some("{\"institutionName\":\"Shop\"}".to_owned()),
            ..CardSource::default()
        };
        let members = CardMembers {
            program_id: Some("PROG123".to_owned()),
            product_type: Some("bookPV".to_owned()),
            external_reference: Some("café \"42\"".to_owned()),
            transaction_source: Some(source),
        };
        assert_eq!(app.live_cards()[0].members, members);

        // A program of ours has one of its own at Amazon.
        let mut of_program = order("5.00");
        of_program["program_id"] = json!("prg_spring");
        assert_eq!(app.issue_body("two", of_program).await.status, 201);
        assert!(bodies(&app)[1].ends_with(r#""amount":5.00},"programId":"SPRING26"}"#), "{:?}", bodies(&app));
        for list in ["/v1/rewards", "/v1/rewards?kind=gift_code"] {
            let listed = app.get(list).await;
            let kinds: Vec<&Value> = listed.json["data"].as_array().unwrap().iter().map(|one| &one["kind"]).collect();
            assert_eq!(kinds, ["gift_code", "gift_code"], "{list}: {}", listed.text);
        }
        assert_eq!(app.get("/v1/rewards?kind=card_activation").await.json["data"], json!([]));
        assert_eq!(app.get("/v1/catalog").await.json["data"][0]["product_types"], json!(["bookPV", "hwPV"]));
        books_match(&app).await;
        app.end().await;
    }

    async fn a_replay_sends_the_same_bytes_whatever_the_settings_say_by_then(backend: Backend) {
        let mut app = App::shaped(backend, shape()).await;
        app.control.script(of_create(Fault::DropAfterWork)).unwrap();
        let lost = app.issue_body("one", voucher()).await;
        lost.is_accepted();
        let other = Shape::default().with(name("AMAZON_PROGRAM_ID"), "OTHER");
        app.restart_in(other).await;
        app.until(lost.id(), "issued").await;
        let again = app.issue_body("one", voucher()).await;
        assert_eq!(again.status, 200, "what it made then is no question of today's settings: {}", again.text);
        app.advance(3 * 24 * 3600);
        assert_eq!(app.reveal(lost.id()).await.status, 200);
        let bodies = bodies(&app);
        assert!(bodies[0].contains(MEMBERS), "{bodies:?}");
        assert!(bodies.len() >= 4 && bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
        assert_eq!(app.live_cards().len(), 1);
        books_match(&app).await;
        app.end().await;
    }

    async fn the_same_key_for_another_product_or_till_is_another_command(backend: Backend) {
        let app = App::shaped(backend, shape()).await;
        let issued = app.issue_body("one", voucher()).await;
        assert_eq!(issued.status, 201, "{}", issued.text);
        for (member, other) in [
            ("product_type", json!("hwPV")),
            ("product_type", Value::Null),
            ("transaction_source", json!({"source_id": "till 8"})),
            ("transaction_source", Value::Null),
        ] {
            let mut body = voucher();
            body[member] = other.clone();
            let refused = app.issue_body("one", body).await;
            refused.is_problem(422, "idempotency-mismatch");
        }
        assert_eq!(app.issue_body("one", voucher()).await.code(), issued.code());
        let plain = app.issue("plain", "5.00").await;
        assert_eq!(plain.status, 201);
        let mut now_a_voucher = order("5.00");
        now_a_voucher["product_type"] = json!("bookPV");
        app.issue_body("plain", now_a_voucher).await.is_problem(422, "idempotency-mismatch");
        app.end().await;
    }

    async fn what_the_account_does_not_take_is_refused_at_its_field_and_nothing_is_sent(backend: Backend) {
        let app = App::shaped(backend, shape()).await;
        let with = |member: &str, value: Value| {
            let mut body = voucher();
            body[member] = value;
            body
        };
        let long = "x".repeat(101);
        for (body, pointer) in [
            (with("product_type", json!("culturePV")), "/product_type"),
            (with("product_type", json!("book PV")), "/product_type"),
            (with("product_type", json!("")), "/product_type"),
            (with("product_type", json!(7)), "/product_type"),
            (with("external_id", json!(long)), "/external_id"),
            // Amazon may count the halves of each.
            (with("external_id", json!("\u{1f381}".repeat(51))), "/external_id"),
            (with("transaction_source", json!({})), "/transaction_source"),
            (with("transaction_source", json!({"source_id": "x".repeat(41)})), "/transaction_source/source_id"),
            (with("transaction_source", json!({"source_details": "see ABCD-EFGHJK-LMNP"})), "/transaction_source"),
        ] {
            is_wrong(&app.issue_body("one", body.clone()).await, pointer);
            is_wrong(&app.post("/v1/rewards/validate", body).await, pointer);
        }
        let listed = app.issue_body("one", with("product_type", json!("culturePV"))).await;
        assert_eq!(listed.json["detail"], "expected: bookPV or hwPV", "{}", listed.text);
        assert_eq!((bodies(&app).len(), app.database.number("SELECT COUNT(*) FROM rewards").await), (0, 0));
        assert_eq!(app.issue_body("one", with("external_id", json!("\u{1f381}".repeat(50)))).await.status, 201);
        app.end().await;

        // Off unless the settings say so: a long reference is nobody's business, and no till is known.
        let app = App::spawn(backend).await;
        for (member, pointer) in [("product_type", "/product_type"), ("transaction_source", "/transaction_source")] {
            let mut body = order("5.00");
            body[member] = voucher()[member].clone();
            is_wrong(&app.issue_body("one", body).await, pointer);
        }
        let mut body = order("5.00");
        body["external_id"] = json!(long);
        assert_eq!(app.issue_body("two", body).await.status, 201);
        assert!(!bodies(&app)[0].contains("externalReference"), "{:?}", bodies(&app));
        app.end().await;
    }

    /// Nothing was bought by what was refused, so another try goes by what an operator has mended.
    async fn a_program_that_amazon_refuses_is_mended_in_the_settings_and_the_same_key_buys(backend: Backend) {
        let wrong = Shape::default().with(name("AMAZON_PROGRAM_ID"), "PR0G123");
        let mut app = App::shaped(backend, wrong).await;
        let approved = PartnerTerms { program_ids: Some(vec!["PROG123".to_owned()]), ..PartnerTerms::default() };
        app.control.set_terms(PARTNER, approved).unwrap();
        let refused = app.issue("one", "5.00").await;
        refused.is_refusal(503, "account-problem", ("F300", "InvalidProgramId"));
        app.restart_with(&name("AMAZON_PROGRAM_ID"), "PROG123").await;
        app.control.script(of_create(Fault::DropAfterWork)).unwrap();
        let lost = app.issue("one", "5.00").await;
        lost.is_accepted();
        app.until(lost.id(), "issued").await;
        let bodies = bodies(&app);
        assert!(bodies[0].contains("PR0G123") && bodies[1].contains("PROG123"), "{bodies:?}");
        assert!(bodies.iter().skip(2).all(|body| *body == bodies[1]) && bodies.len() >= 3, "{bodies:?}");
        assert_eq!(app.live_cards().len(), 1);

        // No program at all: to Amazon that is a bad request, and final.
        app.restart_in(Shape::default()).await;
        app.issue("two", "5.00").await.is_refusal(422, "upstream-rejected", ("F200", "ProgramIdNotPresent"));
        books_match(&app).await;
        app.end().await;
    }

    /// Our limit is the stricter one, so this is Amazon counting otherwise than anyone has said.
    async fn a_reference_that_amazon_finds_too_long_is_refused_at_its_field(backend: Backend) {
        let app = App::shaped(backend, shape()).await;
        let fault = crate::support::faults::refusal("F200", "ExternalReferenceTooLong");
        app.control.script(of_create(fault)).unwrap();
        let refused = app.issue_body("one", voucher()).await;
        refused.is_problem(422, "upstream-rejected");
        assert_eq!(refused.json["errors"][0]["pointer"], "/external_id", "{}", refused.text);
        app.end().await;
    }
}
