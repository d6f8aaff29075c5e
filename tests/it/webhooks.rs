//! Messages to callers' own endpoints, and what others make of them.

mod verifier;
