"""Copies of the image with one fault each, and the check that must see it."""

import dataclasses
import os
import pathlib
import shutil
import subprocess
from collections.abc import Callable

import crates
import distroless
import inspection
import running
import scenarios
import sizes
from dockerfile import Image
from oci import Container, Limits, Runtime
from pod import K8S


@dataclasses.dataclass(frozen=True)
class Fault:
    """One copy: what is done to its root, or to how it is started, and who says so in which words."""

    name: str
    seen_by: str
    words: str
    breaks: Callable[[pathlib.Path], None] = lambda _root: None
    starts_as: Callable[[Container], None] = lambda _container: None


def removed(path: str) -> Callable[[pathlib.Path], None]:
    return lambda root: (root / path).unlink()


def changed(path: str, change: Callable[[pathlib.Path], object]) -> Callable[[pathlib.Path], None]:
    """Files are shared with the good root until one is changed: then the copy has its own."""

    def breaks(root: pathlib.Path) -> None:
        own = root / path
        beside = own.with_name("beside")
        shutil.copy2(own, beside)
        os.replace(beside, own)
        change(own)

    return breaks


def added(path: str, source: str) -> Callable[[pathlib.Path], None]:
    def breaks(root: pathlib.Path) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, root / path)

    return breaks


def folder_for_everybody(root: pathlib.Path) -> None:
    (root / "srv").mkdir()
    (root / "srv").chmod(0o777)


def script(root: pathlib.Path) -> None:
    (root / "bin").mkdir(exist_ok=True)
    shutil.copy(root / inspection.LOADER.lstrip("/"), root / "bin/sh")
    (root / "bin/tool").write_text("#!/bin/sh\n")
    (root / "bin/tool").chmod(0o755)


def newer_glibc(file: pathlib.Path) -> None:
    """Asks for a C library that no Debian has: what a build on a newer system would do."""
    binary = file.read_bytes()
    assert b"\0GLIBC_2.34\0" in binary, "the binary asks for no GLIBC_2.34: there is nothing to break"
    file.chmod(0o755)
    file.write_bytes(binary.replace(b"\0GLIBC_2.34\0", b"\0GLIBC_2.94\0"))
    file.chmod(0o555)


def as_root(container: Container) -> None:
    container.user = (0, 0)


def with_capability(container: Container) -> None:
    container.capabilities = ["CAP_NET_BIND_SERVICE"]


def writable(container: Container) -> None:
    container.root_is_read_only = False


def without_crates(file: pathlib.Path) -> None:
    subprocess.run(["objcopy", "--remove-section", crates.SECTION, file], timeout=60, check=True)


BINARY = "usr/local/bin/noshi"
OF_A_RELEASE = ("crates", "sizes")
ALL = [
    Fault("a shell", "programs", "/bin/sh", added("bin/sh", "/bin/dash")),
    Fault("a shell under another name", "programs", "/usr/lib/helper", added("usr/lib/helper", "/bin/dash")),
    Fault("a script that finds its shell", "programs", "/bin/tool", script),
    Fault("a package manager", "programs", "/usr/bin/dpkg", added("usr/bin/dpkg", "/usr/bin/dpkg")),
    Fault("no certificates", "certificates", "missing", removed(distroless.BUNDLE)),
    Fault("certificates that cannot be read", "certificates", "read", changed(distroless.BUNDLE, lambda it: it.write_text("none\n"))),
    Fault("set-user-id", "permissions", "lends", changed(BINARY, lambda it: it.chmod(0o4555))),
    Fault("the binary is its user's", "permissions", "belongs to 65532", changed(BINARY, lambda it: os.chown(it, 65532, 65532))),
    Fault("the binary may be changed", "permissions", "mode 755", changed(BINARY, lambda it: it.chmod(0o755))),
    Fault("a folder for everybody", "permissions", "anybody", folder_for_everybody),
    Fault("no libgcc", "libraries", "libgcc_s.so.1", removed("lib/x86_64-linux-gnu/libgcc_s.so.1")),
    Fault("an older C library", "libraries", "GLIBC_2.94", changed(BINARY, newer_glibc)),
    Fault("runs as root", "identity", "Uid", starts_as=as_root),
    Fault("may listen on any port", "identity", "Cap", starts_as=with_capability),
    Fault("a root that can be written", "writes", "could be written", starts_as=writable),
    Fault("a large file", "sizes", "compressed", lambda root: (root / "large").write_bytes(os.urandom(sizes.COMPRESSED_MAX))),
    Fault("no list of crates", "crates", "sqlx", changed(BINARY, without_crates)),
    Fault("no libgcc, started", "start", "libgcc_s.so.1", removed("lib/x86_64-linux-gnu/libgcc_s.so.1")),
    Fault("no certificates, started", "start", "No CA certificates", removed(distroless.BUNDLE)),
]


def found(fault: Fault, runtime: Runtime, image: Image, root: pathlib.Path) -> list[str]:
    """What the fault's own check says of a copy."""
    copy = runtime.work / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    # Of links: the good root's files are as good here, and are not written to.
    shutil.copytree(root, copy, symlinks=True, copy_function=os.link)
    for path, owner, _mode in distroless.FOLDERS:
        shutil.chown(copy / path, owner, owner)
    fault.breaks(copy)
    if fault.seen_by == "crates":
        return list(crates.findings(copy / BINARY))
    if fault.seen_by == "sizes":
        return list(sizes.findings(sizes.layers(copy, image)))
    if fault.seen_by == "start":
        code, said = scenarios.starts(runtime, image, copy)
        return [said] if code != 0 else []
    container = Container("broken", image, copy, ["sandbox"], Limits.read(K8S / "base/deployment.yaml"))
    fault.starts_as(container)
    if fault.seen_by == "libraries":
        return running.libraries(runtime, container)[1]
    if fault.seen_by in ("identity", "writes"):
        started = runtime.start(container)
        wrong = list(getattr(running, fault.seen_by)(started))
        started.remove()
        return wrong
    return [said for check, said in inspection.findings(copy, image) if check == fault.seen_by]
