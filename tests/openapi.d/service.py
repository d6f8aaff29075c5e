"""A service on SQLite beside a sandbox, with a key of every scope. See tests/openapi."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gateway import KEY_ID, PARTNER, SECRET, sandbox


@dataclass(frozen=True)
class Service:
    url: str
    key: str
    # Runs a command beside the service, and gives what it prints.
    run: Callable[..., str]


def binary(root: pathlib.Path) -> str:
    if "NOSHI" not in os.environ:
        subprocess.run(["cargo", "build", "--quiet", "--locked"], cwd=root, check=True)
    return os.environ.get("NOSHI", str(root / os.environ.get("CARGO_TARGET_DIR", "target") / "debug/noshi"))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def shop(gateway: dict[str, str], scratch: pathlib.Path) -> dict[str, str]:
    """A merchant of Amazon Pay, whom the sandbox knows by a key pair of its own: the routes of payments are served only where there is one."""
    private = scratch / "pay.pem"
    private.touch(0o600)
    private.write_bytes(openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"))
    public = openssl("pkey", "-in", str(private), "-pubout").decode()
    merchant = {"merchant_id": "SHOP", "public_key_id": PAY_KEY_ID, "public_key": public}
    urllib.request.urlopen(f"{gateway['control']}/pay/merchants", json.dumps(merchant).encode(), timeout=10).close()
    prefix = "NOSHI__PAY__SHOP__"
    return {
        f"{prefix}REGION": "jp",
        f"{prefix}ENVIRONMENT": "sandbox",
        f"{prefix}SANDBOX_GATEWAY": gateway["gateway"].removeprefix("http://"),
        f"{prefix}PUBLIC_KEY_ID": PAY_KEY_ID,
        f"{prefix}MERCHANT_ID": "SHOP",
        f"{prefix}STORE_ID": "amzn1.application-oa2-client.0000",
        f"{prefix}PRIVATE_KEY_FILE": str(private),
    }


def openssl(*arguments: str) -> bytes:
    return subprocess.run(["openssl", *arguments], capture_output=True, check=True).stdout


@contextmanager
def serving(noshi: str, scratch: pathlib.Path) -> Iterator[Service]:
    with sandbox(noshi, scratch) as gateway:
        sealing = scratch / "sealing"
        sealing.touch(0o600)
        sealing.write_text(os.urandom(32).hex() + "\n")
        url, account = f"http://127.0.0.1:{free_port()}", "NOSHI__ACCOUNTS__US__"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("NOSHI")} | {
            "NOSHI__SERVER__LISTEN": url.removeprefix("http://"),
            "NOSHI__SERVER__ADMIN_LISTEN": f"127.0.0.1:{free_port()}",
            "NOSHI__STORE__URL": f"sqlite://{scratch / 'noshi.db'}",
            "NOSHI__LOG__FILTER": "warn",
            "NOSHI__SEALING__KEYS": f'[{{ id = "test", file = "{sealing}" }}]',
            f"{account}KINDS": '["gift_code", "card_activation", "balance_load"]',
            f"{account}PARTNER_ID": PARTNER,
            f"{account}MARKETPLACE": "US",
            f"{account}ENVIRONMENT": "sandbox",
            f"{account}SANDBOX_GATEWAY": gateway["gateway"].removeprefix("http://"),
            f"{account}ACCESS_KEY_ID": KEY_ID,
            f"{account}SECRET_ACCESS_KEY": SECRET,
        } | shop(gateway, scratch)

        def run(*arguments: str) -> str:
            return subprocess.run([noshi, *arguments], env=environment, cwd=scratch, capture_output=True, text=True, check=True).stdout

        run("migrate")
        key = run("keys", "create", "--client", "shop", "--name", "all", "--scopes", SCOPES).split()[0]
        with open(scratch / "noshi.log", "wb") as log:
            process = subprocess.Popen([noshi, "serve"], env=environment, cwd=scratch, stdout=log, stderr=log)
        try:
            until_up(url, process)
            yield Service(url, key, run)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


PAY_KEY_ID = "SANDBOX-SHOP"
SCOPES = (
    "rewards:write,rewards:read,rewards:cancel,claim_codes:reveal,balances:read,ledger:read,programs:read,programs:write,"
    "reconciliations:write,clients:all,key_pairs:read,key_pairs:write,webhooks:read,webhooks:write,"
    "pay:read,pay:write,pay:refund"
)


def until_up(url: str, process: subprocess.Popen) -> None:
    for _try in range(300):
        try:
            urllib.request.urlopen(f"{url}/openapi.json", timeout=5).close()
            return
        except OSError:
            assert process.poll() is None, "the service ended"
            time.sleep(0.1)
    raise AssertionError("the service did not come up")
