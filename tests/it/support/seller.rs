//! A seller's account at Amazon Pay, where a test wants one.

use std::{process::Command, sync::LazyLock};

use noshi::sandbox::{Control, NewConsent, NewMwsAgreement, NewMwsSeller, NewPayMerchant};

/// The merchant, as Amazon names it.
pub(crate) const MERCHANT: &str = "A1MERCHANTEXAMPLE";
/// Its page, as Amazon names it.
pub(crate) const STORE_ID: &str = "amzn1.application-oa2-client.0000";
/// The id of its public key.
pub(crate) const PUBLIC_KEY_ID: &str = "SANDBOX-AGCANARYAGCANARYAGCANARY";

/// The id of its access key, and the secret, in MWS.
const MWS_KEY_ID: &str = "AKIDMWSEXAMPLE";
const MWS_SECRET: &str = "AGCANARYMWSSECRETAGCANARY";

/// The merchant's pair of keys: the private one, which is a canary, and the public one. No key is kept in the repository.
static KEYS: LazyLock<(String, String)> = LazyLock::new(|| {
    let openssl = |arguments: &[&str], input: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("in.pem");
        std::fs::write(&file, input).unwrap();
        let done = Command::new("openssl").args(arguments).arg("-in").arg(&file).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let arguments = ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
    let made = Command::new("openssl").args(arguments).output().expect("these tests need openssl");
    let private = String::from_utf8(made.stdout).unwrap();
    let public = openssl(&["pkey", "-pubout"], &private);
    (private, public)
});

/// The merchant's private key, as PEM.
pub(crate) fn private_key() -> &'static str {
    &KEYS.0
}

/// What names the account in the settings: `shop`.
pub(super) fn environment(gateway: &str, mws: bool) -> Vec<(String, String)> {
    let shared = [("REGION", "jp"), ("ENVIRONMENT", "sandbox"), ("SANDBOX_GATEWAY", gateway)];
    let checkout = [
        ("PUBLIC_KEY_ID", PUBLIC_KEY_ID),
        ("PRIVATE_KEY", private_key()),
        ("MERCHANT_ID", MERCHANT),
        ("STORE_ID", STORE_ID),
    ];
    let older =
        [("DRIVER", "mws"), ("SELLER_ID", MERCHANT), ("ACCESS_KEY_ID", MWS_KEY_ID), ("SECRET_ACCESS_KEY", MWS_SECRET)];
    let own = if mws { older.as_slice() } else { checkout.as_slice() };
    let named = |(name, value): &(&str, &str)| (format!("NOSHI__PAY__SHOP__{name}"), (*value).to_owned());
    shared.iter().chain(own).map(named).collect()
}

/// Makes the merchant known to the sandbox.
pub(super) fn register(control: &Control) {
    let merchant = NewPayMerchant {
        merchant_id: MERCHANT.to_owned(),
        public_key_id: PUBLIC_KEY_ID.to_owned(),
        public_key: KEYS.1.clone(),
    };
    control.register_pay_merchant(merchant).unwrap();
    let [seller_id, access_key_id, secret_access_key] = [MERCHANT, MWS_KEY_ID, MWS_SECRET].map(str::to_owned);
    control.register_mws_seller(NewMwsSeller { seller_id, access_key_id, secret_access_key }).unwrap();
}

/// The same in MWS: a billing agreement that is open.
pub(crate) fn agreement(control: &Control, limit: u32) -> String {
    let [seller_id, currency] = [MERCHANT, "JPY"].map(str::to_owned);
    let new = NewMwsAgreement { seller_id, limit: limit.to_string(), open: true, currency };
    control.mws_agreement(new).unwrap()
}

/// What a buyer consents to: charges that recur, so much a month. The last four digits of the card say what becomes of them.
pub(crate) fn consent(control: &Control, limit: u32, card: &str) -> String {
    let consent = NewConsent {
        merchant_id: MERCHANT.to_owned(),
        limit: limit.to_string(),
        recurring: true,
        currency: "JPY".to_owned(),
        card: card.to_owned(),
        reference: None,
    };
    control.consent(consent).unwrap()
}
