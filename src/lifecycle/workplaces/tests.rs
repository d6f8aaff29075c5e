//! Who has a workplace, and who has none.

use proptest::prelude::*;
use tokio::sync::oneshot;

use super::*;
use crate::{ambient::Ambient, lifecycle::Tasks};

fn now() -> Instant {
    Ambient::system().monotonic()
}

fn key(number: u128) -> ApiKeyId {
    ApiKeyId::new(uuid::Uuid::from_u128(number))
}

const KEY: PlaceHolder = PlaceHolder::Key(ApiKeyId::new(uuid::Uuid::from_u128(1)));
const OTHER: PlaceHolder = PlaceHolder::Key(ApiKeyId::new(uuid::Uuid::from_u128(2)));
const STRANGER: PlaceHolder = PlaceHolder::Stranger(Some(ApiKeyId::new(uuid::Uuid::from_u128(11))));
const OTHER_STRANGER: PlaceHolder = PlaceHolder::Stranger(None);

fn fill(places: &Workplaces, who: PlaceHolder, at: Instant) -> Vec<Arc<Workplace>> {
    std::iter::from_fn(|| places.take(who, at)).collect()
}

/// So long after this that it is the same batch or overload.
fn soon(at: Instant) -> Instant {
    at + BATCH_FOR / 2
}

#[test]
fn a_batch_is_let_in_and_who_goes_on_asking_for_more_is_refused() {
    let (places, at) = (Workplaces::new(256), now());
    let mut batch = fill(&places, KEY, at);
    assert_eq!(batch.len(), 192, "three quarters of what may be under way");
    let (mut later, mut refused) = (at, 0);
    for _moment in 0..2 {
        later = soon(later);
        assert!(places.take(KEY, later).is_none());
    }
    while places.take(KEY, later).is_none() {
        batch.pop();
        refused += 1;
    }
    assert_eq!((batch.len(), refused), (71, 121), "until there is room among the workplaces");
}

#[test]
fn overload_is_no_row_of_batches_however_it_comes_and_goes() {
    let (places, at) = (Workplaces::new(256), now());
    let mut later = at;
    for _wave in 0..10 {
        // All of them are done at once.
        let wave = fill(&places, KEY, later);
        assert_eq!(wave.len(), if later.duration_since(at) < BATCH_FOR { 192 } else { 72 });
        later = soon(later);
    }
    later += BATCH_FOR;
    assert_eq!(fill(&places, KEY, later).len(), 192, "nobody needed more for long: it is another batch");
}

#[test]
fn under_overload_a_key_that_has_many_leaves_room_for_others_and_strangers_share_half() {
    let (places, at) = (Workplaces::new(0), now());
    let later = at + BATCH_FOR;
    places.taken().full = Some(Fullness { began: at, last: later });
    let strangers = fill(&places, STRANGER, later);
    assert_eq!(strangers.len(), 36, "of one claim");
    let another = fill(&places, OTHER_STRANGER, later);
    assert!(!another.is_empty() && another.len() < 12, "{}", another.len());
    let greedy = fill(&places, KEY, later);
    assert_eq!(strangers.len() + another.len() + greedy.len(), 72);
    assert!(places.take(KEY, later).is_none());
    assert!(places.take(OTHER, later).is_some(), "whoever has none");
    drop((strangers, another));
    assert_eq!(fill(&places, STRANGER, later).len(), 36);
}

#[test]
fn under_overload_by_one_key_another_is_served_on_a_new_connection_and_on_an_old_one() {
    let (places, at) = (Workplaces::new(0), now());
    let later = at + BATCH_FOR;
    places.taken().full = Some(Fullness { began: at, last: later });
    let greedy = fill(&places, KEY, later);
    assert!(places.take(PlaceHolder::Stranger(Some(key(1))), later).is_none(), "the greedy key's own new connections");
    let new = fill(&places, STRANGER, later);
    let old = fill(&places, OTHER, later);
    assert_eq!((greedy.len(), new.len()), (72, 6), "a quarter of what the greedy key leaves");
    assert_eq!(old.len(), 2, "the more they have, the more they leave");
}

#[test]
fn a_batch_by_new_connections_leaves_room_for_another_caller_who_comes_by_one() {
    let (places, at) = (Workplaces::new(256), now());
    let batch = fill(&places, STRANGER, at);
    assert_eq!(batch.len(), 192);
    assert!(places.take(OTHER_STRANGER, at).is_some());
}

#[tokio::test]
async fn whoever_waits_for_somebody_else_has_no_workplace_and_whoever_comes_back_needs_not_ask() {
    let (places, at) = (Workplaces::new(0), now());
    let tasks = Tasks::on(tokio::runtime::Handle::current());
    let (answer, answered) = oneshot::channel::<()>();
    let (out, is_out) = oneshot::channel::<()>();
    let own = places.clone();
    let place = places.take(STRANGER, at).unwrap();
    let request = Tasks::on(tokio::runtime::Handle::current()).spawn(place.hold(async move {
        belongs_to(key(1));
        let counts = own.clone();
        let job = tasks.spawn(carry(async move {
            assert_eq!(counts.taken().held, HashMap::from([(KEY, 1)]), "a stranger no more");
            outside(outside(async {
                out.send(()).unwrap();
                answered.await.unwrap();
            }))
            .await;
            assert_eq!(counts.taken().all, 73, "it goes on although there is no room");
        }));
        job.await.unwrap();
    }));
    is_out.await.unwrap();
    assert_eq!(places.taken().all, 0);
    let others = fill(&places, OTHER, at);
    assert_eq!(others.len(), 72);
    answer.send(()).unwrap();
    request.await.unwrap();
    drop(others);
    let taken = places.taken();
    assert_eq!((taken.all, taken.held.len()), (0, 0));
}

#[tokio::test]
async fn work_whose_caller_has_gone_keeps_its_workplace_until_it_ends() {
    let (places, at) = (Workplaces::new(0), now());
    let (end, ended) = oneshot::channel::<()>();
    let place = places.take(STRANGER, at).unwrap();
    let tasks = Tasks::on(tokio::runtime::Handle::current());
    let job = HERE.sync_scope(place, || tasks.spawn(carry(async { ended.await.unwrap() })));
    assert_eq!(places.taken().all, 1);
    end.send(()).unwrap();
    job.await.unwrap();
    assert_eq!(places.taken().all, 0);
}

proptest! {
    /// What each request does in its turn: comes, steps out, comes back, shows a key, ends.
    #[test]
    fn as_many_are_taken_as_are_held(steps in prop::collection::vec((0_u8..5, 0_usize..8, 0_u128..3), 0..200)) {
        let (places, at) = (Workplaces::new(0), now());
        let mut held: Vec<(Arc<Workplace>, Option<Outside>)> = Vec::new();
        for (step, which, of) in steps {
            let which = which.min(held.len().saturating_sub(1));
            match (step, held.get_mut(which)) {
                (0, _) => held.extend(places.take(if of > 0 { PlaceHolder::Key(key(of)) } else { STRANGER }, at).map(|place| (place, None))),
                (1, Some((place, out))) => {
                    let place = Arc::clone(place);
                    *out = Some(HERE.sync_scope(place, Outside::step_out));
                }
                (2, Some((_place, out))) => *out = None,
                (3, Some((place, _out))) => HERE.sync_scope(Arc::clone(place), || belongs_to(key(of))),
                (4, Some(_)) => drop(held.swap_remove(which)),
                _ => {}
            }
            let at_work = held.iter().filter(|(_place, out)| out.is_none()).count();
            let taken = places.taken();
            prop_assert_eq!(taken.all, at_work);
            let strangers: usize = taken.held.iter().filter(|(who, _count)| who.is_stranger()).map(|(_who, count)| count).sum();
            prop_assert_eq!(taken.strangers, strangers);
            prop_assert_eq!(taken.held.values().sum::<usize>(), at_work);
        }
    }
}
