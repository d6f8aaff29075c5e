//! The activity report: what is listed, in which pages, for which period, and what is refused.

use noshi::sandbox::{Activity, ActivityType};
use serde_json::{Value, json};

use super::{
    bench::{Bench, PARTNER},
    signer::Seen,
};

fn question(page_index: i64, page_size: i64, no_ops: bool) -> Value {
    json!({
        "partnerId": PARTNER, "requestId": "any-id", "utcStartDate": "2000-01-01T00:00:00Z",
        "utcEndDate": "2100-01-01T00:00:00Z", "pageIndex": page_index, "pageSize": page_size, "showNoOps": no_ops
    })
}

async fn ask(bench: &Bench, question: &Value) -> Seen {
    bench.post("GetGiftCardActivityPage", &question.to_string()).await
}

fn ids(page: &Value) -> Vec<&str> {
    let list = page["cardActivityList"].as_array().unwrap();
    list.iter().map(|record| record["requestId"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn every_create_and_cancel_is_listed_as_recorded() {
    let bench = Bench::start().await;
    bench.create("AwssbA", "25.50").await;
    bench.create("AwssbA", "30.00").await;
    bench.cancel("AwssbA").await;
    bench.cancel("AwssbA").await;
    bench.create("AwssbTooMuch", "999999.00").await;
    let page = ask(&bench, &question(0, 1000, true)).await.json();
    assert_eq!(
        (&page["status"], &page["requestId"], &page["pageIndex"]),
        (&json!("SUCCESS"), &json!("any-id"), &json!(0))
    );
    assert_eq!(page["totalNumberOfTransactionsInRequestedTimeFrame"], 5);
    let list = page["cardActivityList"].as_array().unwrap();
    let told: Vec<_> = list
        .iter()
        .map(|r| (&r["activityType"], &r["activityStatus"], &r["isRealOp"], &r["cardValue"]["amount"]))
        .collect();
    let (creation, cancel, good) = (json!("GCCreation"), json!("GCCancellation"), json!("Success"));
    let (real, not) = (json!("true"), json!("false"));
    assert_eq!(told[0], (&creation, &good, &real, &json!(25.5)));
    assert_eq!(told[1], (&creation, &good, &not, &json!(30.0)), "a replay shows what it asked for");
    assert_eq!(told[2], (&cancel, &good, &real, &Value::Null));
    assert_eq!(told[3], (&cancel, &good, &not, &Value::Null));
    assert_eq!(told[4], (&creation, &json!("Failed"), &not, &json!(999_999.0)));
    assert_eq!((&list[0]["gcId"], &list[4]["gcId"]), (&list[1]["gcId"], &Value::Null));
    assert_eq!(list[4]["failureCode"], "MaxAmountExceeded");
    let time = list[0]["activityTime"].as_str().unwrap();
    assert!(noshi::provider::incentives::activity::time(time).is_some() && time.contains(" UTC "), "{time}");
    assert_eq!(ids(&ask(&bench, &question(0, 1000, false)).await.json()), ["AwssbA", "AwssbA"], "real operations only");
}

#[tokio::test]
async fn pages_are_counted_by_page_or_by_record() {
    let bench = Bench::start().await;
    for id in ["AwssbA", "AwssbB", "AwssbC", "AwssbD", "AwssbE"] {
        bench.create(id, "1.00").await;
    }
    assert_eq!(ids(&ask(&bench, &question(1, 2, true)).await.json()), ["AwssbC", "AwssbD"]);
    assert_eq!(ids(&ask(&bench, &question(2, 2, true)).await.json()), ["AwssbE"]);
    assert_eq!(ids(&ask(&bench, &question(3, 2, true)).await.json()), [""; 0]);
    bench.control.page_activity_by_record(true);
    assert_eq!(ids(&ask(&bench, &question(1, 2, true)).await.json()), ["AwssbB", "AwssbC"]);
}

#[tokio::test]
async fn a_question_that_makes_no_sense_and_a_report_that_is_off_are_refused_by_their_words() {
    let bench = Bench::start().await;
    for (member, value, error_type) in [
        ("utcStartDate", json!("yesterday"), "InvalidDateFormat"),
        ("utcStartDate", json!(null), "InvalidStartDate"),
        ("utcEndDate", json!(null), "InvalidEndDate"),
        ("utcEndDate", json!("1999-01-01T00:00:00Z"), "StartDateAfterEndDate"),
        ("pageIndex", json!(-1), "InvalidPageIndex"),
        ("pageSize", json!(0), "InvalidPageSize"),
        ("pageSize", json!(1001), "MaxPageSizeExceeded"),
    ] {
        let mut question = question(0, 1000, true);
        question[member] = value;
        let refused = ask(&bench, &question).await;
        assert_eq!((refused.status, &refused.json()["errorType"]), (Some(400), &json!(error_type)), "{member}");
    }
    let (status, _) = bench.ctl("PUT", "/activity/enabled", r#"{"enabled":false}"#).await;
    assert_eq!(status, 200);
    let refused = ask(&bench, &question(0, 1000, true)).await.json();
    assert_eq!(refused["errorType"], "APIGetGiftCardActivityPageIsDisabled");
}

#[tokio::test]
async fn the_report_can_be_told_otherwise_and_outlives_a_restart() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("book.jsonl");
    let bench = Bench::with_file(&path).await;
    bench.create("AwssbA", "5.00").await;
    bench.cancel("AwssbA").await;
    bench.sandbox.stop().await;
    let bench = Bench::with_file(&path).await;
    let told: Vec<_> = bench.control.activity().into_iter().map(|record| record.activity_type).collect();
    assert_eq!(told, [ActivityType::GCCreation, ActivityType::GCCancellation]);

    let more = Activity { request_id: "AwssbElsewhere".to_owned(), ..bench.control.activity()[0].clone() };
    let body = serde_json::to_string(&vec![more]).unwrap();
    let (status, all) = bench.ctl("POST", "/activity", &body).await;
    assert_eq!((status, all.as_array().unwrap().len()), (200, 3));
    bench.control.edit_activity(|records| records.retain(|record| record.request_id != "AwssbA"));
    assert_eq!(ids(&ask(&bench, &question(0, 1000, true)).await.json()), ["AwssbElsewhere"]);
    assert_eq!(bench.control.book().len(), 1, "cards stay as they are");
}
