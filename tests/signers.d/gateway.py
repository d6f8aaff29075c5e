"""The sandbox as the signers meet it, the way to it, and what is counted. See tests/signers."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

# AWS's public example; opens nothing.
KEY_ID, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
PARTNER = "Awssb"


class Tally:
    """What held and what did not."""

    def __init__(self) -> None:
        self.passed = self.failed = 0
        # Those who took part: a name, and whether all of theirs held.
        self.parties: dict[str, bool] = {}

    def check(self, what: str, good: bool, found: object = "") -> None:
        self.passed, self.failed = self.passed + good, self.failed + (not good)
        print(f"{'ok     ' if good else 'FAILED '} {what}{'' if good else f': {found}'}", flush=True)

    def party(self, name: str, what: str, good: bool, found: object = "") -> None:
        """As `check`, of one of those that are counted at the end."""
        self.parties[name] = self.parties.get(name, True) and good
        self.check(f"{name}: {what}", good, found)


@contextmanager
def sandbox(noshi: str, scratch: pathlib.Path, *more: str) -> Iterator[dict[str, str]]:
    """A sandbox with the example's key pair; gives what it prints, by the first word of the line."""
    secret = scratch / "secret"
    secret.touch(0o600)
    secret.write_text(SECRET)
    command = [noshi, "sandbox", "--control", "127.0.0.1:0", "--partner-id", PARTNER, "--no-throttle"]
    command += ["--access-key-id", KEY_ID, "--secret-access-key-file", str(secret), *more]
    if "--listen" not in more:
        command += ["--listen", "127.0.0.1:0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        said: dict[str, str] = {}
        for line in process.stdout:
            word, rest = line.split(maxsplit=1)
            said[word] = rest.split("   ")[0].strip()
            if word == "partner":
                break
        assert "partner" in said, f"the sandbox did not start: {said}"
        yield said
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


class Passage:
    """A way to the gateway on which each request is kept as it came, and sent on changed."""

    def __init__(self, gateway: str, change: Callable[[bytes], bytes] = lambda request: request):
        self.gateway = gateway
        self.change = change
        self.kept: list[bytes] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            client, _address = self.listener.accept()
            threading.Thread(target=self.carry, args=(client,), daemon=True).start()

    def carry(self, client: socket.socket) -> None:
        while request := message(client):
            self.kept.append(request)
            client.sendall(sent(self.gateway, self.change(request)))


def sent(gateway: str, request: bytes) -> bytes:
    """The answer to these bytes."""
    with socket.create_connection((urlsplit(gateway).hostname, urlsplit(gateway).port), timeout=10) as server:
        server.sendall(request)
        return message(server)


def message(source: socket.socket) -> bytes:
    """A whole request or answer; empty where the other side has ended."""
    read = b""
    while not whole(read):
        data = source.recv(65536)
        if not data:
            return b""
        read += data
    return read


def whole(read: bytes) -> bool:
    head, _, body = read.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return length is not None and len(body) >= int(length[1])


def control(said: dict[str, str], path: str, body: object = None, method: str | None = None) -> object:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
        urllib.request.Request(f"{said['control']}{path}", data, method=method), timeout=10
    ) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def environment(more: dict[str, str], trust: str = "") -> dict[str, str]:
    """What somebody else's program is given: nothing of a proxy, nothing of the caller's AWS, and whom to trust."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    alone = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    alone |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONWARNINGS": "ignore", "NODE_NO_WARNINGS": "1"}
    trusting = ("NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE", "PERL_LWP_SSL_CA_FILE")
    return kept | alone | {name: trust for name in trusting if trust} | more
