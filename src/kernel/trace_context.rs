//! Which trace a piece of work belongs to, and which span of it is at work: W3C Trace Context (Recommendation), 3.2.

use std::{
    fmt,
    num::{NonZeroU64, NonZeroU128},
    str::FromStr,
};

/// Names a trace: 16 bytes, not all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(NonZeroU128);

/// Names a span within a trace: 8 bytes, not all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(NonZeroU64);

/// A span and its trace, as `traceparent` writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    trace: TraceId,
    span: SpanId,
    sampled: bool,
}

/// The text is no `traceparent`: whoever reads one begins a trace of their own then (3.2.2.5 and 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent")]
pub struct MalformedContext;

impl TraceId {
    /// Of random bytes; `None` for zeros.
    #[must_use]
    pub fn new(bytes: [u8; 16]) -> Option<Self> {
        NonZeroU128::new(u128::from_be_bytes(bytes)).map(Self)
    }

    /// Its bytes, as they are exported.
    #[must_use]
    pub const fn bytes(self) -> [u8; 16] {
        self.0.get().to_be_bytes()
    }

    /// Whether it is among so many of a million. The same for every part of a trace, because it goes by the id alone.
    #[must_use]
    pub const fn is_among(self, millionths: u32) -> bool {
        let [.., a, b, c, d, e, f, g, h] = self.bytes();
        let chance = u64::from_be_bytes([a, b, c, d, e, f, g, h]) % 1_000_000;
        chance < wide(millionths)
    }
}

#[expect(clippy::as_conversions, reason = "u32 widens to u64, which a const fn cannot write as From")]
const fn wide(number: u32) -> u64 {
    number as u64
}

impl SpanId {
    /// Of random bytes; `None` for zeros.
    #[must_use]
    pub fn new(bytes: [u8; 8]) -> Option<Self> {
        NonZeroU64::new(u64::from_be_bytes(bytes)).map(Self)
    }

    /// Its bytes, as they are exported.
    #[must_use]
    pub const fn bytes(self) -> [u8; 8] {
        self.0.get().to_be_bytes()
    }
}

impl TraceContext {
    /// A span of a trace; `sampled` says that it is recorded somewhere.
    #[must_use]
    pub const fn new(trace: TraceId, span: SpanId, sampled: bool) -> Self {
        Self { trace, span, sampled }
    }

    /// The trace.
    #[must_use]
    pub const fn trace(self) -> TraceId {
        self.trace
    }

    /// The span.
    #[must_use]
    pub const fn span(self) -> SpanId {
        self.span
    }

    /// Whether whoever made it records it.
    #[must_use]
    pub const fn is_sampled(self) -> bool {
        self.sampled
    }
}

/// Hexadecimal digits of one length, lower-case as the standard demands.
fn hex(text: &str) -> Option<u128> {
    let known = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    text.bytes().all(known).then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

/// So many digits off the front, and what follows them.
fn field(text: &str, digits: usize) -> Option<(u128, &str)> {
    let (field, rest) = text.split_at_checked(digits)?;
    Some((hex(field)?, rest))
}

impl FromStr for TraceContext {
    type Err = MalformedContext;

    /// Reads a `traceparent`. Of a later version the fields that we know are taken, whatever follows them (3.2.4.4).
    fn from_str(text: &str) -> Result<Self, MalformedContext> {
        let read = || {
            let (version, rest) = field(text, 2)?;
            let (trace, rest) = field(rest.strip_prefix('-')?, 32)?;
            let (span, rest) = field(rest.strip_prefix('-')?, 16)?;
            let (flags, rest) = field(rest.strip_prefix('-')?, 2)?;
            let ends = rest.is_empty() || (version != 0 && rest.starts_with('-'));
            let context = Self {
                trace: TraceId(NonZeroU128::new(trace)?),
                span: SpanId(NonZeroU64::new(u64::try_from(span).ok()?)?),
                sampled: flags & 1 == 1,
            };
            (version != 0xff && ends).then_some(context)
        };
        read().ok_or(MalformedContext)
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

#[cfg(test)]
mod tests;
