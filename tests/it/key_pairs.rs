//! Amazon's key pair is exchanged while the service runs: by replacing the files that it lies in, as a Secret does.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use noshi::sandbox::{Fault, FaultRule, Operation};
use tempfile::TempDir;

use crate::support::{
    ACCESS_KEY_ID, App, Backend, NEXT_ACCESS_KEY_ID, NEXT_SECRET_ACCESS_KEY, SECRET_ACCESS_KEY, Shape,
    books::books_match, wait::until,
};

const MADE: &str = "noshi_credential_created_timestamp_seconds{account=\"main\",slot=\"primary\"}";
/// Longer than the service needs to read the files three times.
const SOME_READS: Duration = Duration::from_secs(7);

/// The files of a Secret as a kubelet keeps them: links into a folder that is exchanged as a whole.
struct Secret(TempDir);

impl Secret {
    fn new(id: &str, secret: &str) -> Self {
        let this = Self(TempDir::new().unwrap());
        this.replace(id, secret);
        for name in ["access_key_id", "secret_access_key"] {
            symlink(Path::new("..data").join(name), this.0.path().join(name)).unwrap();
        }
        this
    }

    fn replace(&self, id: &str, secret: &str) {
        let (folder, next) = (format!("..{id}"), self.0.path().join("..next"));
        fs::create_dir(self.0.path().join(&folder)).unwrap();
        fs::write(self.0.path().join(&folder).join("access_key_id"), id).unwrap();
        fs::write(self.0.path().join(&folder).join("secret_access_key"), format!("{secret}\n")).unwrap();
        symlink(folder, &next).unwrap();
        fs::rename(next, self.0.path().join("..data")).unwrap();
    }

    fn shape(&self) -> Shape {
        let file = |name: &str| self.0.path().join(name).display().to_string();
        Shape::default()
            .with("NOSHI__ACCOUNTS__MAIN__ACCESS_KEY_ID_FILE", file("access_key_id"))
            .with("NOSHI__ACCOUNTS__MAIN__SECRET_ACCESS_KEY_FILE", file("secret_access_key"))
            .with("NOSHI__ACCOUNTS__MAIN__ACCESS_KEY_CREATED", "2026-01-31")
    }
}

async fn made(app: &App) -> String {
    let page = app.metrics().await;
    page.lines().find_map(|line| line.strip_prefix(MADE)).unwrap().trim().to_owned()
}

/// Waits until the service signs with another pair.
async fn exchanged(app: &App, before: &str) {
    until("the pair is exchanged", async || made(app).await != before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_that_is_exchanged_under_load_fails_no_request_and_leaves_nothing_behind() {
    let secret = Secret::new(ACCESS_KEY_ID, SECRET_ACCESS_KEY);
    let app = App::shaped(Backend::Sqlite, secret.shape()).await;
    let lost = FaultRule {
        operation: Some(Operation::CreateGiftCard),
        creation_request_id: Some(app.amazon_id("under-way")),
        ..FaultRule::always(Fault::DropAfterWork)
    };
    app.control.script(lost).unwrap();
    let under_way = app.issue("under-way", "3.00").await;
    under_way.is_accepted();
    let (done, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    let caller = || async {
        while !done.load(Ordering::Acquire) {
            let key = format!("load-{}", count.fetch_add(1, Ordering::AcqRel));
            let answer = app.issue(&key, "1.00").await;
            assert_eq!(answer.status, 201, "{key}: {}", answer.text);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let exchange = async {
        let before = made(&app).await;
        secret.replace(NEXT_ACCESS_KEY_ID, NEXT_SECRET_ACCESS_KEY);
        exchanged(&app, &before).await;
        // Each call that is under way was signed with one of them: both are good for a moment.
        tokio::time::sleep(Duration::from_millis(500)).await;
        app.control.set_key_active(ACCESS_KEY_ID, false).unwrap();
        let so_far = count.load(Ordering::Acquire);
        until("twenty more are issued", async || count.load(Ordering::Acquire) >= so_far + 20).await;
        done.store(true, Ordering::Release);
    };
    tokio::join!(exchange, join_all((0..3).map(|_| caller())));
    assert!(app.received("").iter().all(|received| received.signature_accepted), "Amazon refused a signature");
    app.control.clear_faults();
    app.until(under_way.id(), "issued").await;
    assert_eq!(app.live_cards().len(), count.load(Ordering::Acquire) + 1);
    books_match(&app).await;
    app.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_pair_is_waited_for_and_one_that_cannot_be_read_leaves_the_old_one_in_use() {
    let secret = Secret::new(ACCESS_KEY_ID, SECRET_ACCESS_KEY);
    let app = App::shaped(Backend::Sqlite, secret.shape()).await;
    let before = made(&app).await;
    let file = |name: &str| secret.0.path().join(name);
    for (at, content) in ["", "two words", "ASIATEMPORARY"].into_iter().enumerate() {
        fs::write(file("access_key_id"), content).unwrap();
        tokio::time::sleep(SOME_READS / 2).await;
        assert_eq!(app.issue(&format!("bad-{at}"), "1.00").await.status, 201, "{content:?}");
    }
    fs::remove_file(file("access_key_id")).unwrap();
    tokio::time::sleep(SOME_READS / 2).await;
    assert_eq!(app.issue("none", "1.00").await.status, 201);
    // By hand, one after the other.
    fs::write(file("access_key_id"), NEXT_ACCESS_KEY_ID).unwrap();
    tokio::time::sleep(SOME_READS).await;
    assert_eq!(app.issue("half", "1.00").await.status, 201);
    assert_eq!(made(&app).await, before);
    fs::write(file("secret_access_key"), NEXT_SECRET_ACCESS_KEY).unwrap();
    exchanged(&app, &before).await;
    app.control.set_key_active(ACCESS_KEY_ID, false).unwrap();
    assert_eq!(app.issue("whole", "1.00").await.status, 201);
    app.end().await;
}
