//! The tests that need the world outside: sockets.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod amazon_client;
