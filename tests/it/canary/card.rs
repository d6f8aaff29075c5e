//! Of a card's own id at Amazon nothing is kept but a keyed fingerprint, and another card under the same request id is noticed by
//! it.

use noshi::sandbox::Fault;
use serde_json::json;

use super::{
    Scanner,
    capture::log,
    target::{keys, leaks},
};
use crate::support::{App, Backend, Shape, books::books_match, on_each_backend};

on_each_backend! {
    async fn another_card_under_the_same_id_needs_a_person_and_its_code_is_handed_to_nobody(backend: Backend) {
        log().start();
        let folder = tempfile::tempdir().unwrap();
        let mut app = App::shaped(backend, Shape::default().with("NOSHI__SEALING__KEYS", keys(&folder, &["2026-05"]))).await;
        let bought = app.issue("one", "5.00").await;
        let card = app.cards_of("one")[0].gc_id.clone();
        let fingerprints = "SELECT COUNT(*) FROM rewards WHERE card_fingerprint IS NOT NULL";
        assert_eq!((bought.status, app.database.number(fingerprints).await), (201, 1));
        assert_eq!(app.issue("one", "5.00").await.code(), bought.code(), "the same card");
        // A newer key seals; the old one is still listed.
        app.restart_with("NOSHI__SEALING__KEYS", &keys_with(&folder)).await;
        assert_eq!(app.issue("one", "5.00").await.code(), bought.code(), "the same card by the older key");

        app.strike("one", Fault::WrongCardId, 1);
        let other = app.issue("one", "5.00").await;
        assert!(!other.text.contains(bought.code()), "{}", other.text);
        let now = app.read(bought.id()).await;
        assert_eq!((&now["status"], &now["attention"]), (&json!("needs_attention"), &json!("mismatch")));
        assert_eq!(leaks(&app, &Scanner::new(&[card])).await, [""; 0]);
        books_match(&app).await;
        app.end().await;
    }

    async fn without_a_sealing_key_no_card_is_compared(backend: Backend) {
        let app = App::spawn(backend).await;
        assert_eq!(app.issue("one", "5.00").await.status, 201);
        app.strike("one", Fault::WrongCardId, 1);
        assert_eq!(app.issue("one", "5.00").await.json["status"], "issued");
        assert_eq!(app.database.number("SELECT COUNT(*) FROM rewards WHERE card_fingerprint IS NOT NULL").await, 0);
        app.end().await;
    }
}

/// A new key before the one that is there.
fn keys_with(folder: &tempfile::TempDir) -> String {
    let old = format!("{{ id = \"2026-05\", file = \"{}\" }}", folder.path().join("2026-05").display());
    keys(folder, &["2026-11"]).replace("]", &format!(", {old}]"))
}
