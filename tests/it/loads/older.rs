//! The release before on the same database, as in a roll-out or on the way back: it knows no loads.

use noshi::sandbox::{Fault, FaultRule, Operation};

use super::{Backend, Counter, LOAD, on_each_backend};
use crate::{
    kill::start_build,
    process::Build,
    support::{Answer, wait},
};

/// Settings that the release before does not know.
const NEW: [&str; 3] =
    ["NOSHI__SEALING__KEYS", "NOSHI__ACCOUNTS__MAIN__KINDS", "NOSHI__ACCOUNTS__MAIN__LOGIN_CLIENT_ID"];

on_each_backend! {
    async fn the_release_before_leaves_a_load_alone_and_this_one_goes_on_with_it(backend: Backend) {
        let mut counter = Counter::open(backend).await;
        counter.strike(LOAD, Fault::DropAfterWork, 1_000);
        let lost = counter.load("one", counter.signed_in(0)).await;
        lost.is_accepted();
        assert!(counter.app.stop().await);
        let version = "SELECT version FROM rewards WHERE kind = 'balance_load'";
        let (at, asked) = (counter.app.database.number(version).await, counter.operations().len());

        let mut environment = counter.app.environment().to_vec();
        environment.retain(|(name, _)| !NEW.contains(&name.as_str()));
        let served = start_build(Build::Previous, environment).await.unwrap();
        // Its recovery works: it brings a code of its own to its end, after the load was due.
        let rule = FaultRule { operation: Some(Operation::CreateGiftCard), ..FaultRule::once(Fault::DropAfterWork) };
        counter.app.control.script(rule).unwrap();
        let code = counter.app.try_issue_at(&served.base, "code", "5.00").await.unwrap();
        let path = format!("{}/v1/rewards/{}", served.base, code.id());
        wait::until("the code is issued", async || {
            let read = Answer::of(counter.app.http.get(&path).bearer_auth(&counter.app.key)).await;
            read.json["status"] == "issued"
        })
        .await;
        assert!(tokio::task::spawn_blocking(move || served.terminate()).await.unwrap().success());
        assert_eq!((counter.app.database.number(version).await, counter.operations().len()), (at, asked));

        counter.app.control.clear_faults();
        counter.app.start().await;
        counter.app.advance(60);
        counter.app.until(lost.id(), "issued").await;
        assert_eq!(counter.app.cards_of("one").len(), 1);
        counter.end_with_books().await;
    }
}
