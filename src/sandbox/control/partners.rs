//! Partners and keys while the sandbox runs, as in Amazon's portal.

use std::sync::Arc;

use serde::Serialize;

use super::{Control, ControlError};
use crate::sandbox::partners::{AccessKey, PartnerAccount, PartnerEntry, PartnerTerms, ShownKey};

/// A partner as it is shown: without secrets.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ShownPartner {
    /// Amazon's id of the partner.
    pub partner_id: String,
    /// The currencies of its cards.
    pub currencies: Vec<String>,
    /// What its contract says.
    pub terms: PartnerTerms,
    /// Its keys.
    pub keys: Vec<ShownKey>,
}

impl Control {
    /// Every partner, in the order in which they came.
    #[must_use]
    pub fn partners(&self) -> Vec<ShownPartner> {
        let shown = |account: &PartnerAccount| ShownPartner {
            partner_id: account.partner_id.clone(),
            currencies: account.currencies().into_iter().map(str::to_owned).collect(),
            terms: account.terms.clone(),
            keys: account.keys.iter().map(|key| ShownKey { id: key.id.clone(), active: key.active }).collect(),
        };
        self.world.partners.all().iter().map(|account| shown(account)).collect()
    }

    /// Whether a key signs with this secret.
    #[must_use]
    pub fn signs_with(&self, key_id: &str, secret: &str) -> bool {
        self.world.partners.secret_of(key_id).is_some_and(|own| own == secret)
    }

    /// Adds a partner, or replaces the one of that id. Its cards stay, and so does what it has left in a currency that it had.
    pub fn put_partner(&self, entry: PartnerEntry) -> Result<(), ControlError> {
        let account = entry.account().map_err(ControlError::Partner)?;
        self.change(|_partners| Ok(account))
    }

    /// Changes what a partner's contract says.
    pub fn set_terms(&self, partner_id: &str, terms: PartnerTerms) -> Result<(), ControlError> {
        self.change(|partners| Ok(PartnerAccount { terms, ..named(partners, partner_id)? }))
    }

    /// Adds a key pair. With no pair given the sandbox makes one, and this is the only time that it shows the secret.
    pub fn add_key(&self, partner_id: &str, pair: Option<AccessKey>) -> Result<AccessKey, ControlError> {
        let chance = &self.world.chance;
        let pair = pair.unwrap_or_else(|| AccessKey::active(chance.access_key_id(), chance.secret_access_key()));
        self.change(|partners| {
            let mut account = named(partners, partner_id)?;
            account.keys.push(pair.clone());
            Ok(account)
        })?;
        Ok(pair)
    }

    /// Activates or deactivates a key.
    pub fn set_key_active(&self, key_id: &str, active: bool) -> Result<(), ControlError> {
        self.change(|partners| {
            let mut account = of_key(partners, key_id)?;
            account.keys.iter_mut().filter(|key| key.id == key_id).for_each(|key| key.active = active);
            Ok(account)
        })
    }

    /// Deletes a key for good. It must have been deactivated, and its partner must have another.
    pub fn delete_key(&self, key_id: &str) -> Result<(), ControlError> {
        self.change(|partners| {
            let mut account = of_key(partners, key_id)?;
            if account.keys.iter().any(|key| key.id == key_id && key.active) {
                return Err(ControlError::ActiveKey(key_id.to_owned()));
            }
            account.keys.retain(|key| key.id != key_id);
            Ok(account)
        })
    }

    /// Puts the account into force once the book file has it.
    fn change(
        &self,
        make: impl FnOnce(&[Arc<PartnerAccount>]) -> Result<PartnerAccount, ControlError>,
    ) -> Result<(), ControlError> {
        self.world.partners.change(make, |account| Ok(self.world.book.keep_partner(account)?))
    }
}

fn named(partners: &[Arc<PartnerAccount>], partner_id: &str) -> Result<PartnerAccount, ControlError> {
    let found = partners.iter().find(|account| account.partner_id == partner_id);
    found.map(|account| account.as_ref().clone()).ok_or_else(|| ControlError::UnknownPartner(partner_id.to_owned()))
}

fn of_key(partners: &[Arc<PartnerAccount>], key_id: &str) -> Result<PartnerAccount, ControlError> {
    let found = partners.iter().find(|account| account.keys.iter().any(|key| key.id == key_id));
    found.map(|account| account.as_ref().clone()).ok_or_else(|| ControlError::UnknownKey(key_id.to_owned()))
}
