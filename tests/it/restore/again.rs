//! A client that is made again is the client that it was: in a database that was lost, and in one of the other kind. What a
//! key bought is then found at Amazon, and never bought a second time.

use super::run as noshi;
use crate::support::{App, Backend, Database, on_each_backend};

const OTHER: &str = "cli_0190000000007000800000000000abcd";

/// A key of this client, made as an operator makes one.
fn make(app: &App, arguments: &[&str]) -> String {
    let (code, out, error) = noshi(app, &[&["keys", "create", "--new-client", "--client"], arguments].concat());
    assert_eq!(code, Some(0), "{error}");
    out.trim().to_owned()
}

/// Why no key was made.
fn refused(app: &App, arguments: &[&str]) -> String {
    let (code, out, error) = noshi(app, &[&["keys", "create", "--client"], arguments].concat());
    assert_eq!((code, out.as_str()), (Some(1), ""), "{error}");
    error
}

/// The id of the only client, as `noshi keys list` shows it.
fn id_of_client(app: &App) -> String {
    let (_code, list, _error) = noshi(app, &["keys", "list"]);
    let word = list.split_whitespace().find(|word| word.starts_with("cli_"));
    word.unwrap_or_else(|| panic!("{list}")).to_owned()
}

/// The codes of these keys.
async fn codes(app: &App, keys: &[String]) -> Vec<String> {
    let mut codes = Vec::new();
    for key in keys {
        let answer = app.issue(key, "5.00").await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        codes.push(answer.code().to_owned());
    }
    codes
}

/// Goes on with an empty database, as after a loss or a move.
async fn move_to(app: &mut App, backend: Backend) {
    assert!(app.stop().await);
    let old = std::mem::replace(&mut app.database, Database::fresh(backend).await);
    app.restart_with("NOSHI__LOG__FORMAT", "json").await;
    old.remove().await;
}

on_each_backend! {
    async fn a_client_made_again_repeats_every_key_and_buys_no_card(backend: Backend) {
        let mut app = App::shaped(backend, Default::default()).await;
        let keys: Vec<String> = (0..12).map(|at| format!("order-{at}")).collect();
        app.key = make(&app, &["shop"]);
        let bought = codes(&app, &keys).await;
        let other = if backend == Backend::Sqlite { Backend::Postgres } else { Backend::Sqlite };
        // A person writes the name again, and not always as the first time.
        for (database, name) in [(backend, "shop"), (other, " Shop")] {
            move_to(&mut app, database).await;
            app.key = make(&app, &[name.trim_end()]);
            assert_eq!(codes(&app, &keys).await, bought, "{name}");
            assert_eq!(app.control.book().len(), keys.len(), "a key bought a second card");
        }
        app.end().await;
    }

    async fn a_client_of_the_release_before_is_carried_over_by_its_id(backend: Backend) {
        let mut app = App::shaped(backend, Default::default()).await;
        app.key = make(&app, &["partner", "--id", OTHER]);
        let bought = codes(&app, &["one".to_owned()]).await;
        for again in [&["partner"][..], &["partner", "--id", OTHER]] {
            make(&app, again);
        }
        let (_code, list, _error) = noshi(&app, &["keys", "list"]);
        assert_eq!(list.matches(OTHER).count(), 3, "whose row is there keeps its id: {list}");
        let derived = "cli_0000000000008000800000000000abcd";
        assert!(refused(&app, &["partner", "--id", derived]).contains(&format!("has the id {OTHER}")));
        assert!(refused(&app, &["another", "--id", OTHER]).contains("has the name \"partner\""));
        assert!(refused(&app, &["Partner"]).contains("there is a client \"partner\""));

        move_to(&mut app, backend).await;
        app.key = make(&app, &["partner", "--id", OTHER]);
        assert_eq!(id_of_client(&app), OTHER);
        assert_eq!(codes(&app, &["one".to_owned()]).await, bought);
        assert_eq!(app.control.book().len(), 1, "the key bought a second card");
        app.end().await;
    }
}
