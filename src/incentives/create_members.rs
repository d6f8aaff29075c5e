//! What the create of a gift code says besides its value: what the account's contract asks for, and what the caller names. It is
//! settled in the transaction that records the intent, so that each replay sends the same bytes, whatever the settings say then.
//! Another try after a refusal, which bought nothing, goes by the settings of that time: a program that an operator has mended.

use serde_json::value::RawValue;

use super::{
    issue_error::IssueError,
    kind::{Kind, WrongField},
    model::{Command, Reward},
};
use crate::{
    accounts::Account,
    config::CreateSettings,
    kernel::ProgramId,
    provider::incentives::{CreateMembers, NewMembers},
    store::StoreError,
};

/// The longest reference that Amazon takes. Whether it counts characters or the halves of those beyond the first plane is not
/// known: what has so many halves fits either way.
const REFERENCE_UNITS_MAX: usize = 100;

const NO_RECEIPTS: WrongField = WrongField {
    pointer: "/transaction_source",
    expected: "the account's codes are not printed at tills: leave it out",
};
const LONG_REFERENCE: WrongField =
    WrongField { pointer: "/external_id", expected: "at most 100 characters: the account sends it to Amazon" };
const OTHER_PRODUCT: WrongField =
    WrongField { pointer: "/product_type", expected: "a product that the account's contract names" };

/// Those that a caller names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AskedMembers {
    /// The product of a voucher.
    pub product_type: Option<String>,
    /// The till that prints the code, as JSON.
    pub transaction_source: Option<String>,
}

impl AskedMembers {
    /// What a caller named then.
    #[must_use]
    pub fn of(members: Option<&CreateMembers>) -> Self {
        Self {
            product_type: members.and_then(CreateMembers::product_type),
            transaction_source: members.and_then(CreateMembers::transaction_source).map(str::to_owned),
        }
    }
}

/// Why a command cannot be bought with an account: it names what the account's settings do not.
fn refuse(field: WrongField, expected: &[String]) -> IssueError {
    IssueError::NotOfAccount { field, expected: expected.to_vec() }
}

/// What a create says for this command, with this account, in this program.
pub(super) fn members_of(
    account: &Account,
    command: &Command,
    program: Option<&ProgramId>,
) -> Result<Option<CreateMembers>, IssueError> {
    if command.kind.spec().extended().is_none() {
        return Ok(None);
    }
    let settings = account.create();
    let AskedMembers { product_type, transaction_source } = &command.asked;
    if product_type.as_ref().is_some_and(|product| !settings.product_types.contains(product)) {
        return Err(refuse(OTHER_PRODUCT, &settings.product_types));
    }
    if transaction_source.is_some() && !settings.print_on_receipt {
        return Err(refuse(NO_RECEIPTS, &[]));
    }
    let external_reference = command.external_id.as_deref().filter(|_id| settings.external_reference);
    if external_reference.is_some_and(|reference| reference.encode_utf16().count() > REFERENCE_UNITS_MAX) {
        return Err(refuse(LONG_REFERENCE, &[]));
    }
    write(
        &command.asked,
        NewMembers { program_id: program_of(settings, program), external_reference, ..NewMembers::default() },
    )
}

/// What is kept of a command for which nothing is sent: that the same request is known again.
pub(super) fn members_asked(command: &Command) -> Result<Option<CreateMembers>, IssueError> {
    write(&command.asked, NewMembers::default())
}

fn write(asked: &AskedMembers, members: NewMembers<'_>) -> Result<Option<CreateMembers>, IssueError> {
    // Both were written by this program: neither is refused.
    let bad = || IssueError::from(StoreError::Inconsistent { table: "rewards", column: "create_members" });
    let till = asked.transaction_source.clone().map(RawValue::from_string).transpose().map_err(|_error| bad())?;
    let members =
        NewMembers { product_type: asked.product_type.as_deref(), transaction_source: till.as_deref(), ..members };
    CreateMembers::write(&members).map_err(|_unwritable| bad())
}

/// The program that Amazon has approved: that of the reward's program, or the account's.
fn program_of<'a>(settings: &'a CreateSettings, program: Option<&ProgramId>) -> Option<&'a str> {
    let of_program = program.and_then(|program| settings.programs.get(program));
    of_program.or(settings.program_id.as_ref()).map(String::as_str)
}

/// The word of a reward's kind in its row.
pub(super) fn kind_word(reward: &Reward) -> &'static str {
    let extended = reward.members.as_ref().and_then(|_members| reward.kind.spec().extended());
    extended.unwrap_or(reward.kind.as_str())
}

/// Whether a row of this kind's word keeps members exactly if the word says so.
pub(super) fn is_whole(kind: Kind, word: &str, members: Option<&CreateMembers>) -> bool {
    members.is_some() == (kind.spec().extended() == Some(word))
}
