"""What can be said about a container that runs, and about one that should not."""

import errno
import os
import pathlib
import re
from collections.abc import Iterator

from inspection import LOADER
from oci import Container, Running, Runtime

# What a probe leaves where it could write, for the moment until it is removed.
PROBE = ".noshi-image-probe"
MOUNTED = {"proc", "dev", "tmp"}


def identity(running: Running) -> Iterator[str]:
    """Who it is, and what it may do."""
    status = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{running.pid}/status").read_text().splitlines())
    for name in ("Uid", "Gid"):
        if status[name].split() != ["65532"] * 4:
            yield f"{name} is {status[name]}"
    if set(status["Groups"].split()) - {"65532"}:
        yield f"is in the groups {status['Groups']}"
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        if int(status[name], 16):
            yield f"{name} is {status[name]}"
    if status["NoNewPrivs"] != "1":
        yield "may gain privileges"


def writes(running: Running) -> Iterator[str]:
    """Every place that could be written, tried as root: what holds root up is the mount itself. Ours are left out."""
    inside = f"/proc/{running.pid}/root/"
    ours = {path.lstrip("/") for path in running.container.writable} | MOUNTED
    tried = 0
    for folder, names, files in os.walk(inside):
        here = os.path.relpath(folder, inside)
        names[:] = [name for name in names if os.path.normpath(os.path.join(here, name)) not in ours]
        places = [(os.path.join(folder, PROBE), os.O_CREAT | os.O_EXCL)]
        places += [(os.path.join(folder, name), 0) for name in files if not os.path.islink(os.path.join(folder, name))]
        for path, how in places:
            tried += 1
            if written(path, how):
                yield f"/{os.path.relpath(path, inside)} could be written"
    assert tried > 500, f"only {tried} places were tried"


def written(path: str, how: int) -> bool:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_NOFOLLOW | how))
    except OSError as error:
        # The second: it runs, and nothing that runs may be written, wherever it lies.
        if error.errno not in (errno.EROFS, errno.ETXTBSY):
            raise
        return False
    if how:
        os.remove(path)
    return True


def resident(running: Running) -> int:
    """The most memory that its process 1 had resident, in bytes: with the pages of the binary, whoever read them first."""
    status = pathlib.Path(f"/proc/{running.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) << 10


def libraries(runtime: Runtime, container: Container) -> tuple[list[str], list[str]]:
    """The image's own loader says what it finds for the binary, and what it does not."""
    container.program, container.arguments = [LOADER, "--list", str(container.image.binary)], []
    code, said = runtime.run(container)
    lines = [line.strip() for line in said.splitlines()]
    wrong = [line for line in lines if "not found" in line or "error" in line]
    if code != 0 and not wrong:
        wrong = [f"the loader ended with {code}: {said}"]
    return [line.split()[0] for line in lines if "=>" in line and line not in wrong], wrong


def newest_glibc(symbols: str) -> tuple[int, int]:
    """The newest version of the C library that is asked for, in what `readelf --version-info` printed."""
    return max((int(major), int(minor)) for major, minor in re.findall(r"GLIBC_(\d+)\.(\d+)", symbols))
