//! How many of something each owner holds at once.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The counts of all owners. Cheap to clone; all clones are the same.
#[derive(Debug)]
pub struct HeldCounts<K>(Arc<Mutex<HashMap<K, usize>>>);

/// One that is held; free again when it is dropped.
#[derive(Debug)]
#[must_use = "it is free again when it is dropped"]
pub struct HeldOne<K: Eq + Hash> {
    of: HeldCounts<K>,
    owner: K,
}

impl<K> Clone for HeldCounts<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K> Default for HeldCounts<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Eq + Hash + Clone> HeldCounts<K> {
    /// Takes one for this owner, where `may` allows it by the counts of all. An owner who has none is in no count.
    pub fn take_if(&self, owner: K, may: impl FnOnce(&HashMap<K, usize>) -> bool) -> Option<HeldOne<K>> {
        let mut counts = self.counts();
        if !may(&counts) {
            return None;
        }
        let count = counts.entry(owner.clone()).or_default();
        *count = count.saturating_add(1);
        Some(HeldOne { of: self.clone(), owner })
    }
}

impl<K: Eq + Hash> HeldCounts<K> {
    /// The counts; no one of them is zero.
    pub fn counts(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Drop for HeldOne<K> {
    fn drop(&mut self) {
        let mut counts = self.of.counts();
        if let Some(count) = counts.get_mut(&self.owner) {
            *count = count.saturating_sub(1);
        }
        if counts.get(&self.owner) == Some(&0) {
            counts.remove(&self.owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_is_forgotten_and_what_is_refused_is_not_counted() {
        let held = HeldCounts::default();
        let (one, two) = (held.take_if("a", |_counts| true), held.take_if("a", |counts| counts["a"] == 1));
        assert!(held.take_if("b", |counts| counts["a"] < 2).is_none());
        assert_eq!(*held.counts(), HashMap::from([("a", 2)]));
        drop(one);
        assert_eq!(*held.counts(), HashMap::from([("a", 1)]));
        drop(two);
        assert!(held.counts().is_empty());
    }
}
