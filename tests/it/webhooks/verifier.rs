//! The official libraries of Standard Webhooks accept what we sign, and refuse what they must (`tests/verifier`).

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Lines, Write},
    process::{Child, ChildStdout, Command, Stdio},
};

use chrono::{DateTime, TimeDelta, Utc};
use noshi::{
    ambient::Ambient,
    webhooks::{EndpointSecret, signature},
};
use serde::Deserialize;
use serde_json::{Value, json};

/// `required`: both libraries must be there. Else what cannot be fetched is left out, and that is said.
const REQUIRED_VARIABLE: &str = "NOSHI_TEST_VERIFIER";
const LIBRARIES: [&str; 2] = ["PyPI", "npm"];

const ACCEPTED: &str = "accepted";
const NO_SIGNATURE: &str = "No matching signature found";
const TOO_OLD: &str = "Message timestamp too old";
const TOO_NEW: &str = "Message timestamp too new";

const BODY: &str =
    r#"{"type":"reward.issued","timestamp":"2026-11-28T09:00:00Z","data":{"id":"rwd_1","note":"ギフト ü"}}"#;

/// A message as a receiver holds it, with the secret that it has, and what it must say.
struct Received<'a> {
    name: &'static str,
    expected: &'static str,
    secret: &'a EndpointSecret,
    id: &'static str,
    at: DateTime<Utc>,
    body: String,
    signature: String,
}

impl Received<'_> {
    fn json(&self) -> Value {
        let headers = json!({
            "webhook-id": self.id,
            "webhook-timestamp": self.at.timestamp().to_string(),
            "webhook-signature": self.signature,
        });
        json!({ "name": self.name, "secret": *self.secret.in_clear(), "body": self.body, "headers": headers })
    }
}

#[derive(Deserialize)]
struct Said {
    library: String,
    message: String,
    outcome: String,
}

/// The libraries, once they are there.
struct Verifiers {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// What could not be fetched, in the words of its package manager.
    left_out: Vec<String>,
}

impl Verifiers {
    fn fetch() -> Self {
        let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/verifier"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let left_out = lines.by_ref().map(Result::unwrap).take_while(|line| line != "ready").collect();
        Self { child, lines, left_out }
    }

    /// What each library says of each message, by both names.
    fn ask(mut self, messages: &[Received<'_>]) -> BTreeMap<(String, String), String> {
        let job = Value::from_iter(messages.iter().map(Received::json)).to_string();
        self.child.stdin.take().unwrap().write_all(job.as_bytes()).unwrap();
        let said = self.lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap());
        let said = said.map(|Said { library, message, outcome }| ((library, message), outcome)).collect();
        assert!(self.child.wait().unwrap().success());
        said
    }
}

#[expect(clippy::disallowed_methods, reason = "whoever runs the tests says by a variable what must be there")]
fn is_required() -> bool {
    std::env::var(REQUIRED_VARIABLE).is_ok_and(|value| value == "required")
}

#[test]
fn the_official_libraries_accept_what_we_sign_and_refuse_what_was_changed_or_is_old() {
    let verifiers = Verifiers::fetch();
    let left_out = verifiers.left_out.clone();
    let ambient = Ambient::system();
    let [old, new, other] = [(); 3].map(|()| EndpointSecret::draw(&ambient).unwrap());
    let shortest = EndpointSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let now = ambient.now();
    let message = |name, expected, secret, signers: &[&EndpointSecret]| {
        let signature = signature(signers, "msg_1", now, BODY.as_bytes());
        Received { name, expected, secret, id: "msg_1", at: now, body: BODY.to_owned(), signature }
    };
    let aged = |name, expected, age: TimeDelta| {
        let at = now - age;
        let signature = signature(&[&new], "msg_1", at, BODY.as_bytes());
        Received { at, signature, ..message(name, expected, &new, &[&new]) }
    };
    let messages = [
        message("as it is", ACCEPTED, &new, &[&new]),
        message("by the shortest secret", ACCEPTED, &shortest, &[&shortest]),
        message("by both, to the new secret", ACCEPTED, &new, &[&new, &old]),
        message("by both, to the old secret", ACCEPTED, &old, &[&new, &old]),
        message("by both, to another secret", NO_SIGNATURE, &other, &[&new, &old]),
        message("to another secret", NO_SIGNATURE, &other, &[&new]),
        Received { body: BODY.replace("rwd_1", "rwd_2"), ..message("with another body", NO_SIGNATURE, &new, &[&new]) },
        Received { body: format!("{BODY} "), ..message("with a longer body", NO_SIGNATURE, &new, &[&new]) },
        Received { id: "msg_2", ..message("under another id", NO_SIGNATURE, &new, &[&new]) },
        Received { at: now - TimeDelta::seconds(1), ..message("at another time", NO_SIGNATURE, &new, &[&new]) },
        aged("a minute old", ACCEPTED, TimeDelta::minutes(1)),
        aged("ten minutes old", TOO_OLD, TimeDelta::minutes(10)),
        aged("an hour early", TOO_NEW, TimeDelta::hours(-1)),
    ];
    let said = verifiers.ask(&messages);
    let mut asked = 0;
    for library in LIBRARIES {
        if !said.keys().any(|(who, _message)| who == library) {
            assert!(!left_out.is_empty() && !is_required(), "{library} was not asked: {left_out:?}");
            println!("skipped {library}'s library: {left_out:?}");
            continue;
        }
        for Received { name, expected, .. } in &messages {
            let outcome = said.get(&(library.to_owned(), (*name).to_owned()));
            assert_eq!(outcome.map(String::as_str), Some(*expected), "{library}: {name}");
            asked += 1;
        }
    }
    println!("{asked} messages were judged");
}
