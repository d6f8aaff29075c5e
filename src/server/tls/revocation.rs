//! Lists of callers' certificates that their authorities have revoked (CRLs).
//!
//! Each authority must have a list that it signed: the library refuses every caller of an authority whose list is missing or is
//! another's, and that is found when the files are read, while the lists before are still in force. A list says until when it holds. The
//! library keeps that to itself, so it is read here, behind the library's own look at the whole list.

use std::{path::Path, sync::Arc};

use chrono::{DateTime, NaiveDateTime, Utc};
use rustls::{
    RootCertStore,
    crypto::CryptoProvider,
    pki_types::{CertificateRevocationListDer, TrustAnchor, pem, pem::PemObject},
};
use webpki::{BorrowedCertRevocationList, CertRevocationList};

use super::TlsError;

/// Tags of DER.
const BIT_STRING: u8 = 0x03;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
/// The first year of two digits that lies in the last century (RFC 5280, 4.1.2.5.1).
const FIRST_OF_LAST_CENTURY: &[u8] = b"50";

/// The lists of a file.
pub(super) struct RevocationLists {
    pub(super) lists: Vec<CertificateRevocationListDer<'static>>,
    /// When the first of them is outdated.
    pub(super) ends: DateTime<Utc>,
}

/// Reads the lists in a file.
///
/// # Errors
/// [`TlsError`] where one cannot be read, or an authority has none.
pub(super) fn read_lists(
    path: &Path,
    text: &[u8],
    authorities: &RootCertStore,
    provider: &Arc<CryptoProvider>,
) -> Result<RevocationLists, TlsError> {
    let content = |source| TlsError::Content { path: path.to_owned(), wanted: "list of revoked certificates", source };
    let lists = CertificateRevocationListDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>().map_err(content)?;
    let unreadable = |source| TlsError::RevocationList { path: path.to_owned(), source };
    let mut read = Vec::with_capacity(lists.len());
    for list in &lists {
        let borrowed = BorrowedCertRevocationList::from_der(list).map_err(unreadable)?;
        let parts = SignedList::of(list).ok_or(webpki::Error::BadDer).map_err(unreadable)?;
        read.push((CertRevocationList::from(borrowed), parts));
    }
    let ends = read.iter().map(|(_list, parts)| parts.ends).min();
    let ends = ends.ok_or_else(|| content(pem::Error::NoItemsFound))?;
    let has_list = |authority: &&TrustAnchor<'_>| {
        read.iter().any(|(list, parts)| {
            list.issuer() == authority.subject.as_ref()
                && parts.is_signed_by(&authority.subject_public_key_info, provider)
        })
    };
    match authorities.roots.iter().filter(|authority| !has_list(authority)).count() {
        0 => {
            drop(read);
            Ok(RevocationLists { lists, ends })
        }
        count => Err(TlsError::UnlistedAuthorities { path: path.to_owned(), count }),
    }
}

/// A list in its parts: what is signed, by which algorithm, and the signature.
struct SignedList<'a> {
    signed: &'a [u8],
    algorithm: &'a [u8],
    signature: &'a [u8],
    ends: DateTime<Utc>,
}

impl<'a> SignedList<'a> {
    /// Of a list that the library has looked at: its fields are there, in their order.
    fn of(list: &'a [u8]) -> Option<Self> {
        let mut parts = DerElements(DerElements(list).tagged(SEQUENCE)?);
        let signed = parts.next()?;
        let (algorithm, signature) = (parts.tagged(SEQUENCE)?, bits(parts.tagged(BIT_STRING)?)?);
        // Version, algorithm, issuer, when it was made; and then when the next one is.
        let ends = instant(&DerElements(signed.content).nth(4)?)?;
        Some(Self { signed: signed.whole, algorithm, signature, ends })
    }

    fn is_signed_by(&self, public_key_info: &[u8], provider: &CryptoProvider) -> bool {
        let mut parts = DerElements(public_key_info);
        let Some((key_algorithm, key)) = parts.tagged(SEQUENCE).zip(parts.tagged(BIT_STRING).and_then(bits)) else {
            return false;
        };
        provider.signature_verification_algorithms.all.iter().any(|one| {
            one.signature_alg_id().as_ref() == self.algorithm
                && one.public_key_alg_id().as_ref() == key_algorithm
                && one.verify_signature(key, self.signed, self.signature).is_ok()
        })
    }
}

/// The bytes of a bit string that has no unused bits.
fn bits(content: &[u8]) -> Option<&[u8]> {
    content.strip_prefix(&[0])
}

/// The instant of one of DER's two forms.
fn instant(DerElement { tag, content, .. }: &DerElement<'_>) -> Option<DateTime<Utc>> {
    let text = std::str::from_utf8(content).ok()?;
    let text = match *tag {
        UTC_TIME if *content < FIRST_OF_LAST_CENTURY => format!("20{text}"),
        UTC_TIME => format!("19{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    NaiveDateTime::parse_from_str(&text, "%Y%m%d%H%M%SZ").ok().map(|at| at.and_utc())
}

/// One element of DER: with its tag and its length, and without.
struct DerElement<'a> {
    tag: u8,
    content: &'a [u8],
    whole: &'a [u8],
}

/// The elements of a DER text, one after the other.
struct DerElements<'a>(&'a [u8]);

impl<'a> DerElements<'a> {
    /// The content of the next element, which must have this tag.
    fn tagged(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|element| element.tag == tag).map(|element| element.content)
    }
}

impl<'a> Iterator for DerElements<'a> {
    type Item = DerElement<'a>;

    fn next(&mut self) -> Option<DerElement<'a>> {
        let (&[tag, first], behind) = self.0.split_first_chunk::<2>()?;
        // Below 128 the byte is the length. Else its lower bits count the bytes of the length.
        let (length, behind) = match first.checked_sub(0x80) {
            None => (usize::from(first), behind),
            Some(count) => {
                let (digits, behind) = behind.split_at_checked(usize::from(count))?;
                let add = |length: usize, digit: &u8| length.checked_mul(256)?.checked_add(usize::from(*digit));
                (digits.iter().try_fold(0, add)?, behind)
            }
        };
        let (content, rest) = behind.split_at_checked(length)?;
        let whole = self.0.get(..self.0.len().checked_sub(rest.len())?)?;
        self.0 = rest;
        Some(DerElement { tag, content, whole })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_follow_each_other_and_what_is_cut_is_none() {
        let long = [&[0x04, 0x81, 0x80][..], &[7; 128], &[0x02, 0x01, 0x05]].concat();
        let all: Vec<_> = DerElements(&long).map(|one| (one.tag, one.content.len(), one.whole.len())).collect();
        assert_eq!(all, [(0x04, 128, 131), (0x02, 1, 3)]);
        for cut in [&[0x04][..], &[0x04, 0x02, 0x01], &[0x04, 0x81], &[0x04, 0x82, 0x01], &[0x04, 0xff, 0x01]] {
            assert!(DerElements(cut).next().is_none(), "{cut:?}");
        }
        let endless = [&[0x04, 0x89][..], &[0xff; 9], &[0; 20]].concat();
        assert!(DerElements(&endless).next().is_none(), "its length is none that a machine has");
    }

    #[test]
    fn both_forms_of_an_instant_are_read() {
        let read = |tag, text: &str| instant(&DerElement { tag, content: text.as_bytes(), whole: &[] });
        let at = |text: &str| Some(text.parse().unwrap());
        assert_eq!(read(UTC_TIME, "301231235959Z"), at("2030-12-31T23:59:59Z"));
        assert_eq!(read(UTC_TIME, "491231235959Z"), at("2049-12-31T23:59:59Z"));
        assert_eq!(read(UTC_TIME, "500101000000Z"), at("1950-01-01T00:00:00Z"));
        assert_eq!(read(GENERALIZED_TIME, "20510101000000Z"), at("2051-01-01T00:00:00Z"));
        for (tag, bad) in [(UTC_TIME, "3012312359Z"), (UTC_TIME, "301331235959Z"), (SEQUENCE, "301231235959Z")] {
            assert_eq!(read(tag, bad), None, "{bad}");
        }
    }
}
