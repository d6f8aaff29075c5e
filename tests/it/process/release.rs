//! `k8s/release`: what it makes of a tagged commit, and what it refuses. In a clone of its own, with the program that is tested.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// A clone with the script of this tree.
struct Tagged(tempfile::TempDir);

/// How a command ended: whether well, stdout and stderr.
type Ran = (bool, String, String);

fn ran(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

impl Tagged {
    fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let from = format!("file://{}", root.display());
        let (well, _out, err) =
            ran(Command::new("git").args(["clone", "--quiet", "--depth", "1", &from]).arg(folder.path().join("noshi")));
        assert!(well, "{err}");
        let clone = Self(folder);
        fs::copy(root.join("k8s/release"), clone.path("k8s/release")).unwrap();
        let changes = fs::read_to_string(clone.path("CHANGELOG.md")).unwrap();
        let (head, rest) = changes.split_once("## Unreleased").unwrap();
        let released = rest.split_once(&format!("## {VERSION}")).unwrap().1;
        fs::write(clone.path("CHANGELOG.md"), format!("{head}## Unreleased\n\n## {VERSION}{released}")).unwrap();
        clone.commit();
        // Instead of the program, which has a hundred megabytes here, what starts it.
        let starts = format!("#!/bin/sh\nexec {} \"$@\"\n", env!("CARGO_BIN_EXE_noshi"));
        fs::write(clone.program(), starts).unwrap();
        fs::set_permissions(clone.program(), fs::Permissions::from_mode(0o755)).unwrap();
        clone
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("noshi").join(name)
    }

    fn program(&self) -> PathBuf {
        self.0.path().join("program")
    }

    fn git(&self, words: &[&str]) -> String {
        let (well, out, err) = ran(Command::new("git").args(words).current_dir(self.path("")));
        assert!(well, "{words:?}: {err}");
        out
    }

    fn commit(&self) {
        self.git(&["add", "--all"]);
        let who = ["-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"];
        self.git(&[&who[..], &["commit", "--quiet", "--allow-empty", "--message", "test"]].concat());
    }

    fn release(&self, out: &str, more: &[&str]) -> Ran {
        let mut command = Command::new("python3");
        command
            .arg(self.path("k8s/release"))
            .arg("--out")
            .arg(self.0.path().join(out))
            .arg("--without-sbom")
            .args(more);
        ran(command.env("NOSHI", self.program()))
    }

    /// Whether the files are those that were released.
    fn verify(&self, out: &str) -> bool {
        ran(Command::new("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).current_dir(self.0.path().join(out)))
            .0
    }
}

const IMAGE: &str =
    "registry.example/gifts/noshi@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[test]
fn a_tagged_commit_becomes_archives_sums_provenance_and_manifests_by_digest_and_nothing_else_does() {
    let clone = Tagged::make();
    let tag = format!("v{VERSION}");
    clone.git(&["tag", "v99.0.0"]);
    let (well, _out, err) = clone.release("none", &[]);
    assert!(!well && err.contains(&format!("no tag {tag}, the version of Cargo.toml; its tags: v99.0.0")), "{err}");
    clone.git(&["tag", &tag]);
    fs::write(clone.path("left"), "").unwrap();
    assert!(clone.release("none", &[]).2.contains("changes that are not committed"));
    fs::remove_file(clone.path("left")).unwrap();
    let changes = fs::read_to_string(clone.path("CHANGELOG.md")).unwrap();
    fs::write(clone.path("CHANGELOG.md"), changes.replace("## Unreleased\n", "## Unreleased\n\nA change.\n")).unwrap();
    clone.commit();
    clone.git(&["tag", "--force", &tag]);
    assert!(clone.release("none", &[]).2.contains("has changes under Unreleased"));
    clone.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    clone.git(&["tag", "--force", &tag]);
    assert!(clone.release("none", &["--image", "noshi:latest"]).2.contains("--image: expected a name and a digest"));
    assert!(!clone.0.path().join("none").exists());

    let (well, listed, err) = clone.release("one", &["--image", IMAGE]);
    assert!(well, "{err}");
    let out = clone.0.path().join("one");
    for name in ["-x86_64-unknown-linux-gnu.tar.gz", "-source.tar.gz", "-k8s.tar.gz", "-openapi.json", ".intoto.jsonl"]
    {
        assert!(listed.contains(&format!("noshi-{VERSION}{name}")), "{listed}");
    }
    assert!(clone.verify("one"));
    let k8s = out.join(format!("noshi-{VERSION}-k8s.tar.gz"));
    let overlay = format!("noshi-{VERSION}/k8s/overlays/postgres/kustomization.yaml");
    let (well, text, err) = ran(Command::new("tar").args(["-xzOf"]).arg(&k8s).arg(&overlay));
    assert!(well && !text.contains("newTag"), "{err} {text}");
    assert!(
        text.contains("newName: registry.example/gifts/noshi\n") && text.contains("digest: sha256:0123456789"),
        "{text}"
    );
    let statement = fs::read_to_string(out.join(format!("noshi-{VERSION}.intoto.jsonl"))).unwrap();
    let statement: Value = serde_json::from_str(&statement).unwrap();
    let commit = clone.git(&["rev-parse", "HEAD"]);
    let from = &statement["predicate"]["buildDefinition"]["resolvedDependencies"][0]["digest"]["gitCommit"];
    assert_eq!(from, commit.trim());
    assert_eq!(statement["subject"].as_array().unwrap().len(), 5, "four files and the image");

    // The same commit and program are the same bytes, and one byte more is noticed.
    assert!(clone.release("two", &["--image", IMAGE]).0);
    let sums = |out: &str| fs::read_to_string(clone.0.path().join(out).join("SHA256SUMS")).unwrap();
    assert_eq!(sums("one"), sums("two"));
    assert!(clone.release("one", &[]).2.contains("is there already"));
    fs::write(clone.0.path().join("two").join(format!("noshi-{VERSION}-openapi.json")), "{}").unwrap();
    assert!(!clone.verify("two"));
}

#[test]
fn sums_are_signed_for_a_release_and_for_nothing_else() {
    if Command::new("ssh-keygen").arg("-?").output().is_err() {
        println!("skipped: there is no ssh-keygen");
        return;
    }
    let clone = Tagged::make();
    clone.git(&["tag", &format!("v{VERSION}")]);
    let key = clone.0.path().join("key");
    assert!(ran(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key)).0);
    let (well, _out, err) = clone.release("one", &["--sign", key.to_str().unwrap()]);
    assert!(well, "{err}");
    let public = fs::read_to_string(key.with_extension("pub")).unwrap();
    let signers = clone.0.path().join("signers");
    fs::write(&signers, format!("noshi {public}")).unwrap();
    let verify = |namespace: &str| {
        let mut command = Command::new("ssh-keygen");
        command.args(["-Y", "verify", "-n", namespace, "-I", "noshi", "-f"]).arg(&signers).arg("-s");
        command.arg(clone.0.path().join("one/SHA256SUMS.sig"));
        command.stdin(fs::File::open(clone.0.path().join("one/SHA256SUMS")).unwrap());
        ran(&mut command).0
    };
    assert!(verify("noshi-release"));
    assert!(!verify("file"), "a signature for another purpose");
    fs::write(clone.0.path().join("one/SHA256SUMS"), "").unwrap();
    assert!(!verify("noshi-release"), "other sums");
}
