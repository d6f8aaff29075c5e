//! Traces: the caller's is gone on with, kept in the reward's row and named by every line of the log.

mod context;
