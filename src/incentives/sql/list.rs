//! Pages of the rewards of a client, or of several.
//!
//! No filter may cost more than the page: a caller chooses them, and others wait for the connection. So the index of the list
//! begins with what is filtered by, and ends with the id. A page takes the newest ids of each account, kind and state that are
//! asked for, and of these the newest. Kinds and states are the program's few words; the accounts of each client are found in the
//! index, one look-up each. Rows of a kind or a state that only a later version knows are not in a list: one of them would
//! make all of it unreadable.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use uuid::Uuid;

use super::{RewardRow, known_kinds, row_words};
use crate::{
    engine::State,
    incentives::{kind::Kind, model::Reward},
    kernel::ClientId,
    store::{Snapshot, Sql, StoreError, fetch_all, statements},
};

/// The clients that are asked for: `$1`, a JSON list of their ids in hex.
macro_rules! clients {
    (sqlite) => {
        "(SELECT unhex(value) AS id FROM json_each($1))"
    };
    (postgres) => {
        "(SELECT CAST(json_array_elements_text(CAST($1 AS JSON)) AS UUID) AS id)"
    };
}

/// The accounts in which each client has rewards, in the part of the index that `$of` names.
macro_rules! accounts {
    ($database:tt, $of:literal) => {
        concat!(
            "WITH RECURSIVE accounts (client, account) AS (SELECT c.id, (SELECT MIN(r.account) FROM rewards r \
             WHERE r.client_id = c.id",
            $of,
            ") FROM ",
            clients!($database),
            " c UNION ALL SELECT a.client, (SELECT MIN(r.account) FROM rewards r WHERE r.client_id = a.client",
            $of,
            " AND r.account > a.account) FROM accounts a WHERE a.account IS NOT NULL) "
        )
    };
}

/// `$accounts`, `$from`: the clients and their accounts; `$of`: what else the index has before the account. `$2`: before this id; `$3`:
/// from this one on; `$4`: how many; `$5` and `$6`: kinds and states, as JSON. No other condition stands beside these: PostgreSQL would
/// take so few rows for granted that it would read and sort all.
macro_rules! newest {
    (sqlite $accounts:expr, $from:expr, $of:literal) => {
        // The nested `IN` stands for a LATERAL, which SQLite does not know. The order of the joins is the one that is written.
        concat!(
            $accounts,
            "SELECT ",
            columns!(),
            " FROM rewards WHERE id IN (SELECT one.id FROM ",
            $from,
            " CROSS JOIN json_each($5) AS kinds CROSS JOIN json_each($6) AS states CROSS JOIN rewards one WHERE one.id IN \
             (SELECT r.id FROM rewards r WHERE r.client_id = accounts.client",
            $of,
            " AND r.account = accounts.account AND r.kind = kinds.value AND r.state = states.value AND r.id < $2 AND r.id >= $3 \
             ORDER BY r.id DESC LIMIT $4) ORDER BY one.id DESC LIMIT $4) ORDER BY id DESC"
        )
    };
    (postgres $accounts:expr, $from:expr, $of:literal) => {
        concat!(
            $accounts,
            "SELECT ",
            columns!(),
            " FROM rewards WHERE id = ANY (ARRAY(SELECT one.id FROM ",
            $from,
            " CROSS JOIN json_array_elements_text(CAST($5 AS JSON)) AS kinds (value) \
             CROSS JOIN json_array_elements_text(CAST($6 AS JSON)) AS states (value) CROSS JOIN LATERAL \
             (SELECT r.id FROM rewards r WHERE r.client_id = accounts.client",
            $of,
            " AND r.account = accounts.account AND r.kind = kinds.value AND r.state = states.value AND r.id < $2 AND r.id >= $3 \
             ORDER BY r.id DESC LIMIT $4) one ORDER BY one.id DESC LIMIT $4)) ORDER BY id DESC"
        )
    };
}

/// Each client with the one account that is asked for.
macro_rules! one_account {
    (sqlite $account:literal) => {
        concat!("(SELECT c.id AS client, ", $account, " AS account FROM ", clients!(sqlite), " c) AS accounts")
    };
    (postgres $account:literal) => {
        concat!(
            "(SELECT c.id AS client, CAST(",
            $account,
            " AS TEXT) AS account FROM ",
            clients!(postgres),
            " c) AS accounts"
        )
    };
}

statements! {
    BY_EXTERNAL_ID = Sql::each(
        "rewards.by_external_id",
        concat!(
            "SELECT ", columns!(), " FROM rewards WHERE external_id = $2 AND client_id IN (SELECT id FROM ", clients!(sqlite),
            ") ORDER BY id DESC"
        ),
        concat!(
            "SELECT ", columns!(), " FROM rewards WHERE external_id = $2 AND client_id = ANY (ARRAY(SELECT id FROM ",
            clients!(postgres), " c)) ORDER BY id DESC"
        ),
    );
    BY_REQUEST = Sql::same(
        "rewards.by_creation_request_id",
        concat!("SELECT ", columns!(), " FROM rewards WHERE creation_request_id = $1 ORDER BY id DESC"),
    );
    OF_CLIENTS = Sql::each(
        "rewards.list",
        newest!(sqlite accounts!(sqlite, ""), "accounts", ""),
        newest!(postgres accounts!(postgres, ""), "accounts", ""),
    );
    OF_ACCOUNT = Sql::each(
        "rewards.list_of_account",
        newest!(sqlite "", one_account!(sqlite "$7"), ""),
        newest!(postgres "", one_account!(postgres "$7"), ""),
    );
    OF_PROGRAM = Sql::each(
        "rewards.list_of_program",
        newest!(sqlite accounts!(sqlite, " AND r.program_id = $7"), "accounts", " AND r.program_id = $7"),
        newest!(postgres accounts!(postgres, " AND r.program_id = $7"), "accounts", " AND r.program_id = $7"),
    );
    OF_PROGRAM_AND_ACCOUNT = Sql::each(
        "rewards.list_of_program_and_account",
        newest!(sqlite "", one_account!(sqlite "$8"), " AND r.program_id = $7"),
        newest!(postgres "", one_account!(postgres "$8"), " AND r.program_id = $7"),
    );
}

/// Which rewards a caller wants listed.
#[derive(Debug, Clone)]
pub struct RewardFilter {
    /// Whose: the name of a client.
    pub client: Option<String>,
    /// Its client's own reference.
    pub external_id: Option<String>,
    /// Amazon's id of it.
    pub creation_request_id: Option<String>,
    /// The state.
    pub state: Option<State>,
    /// The kind.
    pub kind: Option<Kind>,
    /// The account.
    pub account: Option<String>,
    /// The program.
    pub program: Option<String>,
    /// Recorded at or after.
    pub created_from: DateTime<Utc>,
    /// Recorded before.
    pub created_to: DateTime<Utc>,
    /// Older than this one: the last of the page before.
    pub before: Uuid,
    /// At most so many.
    pub limit: i64,
}

impl RewardFilter {
    /// Whether a reward that was found by an id fits the other filters.
    fn fits(&self, clients: &[ClientId], reward: &Reward, program: Option<&str>) -> bool {
        let created = reward.order.created_at;
        reward.id.uuid() < self.before
            && clients.contains(&reward.client)
            && self.external_id.as_ref().is_none_or(|id| reward.external_id.as_ref() == Some(id))
            && self.creation_request_id.as_ref().is_none_or(|id| reward.creation_request_id.as_str() == id)
            && self.state.is_none_or(|state| reward.order.state() == state)
            && self.kind.is_none_or(|kind| reward.kind == kind)
            && self.account.as_ref().is_none_or(|account| reward.account == *account)
            && self.program.as_deref().is_none_or(|asked| program == Some(asked))
            && (self.created_from..self.created_to).contains(&created)
    }

    /// The ids that rewards of this time have. An id is made of the instant that its row is dated by, in whole milliseconds.
    fn ids(&self) -> (Uuid, Uuid) {
        let end = self.created_to.checked_add_signed(TimeDelta::milliseconds(1)).unwrap_or(self.created_to);
        (self.before.min(first_id(end)), first_id(self.created_from))
    }
}

/// The smallest id of a row that is made in this millisecond or later.
pub(in crate::incentives) fn first_id(at: DateTime<Utc>) -> Uuid {
    u64::try_from(at.timestamp_millis()).map_or(Uuid::nil(), |millis| {
        let version_and_variant = 0x7000_8000_0000_0000_0000_u128;
        Uuid::from_u128((u128::from(millis) << 80) | version_and_variant)
    })
}

/// A page of the rewards of these clients, newest first.
pub(in crate::incentives) async fn list(
    snapshot: &mut Snapshot,
    clients: &[ClientId],
    filter: &RewardFilter,
) -> Result<Vec<Reward>, StoreError> {
    let listed = json!(clients.iter().map(|client| client.uuid().simple().to_string()).collect::<Vec<_>>()).to_string();
    let found = match (filter.creation_request_id.as_deref(), filter.external_id.as_deref()) {
        (Some(request), _) => Some(fetch_all!(RewardRow, snapshot, BY_REQUEST, request)?),
        (None, Some(external_id)) => Some(fetch_all!(RewardRow, snapshot, BY_EXTERNAL_ID, &listed, external_id)?),
        (None, None) => None,
    };
    if let Some(rows) = found {
        return of_these(rows, clients, filter);
    }
    let (before, from) = filter.ids();
    let mut ids = Ids { before, from, limit: filter.limit };
    let mut page = Vec::new();
    // A second round only where rewards of the first millisecond, or of the last, are outside of the time that was asked for.
    while ids.limit > 0 {
        let rows = newest(snapshot, &listed, filter, ids).await?;
        let last = rows.last().map(|row| row.id).filter(|_last| i64::try_from(rows.len()) == Ok(ids.limit));
        let (since, until) = (filter.created_from, filter.created_to);
        page.extend(rows.into_iter().filter(|row| (since..until).contains(&row.created_at)));
        let Some(last) = last else { break };
        let found = i64::try_from(page.len()).unwrap_or(i64::MAX);
        ids = Ids { before: last, limit: filter.limit.saturating_sub(found), ..ids };
    }
    page.into_iter().map(Reward::try_from).collect()
}

/// Those of the rows of an id that are these clients', and fit the other filters.
fn of_these(rows: Vec<RewardRow>, clients: &[ClientId], filter: &RewardFilter) -> Result<Vec<Reward>, StoreError> {
    let known = |row: &RewardRow| Kind::of_row(&row.kind).is_some() && State::from_word(&row.state).is_some();
    let mut found = Vec::new();
    for row in rows.into_iter().filter(known) {
        let program = row.program_id.clone();
        let reward = Reward::try_from(row)?;
        if filter.fits(clients, &reward, program.as_deref()) {
            found.push(reward);
        }
    }
    found.truncate(usize::try_from(filter.limit).unwrap_or(usize::MAX));
    Ok(found)
}

/// Which rows, and how many.
#[derive(Debug, Clone, Copy)]
struct Ids {
    before: Uuid,
    from: Uuid,
    limit: i64,
}

async fn newest(
    snapshot: &mut Snapshot,
    clients: &str,
    filter: &RewardFilter,
    Ids { before, from, limit }: Ids,
) -> Result<Vec<RewardRow>, StoreError> {
    let kinds = filter.kind.map_or_else(known_kinds, |kind| row_words(&[kind]));
    let states = filter.state.map_or_else(|| State::ALL.to_vec(), |state| vec![state]);
    let states = json!(states.into_iter().map(State::as_str).collect::<Vec<_>>()).to_string();
    match (filter.program.as_deref(), filter.account.as_deref()) {
        (None, None) => fetch_all!(RewardRow, snapshot, OF_CLIENTS, clients, before, from, limit, kinds, states),
        (None, Some(account)) => {
            fetch_all!(RewardRow, snapshot, OF_ACCOUNT, clients, before, from, limit, kinds, states, account)
        }
        (Some(program), None) => {
            fetch_all!(RewardRow, snapshot, OF_PROGRAM, clients, before, from, limit, kinds, states, program)
        }
        (Some(program), Some(account)) => fetch_all!(
            RewardRow,
            snapshot,
            OF_PROGRAM_AND_ACCOUNT,
            clients,
            before,
            from,
            limit,
            kinds,
            states,
            program,
            account
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ambient::Ambient;

    #[test]
    fn the_ids_of_a_time_are_those_that_rows_of_it_were_given() {
        let ambient = Ambient::movable(3);
        let now = ambient.now();
        let filter = |from: DateTime<Utc>, to: DateTime<Utc>| RewardFilter {
            client: None,
            external_id: None,
            creation_request_id: None,
            state: None,
            kind: None,
            account: None,
            program: None,
            created_from: from,
            created_to: to,
            before: Uuid::max(),
            limit: 1,
        };
        let step = TimeDelta::milliseconds(1);
        for _ in 0..50 {
            let id = ambient.row_id(now).unwrap();
            let (before, from) = filter(now, now + TimeDelta::microseconds(1)).ids();
            assert!(from <= id && id < before, "{from} {id} {before}");
            let (before, _from) = filter(now - step, now - step).ids();
            assert!(id >= before, "a millisecond earlier");
            let (_before, from) = filter(now + step, now + step).ids();
            assert!(id < from, "a millisecond later");
        }
        let (before, from) = filter(DateTime::UNIX_EPOCH - step, DateTime::<Utc>::MAX_UTC).ids();
        assert_eq!(from, Uuid::nil());
        assert!(before > ambient.row_id(now).unwrap());
        let page = RewardFilter { before: Uuid::from_u128(7), ..filter(now, now) };
        assert_eq!(page.ids().0, Uuid::from_u128(7), "the page before ended here");
    }
}
