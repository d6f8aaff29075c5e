//! Lists, pages and sums have connections of their own: whoever asks for what takes long holds up no purchase, and no look-up of a key.

use std::time::Duration;

use futures_util::future::{join, join_all};
use noshi::store::{Store, StoreError};
use sqlx::Executor as _;

use crate::support::{App, Backend, Shape, on_each_backend};

on_each_backend! {
    async fn questions_leave_most_connections_to_keys_and_money(backend: Backend) {
        let app = App::shaped(backend, Shape::default().with("NOSHI__STORE__CONNECTIONS_MAX", 8)).await;
        let store: Store = app.open_store().await;
        let asked = [store.question().await.unwrap(), store.question().await.unwrap()];
        let one_more = store.question();
        let others = join_all((0..6).map(|_| store.snapshot()));
        let (one_more, others) = join(one_more, others).await;
        assert!(matches!(one_more, Err(StoreError::Busy)));
        assert!(others.iter().all(Result::is_ok), "a connection was not there");
        drop(asked);
        drop(others);
        store.question().await.unwrap();
        store.close().await;
        app.end().await;
    }
}

/// On PostgreSQL, where a lock can make any question last: 32 callers of a list that does not end, and others who buy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_for_a_list_that_does_not_end_holds_up_no_purchase() {
    let app = App::spawn(Backend::Postgres).await;
    assert_eq!(app.get("/v1/reconciliations").await.status, 200);
    let mut blocker = app.database.postgres().await;
    blocker.execute("BEGIN; LOCK TABLE reconciliations IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let lists = join_all((0..32).map(|_| app.get("/v1/reconciliations")));
    let buys = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let mut heard = Vec::new();
        for at in 0..20 {
            heard.push(app.get("/v1/ping").await.status);
            heard.push(app.issue(&format!("beside-{at}"), "1.00").await.status);
        }
        heard
    };
    let (lists, heard) = join(lists, buys).await;
    assert_eq!(heard, [200, 201].repeat(20), "a list that does not end held up others");
    // Those with a place are ended by the database's own limit; the others are refused early.
    let refused: Vec<u16> = lists.iter().map(|list| list.status).collect();
    assert!(refused.iter().all(|status| matches!(status, 429 | 503)) && refused.contains(&429), "{refused:?}");
    blocker.execute("ROLLBACK").await.unwrap();
    assert_eq!(app.get("/v1/reconciliations").await.status, 200);
    app.end().await;
}
