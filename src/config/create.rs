//! What the create of a gift code says besides its value, as the account's contract has it.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::source::Section;
use crate::kernel::ProgramId;

/// Letters and digits of Amazon's longest id of a program, and of its longest name of a product.
const PROGRAM_LENGTH_MAX: usize = 100;
const PRODUCT_LENGTH_MAX: usize = 50;

/// What goes along with a create, and what its caller may name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CreateSettings {
    /// Amazon's id of a reseller's program, for rewards whose program has none of its own.
    pub program_id: Option<String>,
    /// Amazon's ids of programs, by ours.
    pub programs: BTreeMap<ProgramId, String>,
    /// The products of vouchers that callers may name.
    pub product_types: Vec<String>,
    /// The reward's `external_id` is sent, and Amazon's portal shows it.
    pub external_reference: bool,
    /// Callers may name the till that prints the code.
    pub print_on_receipt: bool,
}

/// Reads an account's part of it.
pub(super) fn create(section: &mut Section<'_>) -> CreateSettings {
    let listed = section.tables("amazon_programs", program);
    let mut programs = BTreeMap::new();
    for (ours, theirs) in listed {
        if programs.insert(ours, theirs).is_some() {
            section.refuse("amazon_programs", "lists a program_id twice");
        }
    }
    let product_types = section.texts("product_types").unwrap_or_default();
    let twice = |(at, product): (usize, &String)| product_types.iter().take(at).any(|other| other == product);
    let is_word = |product: &String| is_amazons_word(product, PRODUCT_LENGTH_MAX);
    if !product_types.iter().all(is_word) || product_types.iter().enumerate().any(twice) {
        let why = format!("must list words of 1 to {PRODUCT_LENGTH_MAX} ASCII letters and digits, each once");
        section.refuse("product_types", &why);
    }
    CreateSettings {
        program_id: section.text("amazon_program_id", amazon_program_id),
        programs,
        product_types,
        external_reference: section.flag("external_reference").unwrap_or(false),
        print_on_receipt: section.flag("print_on_receipt").unwrap_or(false),
    }
}

fn program(table: &Table) -> Result<(ProgramId, String), String> {
    let text = |key: &str| table.get(key).and_then(Value::as_str);
    let (Some(ours), Some(theirs), 2) = (text("program_id"), text("amazon_program_id"), table.len()) else {
        return Err("each needs a program_id and an amazon_program_id, both texts, and nothing else".to_owned());
    };
    let ours = ours.parse().map_err(|_malformed| "a program_id is prg_ and 1 to 40 of a-z 0-9 _".to_owned())?;
    Ok((ours, amazon_program_id(theirs)?))
}

fn amazon_program_id(text: &str) -> Result<String, String> {
    if is_amazons_word(text, PROGRAM_LENGTH_MAX) {
        return Ok(text.to_owned());
    }
    Err(format!("an amazon_program_id has 1 to {PROGRAM_LENGTH_MAX} ASCII letters and digits"))
}

fn is_amazons_word(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
