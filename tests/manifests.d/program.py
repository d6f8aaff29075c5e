"""The program itself reads the settings of a bundle: a name that it does not know would stop every start."""

import os
import pathlib
import subprocess
from collections.abc import Iterator

from bundle import Bundle

# What stands in for the mounted secrets. It is read, checked for its shape, and masked.
STAND_INS = {
    "access_key_id": "AKIDEXAMPLE",
    "secret_access_key": "not-a-secret",
    "url": "postgres://noshi:not-a-secret@db.example/noshi?sslmode=verify-full&sslrootcert=/run/secrets/noshi/database/ca.crt",
}
MOUNTS = "/run/secrets/noshi"


def findings(bundle: Bundle, folder: pathlib.Path) -> Iterator[str]:
    for section in ("us", "database"):
        (folder / section).mkdir(parents=True, exist_ok=True)
        for name, value in STAND_INS.items():
            (folder / section / name).write_text(value + "\n")
    settings = folder / "noshi.toml"
    settings.write_text(bundle.settings_text.replace(MOUNTS, str(folder)))
    clean = {key: value for key, value in os.environ.items() if not key.startswith("NOSHI")}
    command = [os.environ["NOSHI"], "check", "--config", str(settings)]
    ran = subprocess.run(command, env=clean, capture_output=True, text=True, timeout=60, check=False)
    if ran.returncode != 0:
        yield f"noshi check: {ran.stderr.strip()}"


def findings_of_the_migration(bundle: Bundle, folder: pathlib.Path) -> Iterator[str]:
    """Its variables are all that it is told."""
    for pod in bundle.pods:
        if pod.command != "migrate":
            continue
        clean = {key: value for key, value in os.environ.items() if not key.startswith("NOSHI")}
        for variable in pod.spec["containers"][0]["env"]:
            clean[variable["name"]] = variable["value"].replace(MOUNTS, str(folder))
        command = [os.environ["NOSHI"], "check"]
        ran = subprocess.run(command, env=clean, cwd=folder / "us", capture_output=True, text=True, timeout=60, check=False)
        # A migration sells nothing, so that it has no account is as it should be.
        broken = [line.split()[1] for line in ran.stderr.splitlines() if line.split()[:1] == ["BROKEN"]]
        if broken != ["accounts:"] or "postgres://noshi@db.example/noshi" not in ran.stdout:
            yield f"noshi check for the migration: {ran.stdout} {ran.stderr.strip()}"
