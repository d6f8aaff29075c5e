"""Renders everything under k8s/, judges it, and shows that the judges see faults. Started by tests/manifests."""

import copy
import os
import pathlib
import shutil
import subprocess
import sys
import time

import yaml

import compose
import faults
import image
import program
import rules
import schemas
from breaking import Fault
from bundle import Bundle
from scanner import Waivers, scan

ROOT = pathlib.Path(__file__).parents[2]
K8S = ROOT / "k8s"
# Each overlay alone, and with the optional components: what a company's own overlay looks like.
OPTIONAL = ("components/ingress", "components/traces", "monitoring")
OVERLAYS = ("postgres", "sandbox", "sqlite")
WITH_ALL = "postgres-with-all"


class Report:
    """What is said, and whether all was well."""

    def __init__(self) -> None:
        self.failed = 0
        self.began = time.monotonic()

    def section(self, name: str) -> None:
        print(f"-- {name} ({time.monotonic() - self.began:.0f} s)", flush=True)

    def expect(self, good: bool, text: str) -> None:
        if not good:
            self.failed += 1
            print(f"FAILED  {text}", flush=True)


def kustomize(folder: pathlib.Path) -> str:
    ran = subprocess.run([os.environ["KUBECTL"], "kustomize", folder], capture_output=True, text=True, timeout=120, check=False)
    # Warnings are of fields that will be gone.
    if ran.returncode != 0 or ran.stderr.strip():
        raise SystemExit(f"{folder} does not render cleanly:\n{ran.stderr}")
    return ran.stdout


def render(work: pathlib.Path) -> dict[str, Bundle]:
    """Writes what every overlay renders to, one file each, and reads it."""
    present = sorted(path.name for path in (K8S / "overlays").iterdir())
    assert present == sorted(OVERLAYS), f"overlays without a check: {present}"
    own = work / "own"
    own.mkdir()
    up = os.path.relpath(K8S.resolve(), own.resolve())
    components = [f"{up}/{component}" for component in OPTIONAL]
    (own / "kustomization.yaml").write_text(yaml.safe_dump({"resources": [f"{up}/overlays/postgres"], "components": components}))
    folders = {name: K8S / "overlays" / name for name in OVERLAYS} | {WITH_ALL: own}
    rendered = work / "rendered"
    rendered.mkdir()
    bundles = {}
    for name, folder in folders.items():
        text = kustomize(folder)
        (rendered / f"{name}.yaml").write_text(text)
        bundles[name] = Bundle(name, [found for found in yaml.safe_load_all(text) if found])
    return bundles


def all_files_are_rendered(report: Report, bundles: dict[str, Bundle]) -> None:
    """A file that no kustomization names is one that nobody applies."""
    for kustomization in sorted(K8S.rglob("kustomization.yaml")):
        folder, text = kustomization.parent, kustomization.read_text()
        named = {path for path in folder.rglob("*") if str(path.relative_to(folder)) in text}
        theirs = {path for path in folder.rglob("*") if path.suffix in {".yaml", ".json", ".toml"} and path != kustomization}
        # Tests of alarms are for promtool.
        theirs = {path for path in theirs if not path.stem.endswith("_test") and path != ROOT / compose.FILE}
        for path in sorted(theirs - named):
            report.expect(False, f"{path.relative_to(ROOT)} is named by no kustomization.yaml")
    for kind in ("Deployment", "StatefulSet", "Job", "Ingress", "ServiceMonitor", "PodDisruptionBudget"):
        report.expect(any(bundle.of(kind) for bundle in bundles.values()), f"no bundle has a {kind}: its rules saw nothing")


def judge(bundle: Bundle, work: pathlib.Path, versions: tuple[str, ...] = schemas.VERSIONS) -> dict[str, list[str]]:
    """What each check but the scanner finds in a bundle."""
    found = rules.findings(bundle)
    if wrong := list(schemas.findings(bundle, versions)):
        found["schema"] = wrong
    folder = (work / "settings").absolute()
    try:
        wrong = [*program.findings(bundle, folder), *program.findings_of_the_migration(bundle, folder)]
    except (KeyError, TypeError, ValueError) as error:
        wrong = [f"cannot be asked: {error!r}"]
    if wrong:
        found["program"] = wrong
    return found


def good_ones(report: Report, bundles: dict[str, Bundle], work: pathlib.Path) -> None:
    report.section(f"{len(bundles)} bundles: schemas of {', '.join(schemas.VERSIONS)}, {len(rules.ALL)} rules, the program")
    for bundle in bundles.values():
        for check, wrong in judge(bundle, work).items():
            report.expect(False, f"{bundle.name}: {check}: {'; '.join(wrong)}")
    report.section("the Dockerfile")
    text = (K8S / "image" / "Dockerfile").read_text()
    for wrong in image.findings(text):
        report.expect(False, f"Dockerfile: {wrong}")
    for name, (old, new) in image.FAULTS.items():
        report.expect(old in text, f"Dockerfile fault {name!r}: there is nothing to break")
        report.expect(bool(list(image.findings(text.replace(old, new)))), f"Dockerfile fault {name!r} was not noticed")


def the_compose_file(report: Report) -> None:
    report.section("the Compose file")
    document, version = compose.read()
    for wrong in compose.findings(document, version):
        report.expect(False, f"{compose.FILE}: {wrong}")
    for name, breaks in compose.FAULTS.items():
        broken = copy.deepcopy(document)
        breaks(broken)
        report.expect(broken != document, f"Compose fault {name!r}: nothing was broken")
        report.expect(bool(list(compose.findings(broken, version))), f"Compose fault {name!r} was not noticed")


def broken_ones(report: Report, bundles: dict[str, Bundle], work: pathlib.Path) -> list[Fault]:
    """Every fault must be seen by the check that is there for it. Those for the scanner are written down for its run."""
    report.section(f"{len(faults.ALL)} copies with one fault each")
    for_scanner = []
    for fault in faults.ALL:
        bundle = bundles[fault.bundle].copy(fault.name)
        before = bundles[fault.bundle].objects
        fault.breaks(bundle)
        report.expect(bundle.objects != before, f"fault {fault.name!r}: nothing was broken")
        if fault.seen_by.startswith("CKV"):
            text = yaml.safe_dump_all(bundle.objects)
            (work / "rendered" / f"{fault.file}.yaml").write_text(text)
            for_scanner.append(fault)
            continue
        found = judge(bundle, work, schemas.VERSIONS[-1:])
        report.expect(fault.seen_by in found, f"fault {fault.name!r}: not seen by {fault.seen_by}, but by {sorted(found)}")
    blind = rules.ALL.keys() - {fault.seen_by for fault in faults.ALL}
    report.expect(not blind, f"rules that no fault tries: {sorted(blind)}")
    unsaid = sorted(rules.sentences() - rules.SAID)
    report.expect(not unsaid, f"lines of rules that no fault makes speak: {unsaid}")
    return for_scanner


def scanned(report: Report, bundles: dict[str, Bundle], work: pathlib.Path, for_scanner: list[Fault]) -> None:
    report.section("checkov")
    found, waivers = scan(work / "rendered"), Waivers()
    for name in bundles:
        for check, resource in found[name]:
            report.expect(waivers.cover(name, check), f"{name}: {check}: {resource}")
    report.expect(not waivers.unused(), f"waived, but found no more: {waivers.unused()}")
    for fault in for_scanner:
        checks = sorted({check for check, _resource in found[fault.file]})
        report.expect(fault.seen_by in checks, f"fault {fault.name!r}: not seen by {fault.seen_by}, but by {checks}")


def main() -> int:
    work = pathlib.Path(sys.argv[1])
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    report = Report()
    report.section("rendering")
    bundles = render(work)
    all_files_are_rendered(report, bundles)
    good_ones(report, bundles, work)
    the_compose_file(report)
    for_scanner = broken_ones(report, bundles, work)
    scanned(report, bundles, work, for_scanner)
    broken = len(faults.ALL) + len(image.FAULTS) + len(compose.FAULTS)
    report.section("done")
    print(f"manifests: {len(bundles)} bundles, {len(rules.ALL)} rules, {broken} broken copies, {report.failed} failed")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
