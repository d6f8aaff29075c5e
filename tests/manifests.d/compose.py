"""The Compose file: what it confines, what it publishes, and settings that the program takes."""

import os
import pathlib
import re
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import yaml

FILE = pathlib.Path("k8s/compose/compose.yaml")
# Secrets that everyone knows open the sandbox alone.
KNOWN_SECRETS = {"sandbox-secret-known-to-everyone"}


def findings(document: dict[str, Any], version: str) -> Iterator[str]:
    services = document["services"]
    for name, service in services.items():
        if service.get("image") != f"noshi:{version}":
            yield f"{name} is not of the image of this version"
        confined = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"], "user": "65532:65532"}
        for key, value in confined.items():
            if service.get(key) != value:
                yield f"{name}: {key} is not {value}"
        for port in service.get("ports", []):
            if not re.fullmatch(r"127\.0\.0\.1:\d+:(?!9090)\d+", port):
                yield f"{name} publishes {port}"
        for key, value in service.get("environment", {}).items():
            if "SECRET" in key and value not in KNOWN_SECRETS:
                yield f"{name} holds a secret in {key}"
        if "healthcheck" not in service:
            yield f"{name} has no health check"
        unknown = {volume.partition(":")[0] for volume in service.get("volumes", [])} - document.get("volumes", {}).keys()
        if unknown:
            yield f"{name} mounts {unknown}"
    if services["gateway"].get("network_mode") != "service:noshi":
        yield "the gateway is not in the service's network"
    yield from refused(services["noshi"].get("environment", {}))


def refused(environment: dict[str, str]) -> Iterator[str]:
    """What the program says to the settings."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("NOSHI")}
    ran = subprocess.run(
        [os.environ["NOSHI"], "check"], env=clean | environment, cwd="/", capture_output=True, text=True, timeout=60, check=False
    )
    if ran.returncode != 0:
        yield f"noshi check: {ran.stderr.strip()}"


def read() -> tuple[dict[str, Any], str]:
    found = re.search(r'^version = "(.+)"$', pathlib.Path("Cargo.toml").read_text(), re.MULTILINE)
    assert found
    return yaml.safe_load(FILE.read_text()), found[1]


# Each must be noticed.
FAULTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "another image": lambda one: one["services"]["noshi"].update(image="noshi:latest"),
    "a root that can be written": lambda one: one["services"]["gateway"].update(read_only=False),
    "a port for everyone": lambda one: one["services"]["noshi"].update(ports=["8080:8080"]),
    "the admin port": lambda one: one["services"]["noshi"].update(ports=["127.0.0.1:9090:9090"]),
    "a real secret": lambda one: one["services"]["noshi"]["environment"].update(NOSHI__ACCOUNTS__US__SECRET_ACCESS_KEY="wJalr"),
    "a name that nobody knows": lambda one: one["services"]["noshi"]["environment"].update(NOSHI__STORE__ADDRESS="a"),
    "a gateway elsewhere": lambda one: one["services"]["gateway"].pop("network_mode"),
    "no health check": lambda one: one["services"]["gateway"].pop("healthcheck"),
    "no volume": lambda one: one.pop("volumes"),
}
