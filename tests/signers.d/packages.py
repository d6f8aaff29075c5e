"""Fetches the clients and signers of others, at the versions and hashes that are written down, into a throw-away folder."""

import os
import pathlib
import shutil
import subprocess
import sys
from dataclasses import dataclass

HERE = pathlib.Path(__file__).resolve().parent


@dataclass(frozen=True)
class Packages:
    """Where they are; None for what could not be had."""

    node: pathlib.Path | None
    python: pathlib.Path | None


def fetched(scratch: pathlib.Path, listed: pathlib.Path = HERE) -> Packages:
    """What the folder `listed` names in its two lists."""
    return Packages(of_npm(scratch / "node", listed), of_pypi(scratch / "venv", listed))


def of_npm(folder: pathlib.Path, listed: pathlib.Path) -> pathlib.Path | None:
    if not (shutil.which("node") and shutil.which("npm")):
        print("skipped what is npm's: node and npm are not here")
        return None
    folder.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(listed / name, folder)
    return had(folder, "npm's", ["npm", "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder)])


def of_pypi(folder: pathlib.Path, listed: pathlib.Path) -> pathlib.Path | None:
    """The folder's bin/python has them."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    command = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    return had(folder, "PyPI's", [*command, "-r", str(listed / "requirements.txt")])


def had(folder: pathlib.Path, whose: str, command: list[str]) -> pathlib.Path | None:
    ran = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"npm_config_update_notifier": "false"})
    if ran.returncode:
        print(f"skipped what is {whose}: {(ran.stderr or ran.stdout).strip()[-300:]}")
        return None
    return folder
