//! Named places at which a debug build dies at once, as by `kill -9`, when a test asks for it.
//!
//! `NOSHI_FAILPOINT=issue.after_t1@2` ends the process when it passes the point `after_t1` of the group `issue` for the
//! second time. It ends by `abort`: no destructor runs, no buffer is written, no connection is closed politely.
//! `NOSHI_FAILPOINT=show.after_read@1:stop` has the process stand still there instead, as by `kill -STOP`, until it gets
//! SIGCONT. A release build has none of this: [`pass`] is an empty `const fn` there, and no code reads the variable.
//!
//! The groups are `audit`, `issue`, `cancel`, `held`, `replay`, `show`, `store`, `head`, `migrate`, `backup`, `restore`, `retention`, `webhooks`, `batches`, `pay`, `capture` and `membership`. Group
//! and point are two arguments because some points get their names at run time.

#[cfg(debug_assertions)]
pub(crate) use armed::{arm, pass};

/// Does nothing in a release build. A `const fn` could not end the process.
#[cfg(not(debug_assertions))]
pub(crate) const fn pass(_group: &str, _point: &str) {}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    };

    /// Where to die, and after how many passes.
    struct ArmedPoint {
        group: String,
        point: String,
        passes_left: AtomicU32,
        /// Stand still instead.
        stop: bool,
    }

    static ARMED: OnceLock<ArmedPoint> = OnceLock::new();

    /// Arms the point of `GROUP.POINT@PASS` or `GROUP.POINT@PASS:stop`. Any other text is ignored: its test then waits for
    /// a death that does not come.
    pub(crate) fn arm(text: &str) {
        let parsed = text.split_once('@').and_then(|(place, pass)| {
            let (group, point) = place.split_once('.')?;
            let number = pass.strip_suffix(":stop");
            let passes_left = AtomicU32::new(number.unwrap_or(pass).parse().ok()?);
            Some(ArmedPoint { group: group.to_owned(), point: point.to_owned(), passes_left, stop: number.is_some() })
        });
        if let Some(armed) = parsed {
            tracing::warn!(
                failpoint = text,
                "a debug build that will die, or stand still, at a place of the tests' choice"
            );
            drop(ARMED.set(armed));
        }
    }

    /// Dies, or stands still, when it passes the armed point for the last time.
    pub(crate) fn pass(group: &str, point: &str) {
        if let Some(armed) = ARMED.get()
            && armed.group == group
            && armed.point == point
            && armed.passes_left.fetch_sub(1, Ordering::AcqRel) == 1
        {
            if armed.stop { stand_still() } else { std::process::abort() }
        }
    }

    /// Returns when the process gets SIGCONT.
    fn stand_still() {
        let process = std::process::id().to_string();
        drop(std::process::Command::new("kill").args(["-STOP", &process]).status());
    }
}
