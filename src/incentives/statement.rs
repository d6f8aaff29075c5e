//! What the table `rewards` says to the money room, and the only names of its columns there.
//!
//! Treasury stands above this room and never writes a reward. Two of its questions need one statement over both rooms'
//! tables: the ledger's position, because two statements would read two instants, and the comparison with Amazon's report,
//! because neither side fits into memory. So treasury writes those joins, and takes from here what concerns `rewards`:
//! columns, conditions and the meaning of a row.

/// How many rewards a database holds.
pub(crate) const COUNT: &str = "SELECT COUNT(*) AS rows FROM rewards";

/// Rewards that are booked as issued and may have been given back already: a cancel is under way, or an operator decides.
/// A select of `account = $1` and `currency = $2` with the columns of a ledger sum: `'unsure'`, the id as text, minor units.
macro_rules! unsure_rewards {
    ($id_as_text:literal) => {
        concat!(
            "SELECT 'unsure', ",
            $id_as_text,
            ", amount_minor, 1, 0 FROM rewards WHERE account = $1 AND currency = $2 \
             AND booked = 'issued' AND due_at IS NOT NULL AND state = 'canceling' UNION ALL SELECT 'unsure', ",
            $id_as_text,
            ", amount_minor, 1, 0 FROM rewards WHERE account = $1 AND currency = $2 AND booked = 'issued' AND state = 'needs_attention'"
        )
    };
}

/// The columns of a reward `r` in a comparison with Amazon's report.
macro_rules! compared_columns {
    () => {
        "r.id AS reward_id, r.kind, r.state, r.attention, r.amount_minor AS ours_minor, r.created_at AS recorded_at, \
         r.first_send_at, r.issued_at, r.canceled_at AS ours_canceled_at"
    };
}

/// The reward `r` of the request id of `s`. `$3` is the marketplace, `$4` the environment.
macro_rules! reward_of_request {
    () => {
        "rewards r ON r.creation_request_id = s.request_id AND r.marketplace = $3 AND r.environment = $4"
    };
}

/// The next rewards proven in a period, in the order of their proof: of account `$2`, from `$3` to `$4`, after the one of the
/// instant `$3` with the id `$5`. How many follows the text.
macro_rules! proven_rewards {
    () => {
        "SELECT * FROM rewards WHERE account = $2 AND issued_at >= $3 AND issued_at < $4 \
             AND (issued_at, id) > ($3, $5) ORDER BY issued_at, id LIMIT "
    };
}

/// Whether a reward `r` is open: sent, neither proven nor refused. Finished rewards are not in the indexes of this. `$5`: it comes after this
/// one.
macro_rules! is_open {
    () => {
        "r.id IN (SELECT id FROM rewards WHERE account = $2 AND due_at IS NOT NULL AND id > $5 UNION ALL \
             SELECT id FROM rewards WHERE account = $2 AND state = 'needs_attention' AND id > $5) AND r.account = $2 AND r.issued_at IS NULL \
             AND r.first_send_at >= $3 AND r.first_send_at < $4"
    };
}

/// The reward `r` of the item `i`, of the client `$4` and, where `$5` is one, of that program.
macro_rules! rewards_of_client {
    () => {
        "rewards r ON r.id = i.reward_id AND r.client_id = $4 AND (CAST($5 AS TEXT) IS NULL OR r.program_id = $5)"
    };
}

pub(crate) use {compared_columns, is_open, proven_rewards, reward_of_request, rewards_of_client, unsure_rewards};
