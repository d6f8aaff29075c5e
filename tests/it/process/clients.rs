//! The worked examples of `clients/`, where their runtime is there: each operation in both formats.

use std::process::Command;

use super::sandbox::Gateway;

const STEPS: [&str; 11] = [
    "CreateGiftCard",
    "CreateGiftCard",
    "CancelGiftCard",
    "ActivateGiftCard",
    "ActivationStatusCheck",
    "DeactivateGiftCard",
    "ValidateAccountForAmazonBalanceLoad",
    "LoadAmazonBalance",
    "VoidAmazonBalanceLoad",
    "GetAvailableFunds",
    "GetGiftCardActivityPage",
];

/// The program that runs an example, what it is asked to prove that it can, and the words that it answers then.
const EXAMPLES: [(&str, &[&str], &[&str]); 4] = [
    ("agcod.py", &["python3", "--version"], &["Python 3"]),
    ("agcod.mjs", &["node", "--version"], &["v"]),
    ("agcod.php", &["php", "-m"], &["curl", "SimpleXML"]),
    ("agcod.sh", &["curl", "--help", "all"], &["--aws-sigv4"]),
];

fn can_run(question: &[&str], words: &[&str]) -> bool {
    let (program, arguments) = question.split_first().unwrap();
    let answered = Command::new(program).args(arguments).output();
    answered.is_ok_and(|answered| {
        let out = String::from_utf8_lossy(&answered.stdout);
        words.iter().all(|word| out.contains(word))
    })
}

#[test]
fn each_example_does_every_operation_in_json_and_in_xml_and_stops_at_a_refusal() {
    let gateway = Gateway::start(&["--no-throttle"]);
    let url = format!("http://{}", gateway.address("gateway"));
    let expected: String = STEPS.iter().map(|step| format!("{step} SUCCESS\n")).collect();
    let mut ran = Vec::new();
    for (file, question, words) in EXAMPLES {
        if !can_run(question, words) {
            println!("skipped {file}: nothing here runs it");
            continue;
        }
        let program = if file == "agcod.sh" { "bash" } else { question.first().unwrap() };
        let path = format!("{}/clients/{file}", env!("CARGO_MANIFEST_DIR"));
        let run = |secret: &str, form: &str| {
            let mut command = Command::new(program);
            command
                .arg(&path)
                .arg(form)
                .env("AGCOD_URL", &url)
                .env("AGCOD_SECRET_ACCESS_KEY", secret)
                .env("NO_PROXY", "*");
            let output = command.output().unwrap();
            (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
        };
        for form in ["json", "xml"] {
            let (code, out, err) = run("sandbox-secret-known-to-everyone", form);
            assert_eq!((code, &out), (Some(0), &expected), "{file} {form}: {err}");
        }
        let (code, out, err) = run("wrong", "json");
        assert_eq!((code, out.as_str()), (Some(1), ""), "{file}: {err}");
        assert!(err.contains("CreateGiftCard 403") && err.contains("String-to-Sign should have been"), "{file}: {err}");
        ran.push(file);
    }
    gateway.stop();
    assert!(ran.contains(&"agcod.py"), "python3 is needed by other tests too: {ran:?}");
}
