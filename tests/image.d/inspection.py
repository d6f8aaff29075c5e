"""What can be said about a root file system without starting anything in it."""

import os
import pathlib
import ssl
import stat
import subprocess
from collections.abc import Iterator

import distroless
from dockerfile import Image

# The loader and the C library can be started too: the one starts whatever it is given, the other prints its version. Neither
# reads commands, and what they could start has to be in the image.
LOADER = "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
C_LIBRARY = "/lib/x86_64-linux-gnu/libc.so.6"
# Of the some 140 that browsers trust; fewer would be a bundle that is broken, or somebody's own.
CERTIFICATES_MIN = 100


def files(root: pathlib.Path) -> Iterator[tuple[str, os.stat_result]]:
    """Everything in it: the path as seen from inside, and what the file system says."""
    for folder, names, others in os.walk(root):
        for name in [*names, *others]:
            path = pathlib.Path(folder, name)
            yield f"/{path.relative_to(root)}", path.lstat()


def starts(root: pathlib.Path, path: str) -> str | None:
    """How a file that may be executed is started: as a `program`, or by an interpreter, whose path is given; or it cannot be."""
    file = root / path.lstrip("/")
    with file.open("rb") as opened:
        head = opened.read(256)
    if head.startswith(b"\x7fELF"):
        segments = subprocess.run(["readelf", "-hlW", file], capture_output=True, text=True, timeout=30, check=True).stdout
        return "program" if "INTERP" in segments or "EXEC (" in segments or path == LOADER else None
    if head.startswith(b"#!"):
        return head[2:].split(b"\n")[0].split()[0].decode()
    return None


def programs(root: pathlib.Path) -> tuple[list[str], list[str]]:
    """What can be started, and the scripts that cannot, for want of their shell."""
    can, cannot = [], []
    for path, about in files(root):
        if stat.S_ISREG(about.st_mode) and about.st_mode & 0o111 and (how := starts(root, path)):
            there = how == "program" or os.path.lexists(root / how.lstrip("/"))
            (can if there else cannot).append(path)
    return sorted(can), sorted(cannot)


def findings(root: pathlib.Path, image: Image) -> Iterator[tuple[str, str]]:
    """What is wrong: which check says so, and its words."""
    can, _cannot = programs(root)
    if can != sorted([str(image.binary), LOADER, C_LIBRARY]):
        yield "programs", f"these can be started: {', '.join(can)}"
    for wrong in certificates(root):
        yield "certificates", wrong
    for wrong in permissions(root, image):
        yield "permissions", wrong


def certificates(root: pathlib.Path) -> Iterator[str]:
    bundle = root / distroless.BUNDLE
    if not bundle.exists():
        yield f"{distroless.BUNDLE} is missing"
        return
    try:
        found = len(ssl.create_default_context(cafile=bundle).get_ca_certs())
    except ssl.SSLError as error:
        yield f"{distroless.BUNDLE} cannot be read: {error}"
        return
    if found < CERTIFICATES_MIN:
        yield f"{distroless.BUNDLE} has {found} certificates"


def permissions(root: pathlib.Path, image: Image) -> Iterator[str]:
    owners = {f"/{path}": owner for path, owner, _mode in distroless.FOLDERS}
    for path, about in files(root):
        mode = stat.S_IMODE(about.st_mode)
        if mode & (stat.S_ISUID | stat.S_ISGID) and not stat.S_ISDIR(about.st_mode):
            yield f"{path} lends out its owner's rights"
        # Folders like /tmp, where everybody has files of his own, are marked so.
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX and not stat.S_ISLNK(about.st_mode):
            yield f"{path} may be written by anybody"
        if about.st_uid != owners.get(path, 0):
            yield f"{path} belongs to {about.st_uid}"
    binary = (root / str(image.binary).lstrip("/")).stat()
    if stat.S_IMODE(binary.st_mode) != 0o555:
        yield f"{image.binary} has mode {stat.S_IMODE(binary.st_mode):o}"
