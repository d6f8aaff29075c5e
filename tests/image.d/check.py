"""Assembles the image's root, inspects it, runs it as a pod would, and shows that broken copies are noticed. See tests/image."""

import argparse
import os
import pathlib
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import crates
import distroless
import dockerfile
import faults
import inspection
import running
import scenarios
import sizes
from dockerfile import Image
from oci import Container, Limits, Runtime
from pod import K8S


class Report:
    """What is said, and whether all was well."""

    def __init__(self) -> None:
        self.failed = 0
        self.passed = 0
        self.began = time.monotonic()

    def section(self, name: str) -> None:
        print(f"-- {name} ({time.monotonic() - self.began:.0f} s)", flush=True)

    def expect(self, good: bool, text: str) -> None:
        if good:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED  {text}", flush=True)


def impediment(image: Image) -> str | None:
    """Why this machine cannot hold the image, if it cannot."""
    release = platform.freedesktop_os_release()
    if (release.get("ID"), release.get("VERSION_ID")) != ("debian", str(image.debian)):
        return f"the image is made of packages of Debian {image.debian}, and this is {release.get('PRETTY_NAME')}"
    if platform.machine() != "x86_64":
        return f"the paths of libraries are those of x86_64, and this is {platform.machine()}"
    if os.geteuid() != 0:
        return "only root may unpack packages as root's, and start containers"
    return None


def cannot_start(runtime: Runtime, image: Image, root: pathlib.Path, limits: Limits) -> str | None:
    """What keeps the machine from starting a container, if anything does: no namespaces, no control groups."""
    container = Container("first", image, root, [], limits, program=[inspection.LOADER, "--version"])
    try:
        code, said = runtime.run(container)
    except OSError as error:
        code, said = 1, str(error)
    return None if code == 0 and "stable release version" in said else f"no container starts here: {said.strip()}"


def runc(folder: pathlib.Path) -> pathlib.Path:
    """The program, from Debian's package unless it is there."""
    if found := shutil.which("runc"):
        return pathlib.Path(found)
    program = folder / "runc/usr/sbin/runc"
    if not program.exists():
        distroless.unpack(distroless.fetch("runc", folder / "tools"), folder / "runc")
    return program


def assemble(report: Report, image: Image, packages: pathlib.Path, root: pathlib.Path, binary: pathlib.Path) -> None:
    """The root as the last stage leaves it."""
    report.section("assembling")
    unpacked = distroless.assemble(image.debian, packages, root)
    print(f"packages: {', '.join(unpacked)}")
    inside = root / str(image.binary).lstrip("/")
    inside.parent.mkdir(parents=True, exist_ok=True)
    # As `install -m 0555` and COPY leave it.
    shutil.copyfile(binary, inside)
    inside.chmod(0o555)


def inspect(report: Report, image: Image, root: pathlib.Path) -> None:
    report.section("inspecting")
    for check, wrong in inspection.findings(root, image):
        report.expect(False, f"{check}: {wrong}")
    can, cannot = inspection.programs(root)
    report.expect(bool(can), "nothing can be started")
    print(f"can be started: {', '.join(can)}")
    print(f"cannot, their shell is missing: {', '.join(cannot)}")


def compare_libraries(report: Report, runtime: Runtime, image: Image, root: pathlib.Path, limits: Limits) -> None:
    found, wrong = running.libraries(runtime, Container("loader", image, root, [], limits))
    report.expect(bool(found) and not wrong, f"libraries: {'; '.join(wrong)}")
    inside = root / str(image.binary).lstrip("/")
    symbols = subprocess.run(["readelf", "--version-info", "-W", inside], capture_output=True, text=True, timeout=60, check=True)
    asked = ".".join(map(str, running.newest_glibc(symbols.stdout)))
    print(f"libraries: {', '.join(found)}; at most GLIBC_{asked} is asked for")


def measure(report: Report, image: Image, root: pathlib.Path) -> None:
    report.section("crates and sizes")
    binary = root / str(image.binary).lstrip("/")
    for wrong in crates.findings(binary):
        report.expect(False, f"crates: {wrong}")
    print(f"crates: {len(crates.listed(binary))} are listed in the binary")
    layers = sizes.layers(root, image)
    whole = sum(layers.values())
    print(f"binary: {binary.stat().st_size / 2**20:.2f} MiB")
    print(f"compressed: base {layers['base'] / 2**20:.2f} MiB, binary {layers['binary'] / 2**20:.2f} MiB")
    print(f"image: {whole / 2**20:.2f} MiB compressed, of {sizes.COMPRESSED_MAX >> 20} MiB")
    for wrong in sizes.findings(layers):
        report.expect(False, wrong)


def run(report: Report, runtime: Runtime, image: Image, root: pathlib.Path) -> None:
    for name, scenario in {"a purchase": scenarios.purchase, "whom it trusts": scenarios.trust}.items():
        report.section(name)
        try:
            scenario(runtime, image, root, report.expect)
        except AssertionError as error:
            report.expect(False, f"{name}: {error}")


def break_it(report: Report, runtime: Runtime, image: Image, root: pathlib.Path, debug: bool) -> None:
    # A debug build is too large as it is, and lists no crates.
    broken = [fault for fault in faults.ALL if not (debug and fault.seen_by in faults.OF_A_RELEASE)]
    report.section(f"{len(broken)} copies with one fault each, and one without")
    report.expect(scenarios.starts(runtime, image, root)[0] == 0, "the copy without a fault does not start")
    for fault in broken:
        found = faults.found(fault, runtime, image, root)
        report.expect(any(fault.words in said for said in found), f"{fault.name!r} was not noticed by {fault.seen_by}: {found}")


def show(report: Report, image: Image, binary: pathlib.Path, runtime: Runtime, folder: pathlib.Path, debug: bool) -> str | None:
    """All of it, in order; gives why it ended early, if it did."""
    limits = Limits.read(K8S / "base/deployment.yaml")
    root = runtime.work / "root"
    assemble(report, image, folder / "packages", root, binary)
    inspect(report, image, root)
    if not debug:
        measure(report, image, root)
    if why := cannot_start(runtime, image, root, limits):
        return why
    compare_libraries(report, runtime, image, root, limits)
    run(report, runtime, image, root)
    break_it(report, runtime, image, root, debug)
    return None


def main() -> int:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--binary", type=pathlib.Path, required=True)
    arguments.add_argument("--folder", type=pathlib.Path, required=True)
    arguments.add_argument("--debug", action="store_true")
    given = arguments.parse_args()
    # So that containers are ended on the way out.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    image = dockerfile.read(K8S / "image/Dockerfile")
    folder = given.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    report = Report()
    if not (why := impediment(image)):
        work = pathlib.Path(tempfile.mkdtemp(prefix="noshi-image-", dir=folder))
        try:
            runtime = Runtime(runc(folder), work)
            try:
                why = show(report, image, given.binary, runtime, folder, given.debug)
            finally:
                runtime.end()
        except distroless.Unobtainable as error:
            why = str(error)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    if why:
        print(f"tests/image: {'SKIPPED' if given.debug else 'FAILED'} from here on: {why}", flush=True)
        report.failed += 0 if given.debug else 1
    report.section("done")
    print(f"image: {report.passed} held, {report.failed} failed")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
