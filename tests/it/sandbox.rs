//! The sandbox over real sockets, with a client and a signer written for this test alone.

mod activation;
mod activity;
mod balance_load;
mod bench;
mod book;
mod control;
mod faults;
mod formats;
mod limits;
mod login;
mod members;
mod mocks;
mod pay;
mod signature;
pub(crate) mod signer;
mod tls;
mod validation;
