"""Assembles what gcr.io/distroless/cc-debian12:nonroot contains, from the packages that it is made of.

The list is that of the project's own build files (GoogleContainerTools/distroless): `static/static.bzl`, `base/config.bzl` and
`cc/config.bzl` name the packages, `common/BUILD.bazel` the users, homes and /tmp; `cacerts.sh` of rules_distroless makes the
bundle. Packages are unpacked, not installed: none of their scripts runs. What is left out weighs nothing: the packages' status.d.
"""

import pathlib
import shutil
import subprocess

PACKAGES = {
    # static, base, cc
    12: ["base-files", "netbase", "tzdata", "media-types", "libc6", "libssl3", "libgomp1", "libstdc++6", "libgcc-s1", "gcc-12-base"],
}
CERTIFICATES = "ca-certificates"
BUNDLE = "etc/ssl/certs/ca-certificates.crt"
# The image's own, as containers are started with them.
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "SSL_CERT_FILE": f"/{BUNDLE}",
}
WORKING_DIRECTORY = "/home/nonroot"

USERS = """\
root:x:0:0:root:/root:/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin
nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin
"""
GROUPS = "root:x:0:\nnobody:x:65534:\ntty:x:5:\nstaff:x:50:\nnonroot:x:65532:\n"
NAMES = "passwd: compat\ngroup: compat\nshadow: compat\ngshadow: files\nhosts: files dns\nnetworks: files\n"
# Path, owner, mode.
FOLDERS = [("root", 0, 0o700), ("home", 0, 0o755), ("home/nonroot", 65532, 0o700), ("tmp", 0, 0o1777)]


class Unobtainable(Exception):
    """A package is neither here nor to be had, or cannot be unpacked here."""


def fetch(package: str, folder: pathlib.Path) -> pathlib.Path:
    """The package's file; downloaded unless it is there."""
    found = sorted(folder.glob(f"{package}_*.deb"))
    if not found:
        folder.mkdir(parents=True, exist_ok=True)
        download(package, folder)
        found = sorted(folder.glob(f"{package}_*.deb"))
    if len(found) != 1:
        raise Unobtainable(f"{len(found)} packages {package} in {folder}")
    return found[0]


def download(package: str, folder: pathlib.Path) -> None:
    """As root, but writing into a folder that apt's own user cannot see."""
    command = ["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", package]
    for attempt in ([], ["apt-get", "update", "-q"]):
        if attempt:
            subprocess.run(attempt, stdout=subprocess.DEVNULL, timeout=300, check=False)
        if subprocess.run(command, cwd=folder, capture_output=True, timeout=300, check=False).returncode == 0:
            return
    raise Unobtainable(f"apt-get download {package} failed")


def unpack(package: pathlib.Path, folder: pathlib.Path) -> None:
    ran = subprocess.run(["dpkg-deb", "-x", package, folder], capture_output=True, text=True, timeout=60, check=False)
    if ran.returncode != 0:
        raise Unobtainable(f"{package.name} cannot be unpacked: {ran.stderr.strip()}")


def assemble(debian: int, packages: pathlib.Path, root: pathlib.Path) -> list[str]:
    """Makes `root` out of what lies in `packages`, or is fetched into it; gives the packages with their versions."""
    files = [fetch(package, packages) for package in PACKAGES[debian]]
    certificates = fetch(CERTIFICATES, packages)
    root.mkdir(parents=True)
    for file in files:
        unpack(file, root)
    add_certificates(certificates, root.with_name("certificates"), root)
    for path, owner, mode in FOLDERS:
        folder = root / path
        folder.mkdir(exist_ok=True)
        shutil.chown(folder, owner, owner)
        folder.chmod(mode)
    for path, text in {"etc/passwd": USERS, "etc/group": GROUPS, "etc/nsswitch.conf": NAMES}.items():
        (root / path).write_text(text)
        (root / path).chmod(0o644)
    return [file.stem.removesuffix("_amd64").removesuffix("_all") for file in [*files, certificates]]


def add_certificates(package: pathlib.Path, work: pathlib.Path, root: pathlib.Path) -> None:
    """All certificates of the package in one file: no script of the package chooses among them, as the image has it."""
    unpack(package, work)
    shared = work / "usr/share"
    bundle = root / BUNDLE
    bundle.parent.mkdir(parents=True, exist_ok=True)
    parts = [path.read_bytes() for path in sorted((shared / "ca-certificates").rglob("*")) if path.is_file()]
    bundle.write_bytes(b"".join(parts))
    bundle.chmod(0o555)
    (root / "usr/share/doc/ca-certificates").mkdir(parents=True, exist_ok=True)
    shutil.copy(shared / "doc/ca-certificates/copyright", root / "usr/share/doc/ca-certificates/copyright")
    shutil.rmtree(work)
