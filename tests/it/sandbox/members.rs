//! What a create says besides its value: a reseller's program, a voucher's product, the partner's reference, the till. In both formats.

use serde_json::json;

use super::bench::{Bench, PARTNER, create_body};

fn with(request_id: &str, members: &str) -> String {
    create_body(request_id, "5", "USD").replace("}}", &format!("}},{members}}}"))
}

/// The same as XML.
fn xml(request_id: &str, members: &str) -> String {
    format!(
        "<CreateGiftCardRequest><creationRequestId>{request_id}</creationRequestId><partnerId>{PARTNER}</partnerId><value>\
         <currencyCode>USD</currencyCode><amount>5</amount></value>{members}</CreateGiftCardRequest>"
    )
}

#[tokio::test]
async fn a_card_keeps_what_its_create_said_in_json_and_in_xml() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("book");
    let bench = Bench::with_file(&file).await;
    let members = r#""programId":"PROG1","productType":"bookPV","externalReference":"caf\u00e9","transactionSource":{"sourceId":"7"}"#;
    assert_eq!(bench.post("CreateGiftCard", &with("AwssbJson", members)).await.status, Some(200));
    let members = "<programId>PROG1</programId><productType>bookPV</productType><externalReference>café</externalReference>\
                   <transactionSource><sourceId>7</sourceId></transactionSource>";
    let answer = bench.post("CreateGiftCard", &xml("AwssbXml", members)).await;
    assert_eq!(answer.status, Some(200), "{answer:?}");
    assert_eq!(bench.create("AwssbPlain", "5").await.status, Some(200));
    let (of_json, of_xml) = (bench.card("AwssbJson").unwrap().members, bench.card("AwssbXml").unwrap().members);
    assert_eq!(of_json, of_xml);
    let expected = json!({
        "program_id": "PROG1", "product_type": "bookPV", "external_reference": "café", "transaction_source": {"source_id": "7"}
    });
    assert_eq!(serde_json::to_value(&of_json).unwrap(), expected);
    let book = bench.ctl("GET", "/book", "").await.1;
    assert_eq!((&book[0]["members"], book[2].get("members")), (&expected, None), "{book}");
    // As it was recorded of Amazon.
    assert!(!serde_json::to_string(&bench.control.activity()).unwrap().contains("PROG1"));
    bench.sandbox.stop().await;
    assert_eq!(Bench::with_file(&file).await.card("AwssbXml").unwrap().members, of_xml, "after a restart");
}

#[tokio::test]
async fn a_reseller_names_an_approved_program_and_a_voucher_an_authorised_product() {
    let bench = Bench::start().await;
    let terms = r#"{"partner_id":"Awssb","program_ids":["PROG1","PROG2"],"product_types":["bookPV"]}"#;
    let (status, partners) = bench.ctl("PUT", "/terms", terms).await;
    assert_eq!((status, &partners[0]["terms"]["program_ids"]), (200, &json!(["PROG1", "PROG2"])), "{partners}");
    for (json, xml_members, code, error_type) in [
        (r#""productType":"bookPV""#, "<productType>bookPV</productType>", "F200", "ProgramIdNotPresent"),
        (r#""programId":null"#, "<programId/>", "F200", "ProgramIdNotPresent"),
        (r#""programId":"PROG3""#, "<programId>PROG3</programId>", "F300", "InvalidProgramId"),
        (r#""programId":"PROG 1""#, "<programId>PROG 1</programId>", "F300", "InvalidProgramId"),
        (
            r#""programId":"PROG1","productType":"hwPV""#,
            "<programId>PROG1</programId><productType>hwPV</productType>",
            "F300",
            "OperationNotPermitted",
        ),
        (
            r#""programId":"PROG1","transactionSource":{"sourceId":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}"#,
            "<programId>PROG1</programId><transactionSource><sourceId>xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx</sourceId></transactionSource>",
            "F200",
            "InvalidRequestInput",
        ),
    ] {
        let refused = bench.post("CreateGiftCard", &with("AwssbA", json)).await.json();
        assert_eq!(
            (&refused["errorCode"], &refused["errorType"]),
            (&json!(code), &json!(error_type)),
            "{json}: {refused}"
        );
        let refused = bench.post("CreateGiftCard", &xml("AwssbA", xml_members)).await;
        assert_eq!(refused.json()["errorType"], error_type, "{xml_members}: {refused:?}");
    }
    assert!(bench.control.book().is_empty());
    for (id, program) in [("AwssbB", "PROG1"), ("AwssbC", "PROG2")] {
        let created = bench.post("CreateGiftCard", &with(id, &format!(r#""programId":"{program}""#))).await;
        assert_eq!(created.status, Some(200), "{created:?}");
    }
    for wrong in [r#""program_ids":[]"#, r#""product_types":["book PV"]"#, r#""program_ids":[7]"#] {
        let (status, _why) = bench.ctl("PUT", "/terms", &format!(r#"{{"partner_id":"Awssb",{wrong}}}"#)).await;
        assert_eq!(status, 400, "{wrong}");
    }
}
