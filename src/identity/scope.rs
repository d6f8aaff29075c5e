//! What an API key may do. Each slice names its own scopes; `server` gathers them.

use std::fmt;

/// One permission. Its word is that of the REST surface and of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    word: &'static str,
    by_default: bool,
}

impl Scope {
    /// What each caller needs: a new key has it unless its maker says otherwise.
    pub(crate) const fn by_default(word: &'static str) -> Self {
        Self { word, by_default: true }
    }

    /// What a stolen key should not have, and an operator's work: a key has it only when its maker names it.
    pub(crate) const fn on_request(word: &'static str) -> Self {
        Self { word, by_default: false }
    }

    /// The word on the wire and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.word
    }

    /// Whether a key has it although its maker named no scope.
    #[must_use]
    pub const fn is_by_default(self) -> bool {
        self.by_default
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word)
    }
}

/// A word names no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no scope of that name; the scopes are {0}")]
pub struct UnknownScope(String);

/// The text is no list of words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a list of scopes")]
pub(super) struct NotScopes;

/// The scopes of one key, each once. A word that a later version wrote is kept: here it permits nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scopes(Vec<String>);

/// The words that release 0.1.0 knows.
const OF_FIRST_RELEASE: [&str; 9] = [
    "rewards:write",
    "rewards:read",
    "rewards:cancel",
    "claim_codes:reveal",
    "balances:read",
    "ledger:read",
    "programs:read",
    "programs:write",
    "reconciliations:write",
];

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', ',']).filter(|word| !word.is_empty())
}

impl Scopes {
    /// These scopes, in this order.
    pub fn new(scopes: impl IntoIterator<Item = Scope>) -> Self {
        Self(scopes.into_iter().map(|scope| scope.word.to_owned()).collect())
    }

    /// Reads what an operator wrote, words with blanks or commas between; the result has the order of `known`.
    ///
    /// # Errors
    /// [`UnknownScope`] for a word that is not among the known.
    pub fn parse(text: &str, known: &[Scope]) -> Result<Self, UnknownScope> {
        if words(text).all(|word| known.iter().any(|scope| scope.word == word)) {
            return Ok(Self::new(known.iter().copied().filter(|scope| words(text).any(|word| scope.word == word))));
        }
        let known: Vec<&str> = known.iter().map(|scope| scope.word).collect();
        Err(UnknownScope(known.join(", ")))
    }

    /// Reads what the store keeps: those that release 0.1.0 knows, and those that it does not.
    pub(super) fn stored(first: &str, later: &str) -> Result<Self, NotScopes> {
        let in_word = |c: char| c.is_ascii_lowercase() || matches!(c, '_' | ':');
        let all = || words(first).chain(words(later));
        let sound = all().all(|word| word.contains(':') && word.chars().all(in_word));
        sound.then(|| Self(all().map(str::to_owned).collect())).ok_or(NotScopes)
    }

    /// As the store keeps them: those that release 0.1.0 knows, and those that it does not.
    pub(super) fn to_store(&self) -> (String, String) {
        let of_first = |word: &&str| OF_FIRST_RELEASE.contains(word);
        let (first, later): (Vec<&str>, Vec<&str>) = self.iter().partition(of_first);
        (first.join(" "), later.join(" "))
    }

    /// These, and those as well.
    pub(super) fn with_each(mut self, more: impl IntoIterator<Item = Scope>) -> Self {
        self.0.extend(more.into_iter().map(|scope| scope.word.to_owned()));
        self
    }

    /// These, apart from one.
    pub(super) fn without(&self, scope: Scope) -> Self {
        Self(self.0.iter().filter(|word| *word != scope.word).cloned().collect())
    }

    /// Whether `scope` is among them.
    #[must_use]
    pub fn allow(&self, scope: Scope) -> bool {
        self.0.iter().any(|word| word == scope.word)
    }

    /// Each scope's word.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// Words with blanks between, as OAuth writes scopes (RFC 6749, 3.3).
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITE: Scope = Scope::by_default("rewards:write");
    const READ: Scope = Scope::by_default("rewards:read");
    const CANCEL: Scope = Scope::by_default("rewards:cancel");
    const KNOWN: &[Scope] = &[WRITE, READ, CANCEL];

    #[test]
    fn scopes_read_back_and_unknown_words_are_refused() {
        let all = Scopes::new(KNOWN.iter().copied());
        assert_eq!(Scopes::parse(&all.to_string(), KNOWN), Ok(all.clone()));
        assert_eq!(Scopes::stored(&all.to_string(), ""), Ok(all));
        let two = Scopes::parse("rewards:read,rewards:write rewards:read", KNOWN).unwrap();
        assert_eq!(two.to_string(), "rewards:write rewards:read");
        assert!(two.allow(READ) && !two.allow(CANCEL));
        let refused = Scopes::parse("rewards:everything", KNOWN).unwrap_err().to_string();
        assert!(refused.ends_with("the scopes are rewards:write, rewards:read, rewards:cancel"), "{refused}");
    }

    #[test]
    fn a_word_of_a_later_version_permits_nothing_and_is_kept() {
        let later = Scopes::stored("rewards:read", "charges:write").unwrap();
        assert!(later.allow(READ) && !later.allow(WRITE));
        assert_eq!(later.to_string(), "rewards:read charges:write");
        assert_eq!(later.to_store(), ("rewards:read".to_owned(), "charges:write".to_owned()));
        assert_eq!(Scopes::stored("rewards:read; DROP", ""), Err(NotScopes));
        assert_eq!(Scopes::stored("rewards:read", "charges; DROP"), Err(NotScopes));
    }
}
