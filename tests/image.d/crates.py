"""The list of crates that the release binary carries (section .dep-v0, written by cargo-auditable): its bill of materials."""

import json
import pathlib
import subprocess
import tempfile
import tomllib
import zlib
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parents[2]
SECTION = ".dep-v0"


def listed(binary: pathlib.Path) -> set[tuple[str, str]]:
    """Names and versions of what the binary says that it is made of; nothing when it says nothing."""
    with tempfile.NamedTemporaryFile() as section:
        command = ["objcopy", "--dump-section", f"{SECTION}={section.name}", binary, "/dev/null"]
        subprocess.run(command, capture_output=True, timeout=60, check=False)
        packed = pathlib.Path(section.name).read_bytes()
    packages = json.loads(zlib.decompress(packed))["packages"] if packed else []
    return {(package["name"], package["version"]) for package in packages}


def findings(binary: pathlib.Path) -> Iterator[str]:
    """Whatever Cargo.toml asks for must be listed, and nothing that is not in Cargo.lock."""
    crates = listed(binary)
    asked = set(tomllib.loads((ROOT / "Cargo.toml").read_text())["dependencies"])
    locked = {(package["name"], package["version"]) for package in tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]}
    if missing := sorted(asked - {name for name, _version in crates}):
        yield f"the binary does not say that it is made of {', '.join(missing)}"
    if strange := sorted(crates - locked):
        yield f"the binary names crates that Cargo.lock does not: {strange}"
