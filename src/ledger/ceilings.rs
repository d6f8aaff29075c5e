//! Ceilings: what may be bought with an account on one day, by one client and by all together, whatever programs allow. A stolen key
//! stops there.
//!
//! A reward counts once, in the transaction that makes its row, on the account's day of then. It is never taken back: not when Amazon
//! refuses it and not when it is canceled. So the count is an upper bound of what can have left on that day, and whoever buys and
//! cancels in turns comes to the same end. Another try of the same reward counts nothing, and what exists is answered whatever is
//! reached: a ceiling refuses new rewards alone.
//!
//! One statement counts, for the client and then for all: every transaction takes the rows in this order, as the last it takes. So two
//! cannot wait for each other, and the account's row is held for the length of a commit.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, NaiveDate, Utc};
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::budget::{Period, resets_at};
use crate::{
    accounts::Account,
    events::{Named, outbox},
    kernel::{ClientId, Money, word_methods},
    store::{ForSeveral, Snapshot, Sql, Store, StoreError, Tx, execute, fetch_all, join, row, statements},
};

/// The holder of what all clients have bought together. Every other holder is a client.
const ALL_CLIENTS: &str = "all";

statements! {
    TAKE = Sql::same(
        "day_spending.take",
        "INSERT INTO day_spending (account, holder, day, spent_minor, rewards) VALUES ($1, $2, $3, $4, 1), ($1, 'all', $3, $4, 1) \
         ON CONFLICT (account, holder, day) DO UPDATE SET \
         spent_minor = day_spending.spent_minor + excluded.spent_minor, rewards = day_spending.rewards + 1 \
         WHERE day_spending.holder = 'all' AND day_spending.spent_minor <= $7 - excluded.spent_minor \
         OR day_spending.holder <> 'all' AND day_spending.spent_minor <= $5 - excluded.spent_minor \
         AND day_spending.rewards < $6 RETURNING holder",
    )
    .for_several(ForSeveral {
        // Those of one account, one day and the same ceilings. Where they do not all fit, none of them counts, and each is asked by itself.
        // A row that is not there yet is compared as well: the sum of several may be above what one reward can be.
        text: "INSERT INTO day_spending (account, holder, day, spent_minor, rewards) \
               SELECT MIN($1), holder, MIN($3), CAST(SUM($4) AS BIGINT), COUNT(*) \
               FROM {given} CROSS JOIN LATERAL (VALUES ($2), ('all')) AS holders (holder) GROUP BY holder \
               HAVING SUM($4) <= CASE WHEN holder = 'all' THEN MIN($7) ELSE MIN($5) END AND (holder = 'all' OR COUNT(*) <= MIN($6)) \
               ORDER BY holder = 'all', holder \
               ON CONFLICT (account, holder, day) DO UPDATE SET \
               spent_minor = day_spending.spent_minor + excluded.spent_minor, rewards = day_spending.rewards + excluded.rewards \
               WHERE day_spending.holder = 'all' AND day_spending.spent_minor <= (SELECT MIN($7) FROM {given}) - excluded.spent_minor \
               OR day_spending.holder <> 'all' AND day_spending.spent_minor <= (SELECT MIN($5) FROM {given}) - excluded.spent_minor \
               AND day_spending.rewards <= (SELECT MIN($6) FROM {given}) - excluded.rewards RETURNING holder",
        rows: "(SELECT COUNT(DISTINCT $2) + COUNT(DISTINCT $1) FROM {given})",
        common: &[1, 3, 5, 6, 7],
    });
    NOW = Sql::same(
        "day_spending.now",
        "SELECT holder, spent_minor, rewards, refused_at FROM day_spending WHERE account = $1 AND day = $3 AND holder IN ($2, 'all')",
    );
    REFUSED = Sql::same(
        "day_spending.refused",
        "INSERT INTO day_spending (account, holder, day, spent_minor, rewards, refused_at) VALUES ($1, $2, $3, 0, 0, $4) \
         ON CONFLICT (account, holder, day) DO UPDATE SET refused_at = excluded.refused_at WHERE day_spending.refused_at IS NULL",
    );
}

row! {
    struct TakenRow { holder: String }
}

row! {
    struct SpentTodayRow { holder: String, spent_minor: i64, rewards: i64, refused_at: Option<DateTime<Utc>> }
}

/// Which ceiling. Its word is the setting's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Ceiling {
    /// What a client may spend on a day.
    ClientDayMaximum,
    /// How many rewards a client may buy on a day.
    ClientDayRewards,
    /// What all clients may spend on a day.
    AccountDayMaximum,
}
word_methods!(Ceiling);

impl Ceiling {
    const fn is_of_client(self) -> bool {
        match self {
            Self::ClientDayMaximum | Self::ClientDayRewards => true,
            Self::AccountDayMaximum => false,
        }
    }
}

/// A ceiling that a reward does not fit under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CeilingReached {
    pub(crate) account: String,
    pub(crate) ceiling: Ceiling,
    day: NaiveDate,
    /// When the next day begins.
    pub(crate) ends_at: Option<DateTime<Utc>>,
    /// Whether another reward was refused on this day.
    pub(crate) reported: bool,
}

/// Where a ceiling refused a reward lately. Whoever was not refused need not be asked about before there is a slot: the
/// transaction that makes the row asks.
#[derive(Debug, Default)]
pub(crate) struct ReachedLately(Mutex<HashMap<(String, Option<ClientId>), Instant>>);

/// How long a refusal is remembered.
const LATELY: Duration = Duration::from_secs(60);

impl ReachedLately {
    fn lock(&self) -> MutexGuard<'_, HashMap<(String, Option<ClientId>), Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers that a ceiling refused a client's reward.
    pub(crate) fn note(&self, client: ClientId, reached: &CeilingReached, now: Instant) {
        let mut reached_lately = self.lock();
        reached_lately.retain(|_holder, since| now.saturating_duration_since(*since) < LATELY);
        reached_lately.insert((reached.account.clone(), reached.ceiling.is_of_client().then_some(client)), now);
    }

    /// Whether a ceiling of the client or of all clients refused a reward of this account lately.
    pub(crate) fn holds(&self, account: &str, client: ClientId, now: Instant) -> bool {
        let reached_lately = self.lock();
        let lately = |since: &Instant| now.saturating_duration_since(*since) < LATELY;
        [None, Some(client)]
            .into_iter()
            .any(|holder| reached_lately.get(&(account.to_owned(), holder)).is_some_and(lately))
    }
}

/// A reward that is to be bought.
#[derive(Clone, Copy)]
pub(crate) struct Purchase<'a> {
    pub(crate) account: &'a Account,
    pub(crate) client: ClientId,
    pub(crate) value: Money,
    /// When it is recorded.
    pub(crate) at: DateTime<Utc>,
}

impl Purchase<'_> {
    fn day(&self) -> NaiveDate {
        self.at.with_timezone(&self.account.time_zone()).date_naive()
    }

    /// The most of each ceiling, in minor units or rewards.
    fn most(&self, ceiling: Ceiling) -> i64 {
        let ceilings = self.account.ceilings();
        let most = match ceiling {
            Ceiling::ClientDayMaximum => ceilings.client_day_maximum.map(Money::minor),
            Ceiling::ClientDayRewards => ceilings.client_day_rewards.map(i64::from),
            Ceiling::AccountDayMaximum => ceilings.account_day_maximum.map(Money::minor),
        };
        most.unwrap_or(i64::MAX)
    }

    const fn more(&self, ceiling: Ceiling) -> i64 {
        match ceiling {
            Ceiling::ClientDayMaximum | Ceiling::AccountDayMaximum => self.value.minor(),
            Ceiling::ClientDayRewards => 1,
        }
    }

    fn reached(&self, ceiling: Ceiling) -> CeilingReached {
        let (day, zone) = (self.day(), self.account.time_zone());
        let ends_at = resets_at(Period::Day, day, zone);
        CeilingReached { account: self.account.id().to_owned(), ceiling, day, ends_at, reported: false }
    }

    /// The first ceiling that the reward does not fit under, by what was read earlier. Only [`take`] decides.
    fn first_above(&self, spent: &[SpentTodayRow]) -> Option<CeilingReached> {
        Ceiling::ALL.iter().find_map(|ceiling| {
            let of_holder = |row: &&SpentTodayRow| (row.holder == ALL_CLIENTS) != ceiling.is_of_client();
            let row = spent.iter().find(of_holder);
            let taken = row.map_or(0, |row| match ceiling {
                Ceiling::ClientDayMaximum | Ceiling::AccountDayMaximum => row.spent_minor,
                Ceiling::ClientDayRewards => row.rewards,
            });
            let above = taken > self.most(*ceiling).saturating_sub(self.more(*ceiling));
            let reported = row.is_some_and(|row| row.refused_at.is_some());
            above.then(|| CeilingReached { reported, ..self.reached(*ceiling) })
        })
    }
}

/// The ceiling that a reward would not fit under now. Counts nothing.
pub(crate) async fn look(
    snapshot: &mut Snapshot,
    purchase: &Purchase<'_>,
) -> Result<Option<CeilingReached>, StoreError> {
    let (account, client, day) = (purchase.account.id(), purchase.client.to_string(), purchase.day().to_string());
    let spent = fetch_all!(SpentTodayRow, snapshot, NOW, account, client, day)?;
    Ok(purchase.first_above(&spent))
}

/// Counts a reward. Where it does not fit, the transaction must not be committed: one of the rows may count it already.
pub(crate) async fn take(tx: &mut Tx, purchase: &Purchase<'_>) -> Result<Option<CeilingReached>, StoreError> {
    // Where there is no row yet, nothing is compared: the settings have no ceiling below the largest reward.
    let (account, client, day) = (purchase.account.id(), purchase.client.to_string(), purchase.day().to_string());
    let (value, of_client) = (purchase.value.minor(), purchase.most(Ceiling::ClientDayMaximum));
    let (rewards, of_all) = (purchase.most(Ceiling::ClientDayRewards), purchase.most(Ceiling::AccountDayMaximum));
    if tx.joins() {
        // Which ceiling it was is asked where the commit finds that one was reached.
        return join!(tx, TAKE, 2, account, client, day, value, of_client, rewards, of_all).map(|_later| None);
    }
    let taken =
        fetch_all!(TakenRow, tx, TAKE, account, client.as_str(), day.as_str(), value, of_client, rewards, of_all)?;
    // A row that its ceiling kept from counting is not returned.
    let counts = |holder: &str| taken.iter().any(|row| row.holder == holder);
    if !counts(&client) {
        let client_day = fetch_all!(SpentTodayRow, tx, NOW, account, client, day)?;
        return Ok(purchase.first_above(&client_day).or_else(|| Some(purchase.reached(Ceiling::ClientDayMaximum))));
    }
    Ok((!counts(ALL_CLIENTS)).then(|| purchase.reached(Ceiling::AccountDayMaximum)))
}

/// Writes the event of a ceiling that refused a reward: once a day for each client, and for the account.
pub(crate) async fn report(
    store: &Store,
    client: ClientId,
    reached: &CeilingReached,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let (name, day) = (client.to_string(), reached.day.to_string());
    let holder = if reached.ceiling.is_of_client() { name.as_str() } else { ALL_CLIENTS };
    let mut tx = store.begin_as("ceiling.report").await?;
    let first = execute!(tx, REFUSED, reached.account.as_str(), holder, day.as_str(), now)? == 1;
    if first {
        let subject =
            if reached.ceiling.is_of_client() { Named::Client(&name) } else { Named::Account(&reached.account) };
        let data = serde_json::json!({
            "account_id": reached.account, "client_id": name, "ceiling": reached.ceiling.as_str(), "day": day,
        });
        outbox::write(&mut tx, "ceiling.reached", subject, Some(&data), now).await?;
        tracing::warn!(
            account = reached.account,
            client.id = name,
            ceiling.reached = reached.ceiling.as_str(),
            "a ceiling of the day is reached: new rewards are refused until it is over"
        );
    }
    tx.commit(()).await.map(|_done| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ambient::Ambient;

    #[test]
    fn a_ceiling_is_remembered_for_whom_it_refuses_and_for_a_minute() {
        let (lately, now) = (ReachedLately::default(), Ambient::system().monotonic());
        let [one, other] = [1, 2].map(|id| ClientId::new(uuid::Uuid::from_u128(id)));
        let reached = |ceiling| {
            let (account, day) = ("us".to_owned(), NaiveDate::default());
            CeilingReached { account, ceiling, day, ends_at: None, reported: false }
        };
        lately.note(one, &reached(Ceiling::ClientDayMaximum), now);
        let holds = |account, client, after| lately.holds(account, client, now + after);
        let moment = Duration::from_secs(59);
        assert_eq!(
            [holds("us", one, moment), holds("us", other, moment), holds("uk", one, moment)],
            [true, false, false]
        );
        assert!(!holds("us", one, LATELY));
        lately.note(one, &reached(Ceiling::AccountDayMaximum), now + LATELY);
        assert!(holds("us", other, LATELY), "nobody may buy any more");
        assert_eq!(lately.lock().len(), 1, "what is over is forgotten");
    }
}
