//! What a panic says reaches no log (SEC-22). The hook is the process's own, so this is looked at from outside: the test
//! runs itself as a child that panics with a canary in its hands.

use std::process::Command;

use noshi::config::{LogFormat, LogSettings};

use super::scan::Scanner;

const CANARY: &str = "PN1C-CANARY-XQ7Z";
/// Set for the child alone.
const CHILD: &str = "NOSHI_TEST_PANICKING_CHILD";

#[test]
fn a_panic_with_a_code_in_its_text_tells_where_it_was_and_no_more() {
    for format in ["json", "human"] {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "canary::panics::the_child_that_panics", "--nocapture", "--test-threads=1"])
            .env(CHILD, format)
            .env("RUST_BACKTRACE", "1")
            .output()
            .unwrap();
        let said = [child.stdout, child.stderr].concat();
        let text = String::from_utf8_lossy(&said);
        assert_eq!(text.matches("a thread panicked").count(), 3, "{text}");
        assert!(text.contains("panics.rs"), "where it was is worth knowing: {text}");
        assert_eq!(Scanner::new(&[CANARY.to_owned()]).find(&said), []);
    }
}

/// Does nothing but in the child.
#[test]
#[expect(clippy::disallowed_methods, reason = "how the parent tells the child; a task that must panic")]
fn the_child_that_panics() {
    let Ok(format) = std::env::var(CHILD) else { return };
    let format = if format == "json" { LogFormat::Json } else { LogFormat::Human };
    // Lines are written by a thread of its own for as long as this is held, and to the last one when it goes.
    let log = noshi::telemetry::init(&LogSettings { format, filter: "trace".to_owned() }).unwrap();
    let _ = std::thread::spawn(|| panic!("the code is {CANARY}")).join().unwrap_err();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let lost = tokio::spawn(async { serde_json::from_value::<u32>(CANARY.into()).unwrap() }).await.unwrap_err();
        assert!(lost.is_panic());
        let tasks = noshi::lifecycle::Tasks::on(tokio::runtime::Handle::current());
        let lost = tasks.run(async { std::panic::panic_any(CANARY.to_owned()) }).await;
        tracing::error!(error = %noshi::kernel::Chain(&lost.unwrap_err()), "as a service would log it");
    });
    drop(log);
}
