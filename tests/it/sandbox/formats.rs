//! Amazon's second format, and the ways to name an operation: XML in and out, refusals too.

use noshi::sandbox::{Fault, FaultRule};

use super::bench::{Bench, PARTNER, create_body};
use super::signer::{Call, Seen};

const JSON: &str = "application/json";
/// What Amazon's sample code sends with XML, in both headers.
const XML: &str = "charset=UTF-8";

fn xml_create(request_id: &str, amount: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<CreateGiftCardRequest><creationRequestId>{request_id}\
         </creationRequestId><partnerId>{PARTNER}</partnerId><value><currencyCode>USD</currencyCode><amount>{amount}\
         </amount></value></CreateGiftCardRequest>\n"
    )
}

fn xml_of(operation: &str, members: &str) -> String {
    format!("<{operation}Request>{members}<partnerId>{PARTNER}</partnerId></{operation}Request>")
}

/// A call with these two headers; an empty one is not sent.
fn call(bench: &Bench, operation: &str, body: &str, accept: &str, content_type: &str) -> Call {
    let mut call = bench.call(operation, body);
    call.headers.retain(|(name, ..)| name == "x-amz-target");
    let more = [("accept", accept), ("content-type", content_type)];
    let more = more.into_iter().filter(|(_name, value)| !value.is_empty());
    call.headers.extend(more.map(|(name, value)| (name.to_owned(), value.to_owned(), true)));
    call
}

async fn in_xml(bench: &Bench, operation: &str, body: &str) -> Seen {
    bench.send(&call(bench, operation, body, XML, XML)).await
}

#[tokio::test]
async fn each_operation_is_answered_in_xml_as_documented() {
    let bench = Bench::start().await;
    let created = in_xml(&bench, "CreateGiftCard", &xml_create("AwssbA", "25.50")).await;
    let card = bench.card("AwssbA").unwrap();
    let (code, id) = (&card.claim_code, &card.gc_id);
    let expected = format!(
        "<CreateGiftCardResponse>\n  <gcClaimCode>{code}</gcClaimCode>\n  <cardInfo>\n    <value>\n      \
         <currencyCode>USD</currencyCode>\n      <amount>25.5</amount>\n    </value>\n    <cardStatus>Fulfilled\
         </cardStatus>\n  </cardInfo>\n  <gcId>{id}</gcId>\n  <creationRequestId>AwssbA</creationRequestId>\n  \
         <status>SUCCESS</status>\n</CreateGiftCardResponse>\n"
    );
    assert_eq!((created.status, created.text()), (Some(200), expected.as_str()));
    assert_eq!(created.header("content-type"), Some("application/xml"));
    let again = bench.create("AwssbA", "25.50").await.json();
    assert_eq!(again["gcClaimCode"], code.as_str(), "one card, whatever the format");

    let funds = in_xml(&bench, "GetAvailableFunds", &xml_of("GetAvailableFunds", "")).await;
    let beginning = "<GetAvailableFunds>\n  <availableFunds>\n    <currencyCode>USD</currencyCode>\n    \
                     <amount>9974.5</amount>\n  </availableFunds>\n  <status>SUCCESS</status>\n  <timestamp>20";
    assert!(funds.text().starts_with(beginning), "{funds:?}");

    let members = "<creationRequestId>AwssbA</creationRequestId><gcId/>";
    let canceled = in_xml(&bench, "CancelGiftCard", &xml_of("CancelGiftCard", members)).await;
    let expected = format!(
        "<CancelGiftCardResponse>\n  <gcId>{id}</gcId>\n  <creationRequestId>AwssbA</creationRequestId>\n  \
         <status>SUCCESS</status>\n</CancelGiftCardResponse>\n"
    );
    assert_eq!(canceled.text(), expected);

    let members = "<requestId>any</requestId> <utcStartDate>2000-01-01T00:00:00</utcStartDate>\
                   <utcEndDate>2100-01-01T00:00:00</utcEndDate><pageIndex>0</pageIndex><pageSize>2</pageSize>\
                   <showNoOps>true</showNoOps>";
    let page = in_xml(&bench, "GetGiftCardActivityPage", &xml_of("GetGiftCardActivityPage", members)).await;
    assert_eq!(page.text().matches("<activityType>GCCreation</activityType>").count(), 2, "{page:?}");
    assert!(page.text().contains("<totalNumberOfTransactionsInRequestedTimeFrame>3<"), "{page:?}");
}

#[tokio::test]
async fn a_refusal_in_xml_has_its_type_and_message_below_the_root() {
    let bench = Bench::start().await;
    let refused = in_xml(&bench, "CreateGiftCard", &xml_create("AwssbA", "2000.01")).await;
    let end = "\n  <errorCode>F200</errorCode>\n  <errorType>MaxAmountExceeded</errorType>\n  <Message>Max Amount \
               Exceeded</Message>\n</CreateGiftCardResponse>\n";
    assert!(refused.status == Some(400) && refused.text().ends_with(end), "{refused:?}");
    assert!(refused.text().contains("<status>FAILURE</status>") && !refused.text().contains("__type"), "{refused:?}");

    bench.control.script(FaultRule::once(Fault::Throttle)).unwrap();
    let throttled = in_xml(&bench, "CreateGiftCard", &xml_create("AwssbA", "1")).await;
    let expected = "<ThrottlingException>\n  <Message>Rate exceeded</Message>\n</ThrottlingException>\n";
    assert_eq!((throttled.status, throttled.text()), (Some(429), expected));

    let wrong =
        Call { secret: "wrong".to_owned(), ..call(&bench, "CreateGiftCard", &xml_create("AwssbA", "1"), XML, XML) };
    let rejected = bench.send(&wrong).await;
    assert!(
        rejected.text().starts_with("<InvalidSignatureException>\n  <Message>The request signature"),
        "{rejected:?}"
    );

    for body in ["<CreateGiftCardRequest>", "<!DOCTYPE a><CreateGiftCardRequest/>", "<CreateGiftCardRequest/>x"] {
        let unread = in_xml(&bench, "CreateGiftCard", body).await;
        let expected = "<SerializationException>\n  <Message>The request body could not be parsed as XML</Message>\n\
                        </SerializationException>\n";
        assert_eq!((unread.status, unread.text()), (Some(400), expected), "{body}");
    }
    let empty = in_xml(&bench, "CreateGiftCard", "<CreateGiftCardRequest/>").await;
    assert!(empty.text().contains("<errorType>InvalidPartnerIdInput<"), "{empty:?}");
    let no_number = in_xml(&bench, "CreateGiftCard", &xml_create("AwssbA", "much")).await;
    assert!(no_number.status == Some(400) && bench.control.book().is_empty(), "{no_number:?}");
}

#[tokio::test]
async fn accept_chooses_the_format_and_otherwise_the_request_does() {
    let bench = Bench::start().await;
    let json = create_body("AwssbA", "1", "USD");
    let xml = xml_create("AwssbA", "1");
    for (body, accept, content_type, expected) in [
        (&xml, JSON, "application/xml", JSON),
        (&xml, "", "application/xml", "application/xml"),
        (&xml, "*/*", "application/x-www-form-urlencoded; charset=UTF-8", "application/xml"),
        (&xml, "", "", "application/xml"),
        (&json, "application/xml", JSON, "application/xml"),
        (&json, "", "", JSON),
        (&json, "*/*", "application/x-amz-json-1.1", JSON),
    ] {
        let seen = bench.send(&call(&bench, "CreateGiftCard", body, accept, content_type)).await;
        assert_eq!((seen.status, seen.header("content-type")), (Some(200), Some(expected)), "{accept} {content_type}");
        assert_eq!(seen.body.starts_with(b"<CreateGiftCardResponse>"), expected != JSON);
    }
    assert_eq!(bench.control.book().len(), 1);
}

/// As encoders of several languages write it. A client that reads XML alone gets XML, whatever was wrong.
#[tokio::test]
async fn a_mark_of_the_encoding_is_no_part_of_the_body() {
    let bench = Bench::start().await;
    let marked = format!("\u{feff}{}", xml_create("AwssbA", "1"));
    for (body, accept, starts) in [
        (marked.clone(), XML, "<CreateGiftCardResponse>"),
        (marked, "", "<CreateGiftCardResponse>"),
        (format!("\u{feff}{}", create_body("AwssbA", "1", "USD")), "", "{\"cardInfo\""),
        ("\u{feff}<CreateGiftCardRequest>".to_owned(), "", "<SerializationException>"),
    ] {
        let seen = bench.send(&call(&bench, "CreateGiftCard", &body, accept, "")).await;
        assert!(seen.text().starts_with(starts), "{body}: {seen:?}");
    }
    assert_eq!(bench.control.book().len(), 1);
}

#[tokio::test]
async fn a_document_of_another_operation_is_refused_by_both_names() {
    let bench = Bench::start().await;
    let seen = in_xml(&bench, "CancelGiftCard", &xml_create("AwssbA", "1")).await;
    let words = "The root of the request is CreateGiftCardRequest, where CancelGiftCardRequest was expected";
    assert!(seen.status == Some(400) && seen.text().contains(words), "{seen:?}");
}

#[tokio::test]
async fn an_operation_is_named_by_path_or_by_target_and_not_by_two() {
    let bench = Bench::start().await;
    let base = bench.call("CreateGiftCard", &create_body("AwssbA", "1", "USD"));
    for (path, signed_path) in [
        ("/", "/"),
        ("//", "/"),
        ("/CreateGiftCard/", "/CreateGiftCard/"),
        ("/./CreateGiftCard", "/CreateGiftCard"),
        ("/v2/../CreateGiftCard", "/CreateGiftCard"),
    ] {
        let call = Call { path: path.to_owned(), signed_path: signed_path.to_owned(), ..base.clone() };
        let seen = bench.send(&call).await;
        assert_eq!(seen.status, Some(200), "{path} {seen:?}");
        assert_eq!(bench.last().operation, "CreateGiftCard");
    }
    assert_eq!(bench.control.book().len(), 1);

    let by_two = Call { path: "/CancelGiftCard".to_owned(), signed_path: "/CancelGiftCard".to_owned(), ..base.clone() };
    let seen = bench.send(&by_two).await;
    assert_eq!((seen.status, seen.header("x-amzn-errortype")), (Some(400), Some("InvalidActionException")));
    assert!(seen.text().contains("x-amz-target names CreateGiftCard, but the path names CancelGiftCard"), "{seen:?}");
    let nowhere = Call { path: "/".to_owned(), signed_path: "/".to_owned(), headers: Vec::new(), ..base };
    let seen = bench.send(&nowhere).await;
    assert_eq!((seen.status, seen.header("x-amzn-errortype")), (Some(404), Some("UnknownOperationException")));
}

#[tokio::test]
async fn faults_strike_xml_as_they_strike_json() {
    let bench = Bench::start().await;
    for (fault, content_type, words) in [
        (Fault::OversizedBody, "application/xml", "x</padding>\n  <gcClaimCode>"),
        (Fault::WrongContentType, "text/html", "<amount>25.0</amount>"),
        (Fault::WrongAmount, "application/xml", "<amount>26.0</amount>"),
        (Fault::NullClaimCode, "application/xml", "<CreateGiftCardResponse>\n  <cardInfo>"),
    ] {
        bench.control.script(FaultRule::once(fault.clone())).unwrap();
        let seen = in_xml(&bench, "CreateGiftCard", &xml_create("AwssbA", "25.00")).await;
        assert_eq!(seen.header("content-type"), Some(content_type), "{fault:?}");
        assert!(seen.text().starts_with("<CreateGiftCardResponse>") && seen.text().contains(words), "{fault:?}");
    }
}

/// Amazon's own sample code of 2013 does.
#[tokio::test]
async fn the_report_is_asked_for_as_amazons_sample_code_asks() {
    let bench = Bench::start().await;
    bench.create("AwssbA", "1.00").await;
    let question = format!(
        r#"{{"requestId": "AwssbB", "partnerId": "{PARTNER}", "utcStartDate": "2013-06-01T23:10:10", "utcEndDate": "2113-06-01T23:15:10", "pageIndex": 0, "pageSize": 1, "showNoOps": "true"}}"#
    );
    let page = bench.post("GetGiftCardActivityPage", &question).await;
    assert_eq!((page.status, &page.json()["cardActivityList"][0]["requestId"]), (Some(200), &"AwssbA".into()));
}
