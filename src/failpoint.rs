//! Named places at which a debug build can be told to die at once, as by `kill -9`: the tests of crashes.
//!
//! `NOSHI_FAILPOINT=issue.after_t1@2` ends the process when it passes that place for the second time. It ends by
//! `abort`: no destructor runs, no buffer is written, no connection is closed politely. A release build has nothing of
//! it: [`pass`] is an empty `const fn` there, which cannot end anything, and nobody reads the variable.
//!
//! `NOSHI_FAILPOINT=show.after_read@1:stop` has the process stand still there instead, as by `kill -STOP`, until it is
//! told to go on.
//!
//! A place is a road (`issue`, `cancel`, `held`, `replay`, `show`, `store`, `head`, `migrate`, `backup`, `restore`) and a stage on it.
//!
//! Seeded bugs are the same idea: `NOSHI_SEEDED_BUG=B12` makes a debug build wrong in one known way (`reliability.md`
//! 3.6), so that the test that should notice is seen to notice. A place of the code that can be wrong asks [`seeded`]; in
//! a release build that is a `const fn` which is `false`, so what stands behind it is not compiled in.

#[cfg(debug_assertions)]
pub(crate) use armed::{arm, pass, seeded};

/// Does nothing in a release build, and as a `const fn` could not.
#[cfg(not(debug_assertions))]
pub(crate) const fn pass(_road: &str, _stage: &str) {}

/// No bug is seeded in a release build, and as a `const fn` this could not ask whether one is.
#[cfg(not(debug_assertions))]
pub(crate) const fn seeded(_bug: &str) -> bool {
    false
}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    };

    /// Where to die, and how often to come by until then.
    struct Order {
        road: String,
        stage: String,
        passes_left: AtomicU32,
        /// Stand still instead.
        stop: bool,
    }

    static ORDER: OnceLock<Order> = OnceLock::new();

    /// Takes the order `ROAD.STAGE@PASS` or `ROAD.STAGE@PASS:stop`. What is no order is none: the tests see a place that was never passed.
    pub(crate) fn arm(text: &str) {
        let parsed = text.split_once('@').and_then(|(place, pass)| {
            let (road, stage) = place.split_once('.')?;
            let number = pass.strip_suffix(":stop");
            let passes_left = AtomicU32::new(number.unwrap_or(pass).parse().ok()?);
            Some(Order { road: road.to_owned(), stage: stage.to_owned(), passes_left, stop: number.is_some() })
        });
        if let Some(order) = parsed {
            tracing::warn!(
                failpoint = text,
                "a debug build that will die, or stand still, at a place of the tests' choice"
            );
            drop(ORDER.set(order));
        }
    }

    /// Whether this bug is wanted. Read once: a process is wrong in one way from its start to its end.
    pub(crate) fn seeded(bug: &str) -> bool {
        static WANTED: OnceLock<Option<String>> = OnceLock::new();
        #[expect(
            clippy::disallowed_methods,
            reason = "no setting: tests seed bugs in a service that has no command line"
        )]
        let wanted = WANTED.get_or_init(|| std::env::var("NOSHI_SEEDED_BUG").ok());
        wanted.as_deref() == Some(bug)
    }

    /// Dies, or stands still, if it is time to.
    pub(crate) fn pass(road: &str, stage: &str) {
        if let Some(order) = ORDER.get()
            && order.road == road
            && order.stage == stage
            && order.passes_left.fetch_sub(1, Ordering::AcqRel) == 1
        {
            if order.stop { stand_still() } else { std::process::abort() }
        }
    }

    /// Comes back when someone sends SIGCONT.
    fn stand_still() {
        let process = std::process::id().to_string();
        drop(std::process::Command::new("kill").args(["-STOP", &process]).status());
    }
}
