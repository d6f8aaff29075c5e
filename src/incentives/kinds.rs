//! One file a kind: its rules, its operations, and what an answer to them means.

pub mod balance_load;
pub mod card_activation;
pub mod gift_code;
