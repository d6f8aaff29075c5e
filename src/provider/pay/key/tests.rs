//! Keys as files of other programs hold them, made by openssl.

use std::process::{Command, Stdio};

use super::*;

/// What openssl writes when it is called like this.
pub(in crate::provider::pay) fn openssl(arguments: &[&str]) -> Vec<u8> {
    let done = Command::new("openssl").args(arguments).stderr(Stdio::null()).output().unwrap();
    assert!(done.status.success(), "openssl {arguments:?}");
    done.stdout
}

fn made(kind: &[&str]) -> String {
    String::from_utf8(openssl(&[&["genpkey"], kind].concat())).unwrap()
}

pub(in crate::provider::pay) fn rsa_pem() -> String {
    made(&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
}

fn key(pem: &str) -> Result<MerchantKey, MerchantKeyProblem> {
    MerchantKey::new("SANDBOX-AAAABBBBCCCCDDDDEEEEFFFF", &pem.into())
}

#[test]
fn a_key_is_read_from_pkcs8_and_from_pkcs1_and_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.pem");
    let pkcs8 = rsa_pem();
    std::fs::write(&file, &pkcs8).unwrap();
    let pkcs1 = String::from_utf8(openssl(&["rsa", "-traditional", "-in", file.to_str().unwrap()])).unwrap();
    assert!(pkcs8.contains("BEGIN PRIVATE KEY") && pkcs1.contains("BEGIN RSA PRIVATE KEY"));
    assert_eq!(key(&pkcs8).unwrap().public_key(), key(&pkcs1).unwrap().public_key());
    let windows = pkcs8.replace('\n', "\r\n");
    assert!(key(&format!("made by a person\n{windows}")).is_ok(), "text before the key, and the line ends of Windows");
}

#[test]
fn what_is_no_key_for_this_says_what_it_is_and_what_to_do() {
    let short = made(&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"]);
    let curve = made(&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    let pss_only = made(&["-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"]);
    let encrypted = made(&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-aes256", "-pass", "pass:x"]);
    let openssh = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaA==\n-----END OPENSSH PRIVATE KEY-----\n";
    let public = "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n";
    for (pem, problem, said) in [
        (short.as_str(), MerchantKeyProblem::TooShort, "rsa_keygen_bits:2048"),
        (&curve, MerchantKeyProblem::NotRsa, "openssl genpkey"),
        (&pss_only, MerchantKeyProblem::NotRsa, "openssl genpkey"),
        (&encrypted, MerchantKeyProblem::Encrypted, "openssl pkey"),
        (openssh, MerchantKeyProblem::OpenSsh, "OPENSSH file"),
        (public, MerchantKeyProblem::NotPem, "PKCS#8 (BEGIN PRIVATE KEY)"),
        ("", MerchantKeyProblem::NotPem, "openssl genpkey"),
    ] {
        assert_eq!(key(pem).unwrap_err(), problem);
        assert!(problem.to_string().contains(said), "{problem}");
    }
}

#[test]
fn a_public_key_id_is_plain_and_may_name_its_environment() {
    let pem: SecretString = rsa_pem().into();
    for (id, environment) in [
        ("SANDBOX-AAAABBBB", Some(Environment::Sandbox)),
        ("sandboxAAAA", Some(Environment::Sandbox)),
        ("LIVE-AAAABBBB", Some(Environment::Production)),
        ("AGABCDEFLIVE", None),
    ] {
        assert_eq!(MerchantKey::new(id, &pem).unwrap().environment(), environment, "{id}");
    }
    for id in ["", "LIVE AAAA", "LIVE,AAAA", "é", &"A".repeat(65)] {
        assert_eq!(MerchantKey::new(id, &pem).unwrap_err(), MerchantKeyProblem::PublicKeyId, "{id:?}");
    }
}

#[test]
fn a_key_prints_nothing_of_itself() {
    let key = key(&rsa_pem()).unwrap();
    assert_eq!(format!("{key:?} {key:#?}"), "MerchantKey([REDACTED]) MerchantKey([REDACTED])");
}
