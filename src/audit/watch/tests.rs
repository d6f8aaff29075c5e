//! What a process notices of the audit between two verifications.

use secrecy::SecretString;

use super::*;
use crate::{
    store::{self, StoreOptions},
    telemetry::metrics::Registry,
};

/// An audit with these records, in a database of its own. A folder has one of each name: what is left of an earlier file
/// may still be closing, and takes the log of the next one with it.
async fn audit(folder: &tempfile::TempDir, subjects: &[&str]) -> Store {
    let path = folder.path().join(format!("{}.db", subjects.join("-")));
    let url = SecretString::from(format!("sqlite://{}", path.display()));
    let store = Store::open(&StoreOptions { create: true, ..StoreOptions::of_command(url, 2) }).await.unwrap();
    store::migrate::migrate(&store).await.unwrap();
    for subject in subjects {
        record(&store, subject).await;
    }
    store
}

async fn record(store: &Store, subject: &str) {
    let mut tx = store.begin().await.unwrap();
    let deed = Deed { action: AuditAction::KeyCreated, subject, details: json!({}) };
    scribe().write(&mut tx, deed, DateTime::UNIX_EPOCH).await.unwrap();
    tx.commit(()).await.unwrap().into_inner();
}

/// No key: whoever can write the database can hash its records anew.
fn scribe() -> Scribe {
    Scribe::new(crate::sealing::AuditKeys::default(), AuditActor::service())
}

/// The watch of an audit that has two records and was found whole.
async fn watching(folder: &tempfile::TempDir) -> (AuditWatch, WatchDone) {
    let watch = AuditWatch {
        store: audit(folder, &["a", "b"]).await,
        ambient: Ambient::movable(1),
        scribe: scribe(),
        metrics: Arc::new(Metrics::new(&Registry::new().unwrap()).unwrap()),
        hour: 1,
    };
    let mut done = WatchDone::default();
    watch.look(&mut done).await.unwrap();
    assert!(!watch.metrics.is_broken());
    (watch, done)
}

#[tokio::test]
async fn records_that_were_changed_and_hashed_anew_since_the_last_verification_are_found() {
    for changed in [vec!["a", "x"], vec!["x", "b"], vec!["a"], vec!["a", "x", "c"]] {
        let folder = tempfile::tempdir().unwrap();
        let (mut watch, mut done) = watching(&folder).await;
        watch.store = audit(&folder, &changed).await;
        watch.ambient.advance(TimeDelta::days(1));
        watch.look(&mut done).await.unwrap();
        assert!(watch.metrics.is_broken(), "{changed:?}");
    }
}

#[tokio::test]
async fn a_record_that_was_printed_as_the_head_and_changed_after_it_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (mut watch, mut done) = watching(&folder).await;
    record(&watch.store, "c").await;
    watch.ambient.advance(TimeDelta::hours(2));
    watch.look(&mut done).await.unwrap();
    watch.store = audit(&folder, &["a", "b", "x", "d"]).await;
    watch.ambient.advance(TimeDelta::days(1));
    watch.look(&mut done).await.unwrap();
    assert!(watch.metrics.is_broken());
}

#[tokio::test]
async fn records_that_are_added_are_no_fault() {
    let folder = tempfile::tempdir().unwrap();
    let (watch, mut done) = watching(&folder).await;
    for subject in ["c", "d", "e"] {
        record(&watch.store, subject).await;
        watch.ambient.advance(TimeDelta::days(1));
        watch.look(&mut done).await.unwrap();
        assert!(!watch.metrics.is_broken());
    }
}

/// Looks an hour later, until and with the first look of this count.
async fn hours(watch: &AuditWatch, done: &mut WatchDone, count: usize) {
    for _ in 0..count {
        watch.ambient.advance(TimeDelta::hours(1));
        watch.look(done).await.unwrap();
    }
}

#[tokio::test]
async fn the_alarm_ends_within_an_hour_once_the_audit_is_put_right_and_not_before() {
    for changed in [vec!["a", "b", "x", "d"], vec!["a", "x", "c"], vec!["a"], vec!["a", "y"]] {
        let folder = tempfile::tempdir().unwrap();
        let (mut watch, mut done) = watching(&folder).await;
        let right = watch.store.clone();
        record(&right, "c").await;
        hours(&watch, &mut done, 1).await;
        // Its head is seen as well before anybody verifies.
        watch.store = audit(&folder, &changed).await;
        hours(&watch, &mut done, 24).await;
        assert!(watch.metrics.is_broken(), "{changed:?}");
        record(&watch.store, "more").await;
        hours(&watch, &mut done, 30).await;
        assert!(watch.metrics.is_broken(), "{changed:?}: nobody put it right");
        let wrong = std::mem::replace(&mut watch.store, right);
        for subject in ["e", "f"] {
            record(&watch.store, subject).await;
        }
        hours(&watch, &mut done, 1).await;
        assert!(!watch.metrics.is_broken(), "{changed:?}: it was put right");
        // It is watched as before.
        watch.store = wrong;
        hours(&watch, &mut done, 24).await;
        assert!(watch.metrics.is_broken(), "{changed:?}: changed once more");
    }
}
