"""Clients that nobody here wrote, unchanged, as their packages came: all that each can do, and what it says of a refusal.

A driver (clients.*) uses a client as its page says, and prints for each step what came of it, a line of JSON. A host that is
hard-coded in a client is the sandbox here: see inside.py.
"""

import json
import pathlib
import subprocess

from gateway import KEY_ID, PARTNER, SECRET, Tally, environment
from packages import Packages

HERE = pathlib.Path(__file__).resolve().parent
GOOD, SAME = "SUCCESS", "the same card"
# Each step with what its outcome holds. A client that swallows the answer shows its status alone.
STEPS = {
    "npm agcod": {
        "create, North America": GOOD,
        "create, Europe": GOOD,
        "create, Far East": GOOD,
        "create again": SAME,
        "cancel": GOOD,
        "too much": "MaxAmountExceeded",
        "another secret": "403",
    },
    "npm amazon-gc": {
        "create, NA sandbox": GOOD,
        "create, NA production": GOOD,
        "create, EU sandbox": GOOD,
        "create, EU production": GOOD,
        "create, FE sandbox": GOOD,
        "create, FE production": GOOD,
        "too much": "status code 400",
        "another secret": "status code 403",
    },
    "npm amazon-incentives-api": {
        "create, NorthAmericaSandbox": GOOD,
        "create, NorthAmericaProduction": GOOD,
        "create, EuropeSandbox": GOOD,
        "create, EuropeProduction": GOOD,
        "create, JapanSandbox": GOOD,
        "create, JapanProduction": GOOD,
        "create again": SAME,
        "cancel": GOOD,
        "funds": GOOD,
        "mock id": "InvalidAmountInput",
        "another secret": "403",
    },
    "PyPI agcod": {
        "create, sandbox": GOOD,
        "create, production": GOOD,
        "create again": SAME,
        "cancel": GOOD,
        "funds": GOOD,
        "mock id": "InvalidAmountInput",
        "another secret": "String-to-Sign should have been",
    },
}


def run(tally: Tally, packages: Packages, said: dict[str, str]) -> None:
    for name, steps in STEPS.items():
        registry, package = name.split()
        if registry == "npm" and packages.node:
            command = ["node", str(HERE / "clients.mjs"), package]
        elif registry == "PyPI" and packages.python:
            command = [str(packages.python / "bin/python"), str(HERE / "clients.py")]
        else:
            continue
        more = {"PACKAGES": str(packages.node), "KEY_ID": KEY_ID, "SECRET": SECRET, "PARTNER": PARTNER}
        # Clients look for settings in the folder that they are run in.
        ran = subprocess.run(
            command, env=environment(more, said["trust"]), cwd=packages.node, capture_output=True, text=True, timeout=120
        )
        lines = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith('{"step"')]
        found = {line["step"]: line["outcome"] for line in lines}
        for step, outcome in steps.items():
            tally.party(name, step, outcome in found.get(step, ""), found.get(step) or ran)
        tally.party(name, "nothing besides", found.keys() == steps.keys(), found)
