//! Enums whose values are words in the store, in metrics and on the wire. strum derives the words from the variants'
//! names; here stands how the house calls what it derives.

/// Gives enums with strum's derives `ALL`, `as_str` and `from_word`.
macro_rules! word_methods {
    ($($name:ty),+ $(,)?) => {
        $(impl $name {
            /// Every value, in the order of the declaration.
            pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;

            /// The value's word.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                self.into()
            }

            /// The value that this word names.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                word.parse().ok()
            }
        })+
    };
}
pub(crate) use word_methods;
