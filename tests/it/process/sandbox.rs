//! `noshi sandbox` as a process: what it prints, what it refuses, and how it is asked whether it is well.

use std::{
    io::{BufRead, BufReader, Lines, Read},
    process::{Child, ChildStdout, Command, Stdio},
};

use tempfile::TempDir;

use super::noshi;

/// A running sandbox, and the lines that it printed until it served.
pub(super) struct Gateway {
    child: Child,
    said: Vec<String>,
    /// Of several partners it goes on to print the others.
    stdout: Option<Lines<BufReader<ChildStdout>>>,
}

impl Gateway {
    /// On free ports, unless the arguments name others.
    pub(super) fn start(arguments: &[&str]) -> Self {
        let mut command = noshi();
        command.args(["sandbox", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"]).args(arguments);
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said: Vec<String> = Vec::new();
        while !said.last().is_some_and(|line| line.starts_with("partner ")) {
            said.push(stdout.next().expect("it ended before it served").unwrap());
        }
        Self { child, said, stdout: Some(stdout) }
    }

    /// The address behind a word.
    pub(super) fn address(&self, word: &str) -> String {
        let line = self.said.iter().find(|line| line.starts_with(word)).unwrap();
        let rest = line.split_whitespace().nth(1).unwrap();
        rest.split_once("://").map_or(rest, |(_scheme, address)| address).to_owned()
    }

    /// Stops it, and gives what it wrote to standard error.
    pub(super) fn stop(mut self) -> String {
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
        let mut lines = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut lines).unwrap();
        }
        lines
    }
}

/// Sends bytes and reads to the end.
fn send(address: &str, request: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

const UNSIGNED: &str = "POST /CreateGiftCard HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
const HEALTH: &str = "GET /sping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

#[test]
fn it_prints_where_it_is_and_its_public_key_pair_and_a_line_for_each_refusal() {
    let gateway = Gateway::start(&[]);
    let last = gateway.said.last().unwrap();
    assert_eq!(last, "partner Awssb access key AKIDSANDBOX secret sandbox-secret-known-to-everyone");
    let (address, control) = (gateway.address("gateway"), gateway.address("control"));
    assert!(send(&address, HEALTH).ends_with("\r\n\r\nhealthy"));
    assert!(send(&address, UNSIGNED).contains("Missing Authentication Token"));
    let well = noshi().args(["sandbox", "--healthcheck", "--control", &control]).output().unwrap();
    assert_eq!((well.status.code(), String::from_utf8(well.stdout).unwrap().as_str()), (Some(0), "serving\n"));
    let lines = gateway.stop();
    let words = "refused CreateGiftCard: 403 MissingAuthenticationTokenException: Missing Authentication Token";
    assert!(lines.lines().any(|line| line.ends_with(words)), "{lines}");
    assert_eq!(lines.lines().count(), 1, "{lines}");
    let gone = noshi().args(["sandbox", "--healthcheck", "--control", &control]).output().unwrap();
    assert_eq!(gone.status.code(), Some(1));
}

#[test]
fn several_partners_come_from_a_file_and_a_wrong_file_is_refused_by_what_is_wrong() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("partners.toml");
    let start = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let mut command = noshi();
        command.args(["sandbox", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--partners"]).arg(&file);
        command
    };
    let two = "[[partners]]\npartner_id = \"Awssb\"\nmarketplace = \"US\"\nkeys = [{ id = \"AKIDA\", secret = \"hidden-a\" }]\n\
               [[partners]]\npartner_id = \"Japan\"\nmarketplace = \"JP\"\nfunds = \"5000\"\n\
               keys = [{ id = \"AKIDB\", secret = \"hidden-b\", active = false }, { id = \"AKIDC\", secret = \"hidden-c\" }]\n";
    let gateway = Gateway::spawn(start(two));
    assert_eq!(gateway.said.last().unwrap(), "partner Awssb access key AKIDA", "the first of two; no secret");
    let page = send(&gateway.address("control"), &HEALTH.replace("/sping", "/funds"));
    for funds in [r#""partner_id":"Awssb","currency":"USD","amount":"100000""#, r#""currency":"JPY","amount":"5000""#] {
        assert!(page.contains(funds), "{page}");
    }
    assert!(!gateway.stop().contains("hidden-"));
    for (text, wrong) in [
        ("partners = []", "at least one account"),
        (&two.replace("\"JP\"", "\"JAPAN\""), "marketplace of partner Japan must be one of US, CA"),
        (&two.replace("\"5000\"", "\"50.5\""), "the funds of partner Japan have a smaller unit than JPY"),
        (&two.replace("Japan", "japan"), "begin with a capital letter"),
        (&two.replace("AKIDC", "AKIDA"), "another partner has the access key \"AKIDA\""),
        (&two.replace("active = false", "activ = false"), "line 9: unknown field `activ`"),
        (&two.replace("funds = \"5000\"", "funds = 5000"), "line 8: "),
    ] {
        let output = start(text).output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!output.status.success() && said.contains(wrong), "{wrong}: {said}");
        assert!(!said.contains("hidden-"), "{said}");
    }
    let both = start(two).args(["--partner-id", "Awssb"]).output().unwrap();
    assert_eq!(both.status.code(), Some(2));
}

/// As in `noshi sandbox | head -2`: whoever reads its lines has what they want, and goes before the last one.
#[test]
fn a_sandbox_whose_reader_has_gone_goes_on_serving() {
    // More lines than a pipe holds: it cannot have printed the last one.
    let partners = (0..2_000).map(|at| {
        format!(
            "[[partners]]\npartner_id = \"P{at:04}\"\nkeys = [{{ id = \"AKID{at:04}\", secret = \"of everyone\" }}]\n"
        )
    });
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("partners.toml");
    std::fs::write(&file, partners.collect::<String>()).unwrap();
    let mut command = noshi();
    // Said on standard error after the last line of standard output.
    command.args(["sandbox", "--listen", "0.0.0.0:0", "--control", "127.0.0.1:0", "--partners"]).arg(&file);
    let mut gateway = Gateway::spawn(command);
    let control = gateway.address("control");
    drop(gateway.stdout.take());
    let mut lines = BufReader::new(gateway.child.stderr.take().unwrap()).lines();
    let last = lines.find_map(|line| line.ok().filter(|line| line.contains("where other machines reach it")));
    assert!(last.is_some(), "it ended: {:?}", gateway.child.wait());
    let well = noshi().args(["sandbox", "--healthcheck", "--control", &control]).output().unwrap();
    assert_eq!(well.status.code(), Some(0), "{well:?}");
    gateway.stop();
}

/// The public secret opens nothing but its own key. What the book has of partners overrides the options.
#[test]
fn a_secret_is_printed_for_the_key_that_it_opens_and_for_no_other() {
    let folder = TempDir::new().unwrap();
    let book = folder.path().join("book.jsonl");
    let public = "sandbox-secret-known-to-everyone";
    let key = |id: &str, secret: &str, active| format!(r#"{{"id":"{id}","secret":"{secret}","active":{active}}}"#);
    let keys = [key("AKIDSANDBOX", public, false), key("AKIDNEW", "hidden", true), key("AKIDOPEN", public, true)];
    let partner = format!(r#"{{"entry":"partner","partner":{{"partner_id":"Awssb","keys":[{}]}}}}"#, keys.join(","));
    std::fs::write(&book, partner + "\n").unwrap();
    let mut gateway = Gateway::start(&["--book", book.to_str().unwrap()]);
    gateway.said.push(gateway.stdout.as_mut().unwrap().next().unwrap().unwrap());
    let partners: Vec<&String> = gateway.said.iter().filter(|line| line.starts_with("partner ")).collect();
    let open = format!("partner Awssb access key AKIDOPEN secret {public}");
    assert_eq!(partners, ["partner Awssb access key AKIDNEW", &open]);
    gateway.stop();
}

/// The image's own words, so that what is shown is what it runs.
#[test]
fn the_image_of_the_sandbox_starts_it_for_other_machines_and_finds_it_well() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/k8s/image/Dockerfile.sandbox")).unwrap();
    let words = |instruction: &str| -> Vec<String> {
        let line = text.lines().find(|line| line.contains(instruction)).unwrap();
        serde_json::from_str(line.get(line.find('[').unwrap()..).unwrap()).unwrap()
    };
    let command: Vec<String> = words("CMD [\"sandbox\"").iter().map(|word| word.replace(":808", ":0#808")).collect();
    let free: Vec<&str> = command.iter().map(|word| word.split('#').next().unwrap()).collect();
    assert_eq!(free, ["sandbox", "--listen", "0.0.0.0:0", "--control", "0.0.0.0:0"]);
    let mut start = noshi();
    start.args(&free);
    let gateway = Gateway::spawn(start);
    let check = words("HEALTHCHECK");
    assert_eq!(check.first().map(String::as_str), Some("/usr/local/bin/noshi"));
    let at = gateway.address("control");
    let well = noshi().args(check.iter().skip(1)).args(["--control", &at]).output().unwrap();
    assert_eq!(well.status.code(), Some(0), "{well:?}");
    let lines = gateway.stop();
    assert_eq!(lines.matches("where other machines reach it").count(), 2, "{lines}");
}

#[test]
fn help_names_every_fault_every_mock_id_and_what_is_limited() {
    let output = noshi().args(["sandbox", "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let guide =
        [noshi::sandbox::guide::faults(), noshi::sandbox::guide::mock_ids(), noshi::sandbox::guide::limits()].concat();
    assert!(guide.len() > 50);
    for line in guide {
        assert!(help.contains(&line.name) && help.contains(&line.about), "{line:?} is missing in\n{help}");
    }
    for option in ["--no-throttle", "--partners", "--tls", "sandbox-secret-known-to-everyone"] {
        assert!(help.contains(option), "{option}");
    }
}
