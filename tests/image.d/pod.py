"""What a pod adds to an image: settings, secrets, a volume and a network that its containers share; and a way into that network."""

import ctypes
import http.client
import json
import os
import pathlib
import shutil
import threading
import time
from collections.abc import Callable
from typing import Any

from dockerfile import Image
from oci import Container, Limits, Runtime

K8S = pathlib.Path(__file__).parents[2] / "k8s"
SETTINGS = "/etc/noshi"
VOLUME = "/var/lib/noshi"
SECRETS = "/run/secrets/noshi/us"
# The sandbox's own key pair, known to everyone.
KEY_PAIR = {"access_key_id": "AKIDSANDBOX", "secret_access_key": "sandbox-secret-known-to-everyone"}
# As in k8s/overlays/sandbox/gateway.yaml.
GATEWAY = ["sandbox", "--book", f"{VOLUME}/sandbox-book.jsonl"]
# As in k8s/base/deployment.yaml.
SERVE = ["serve", "--config", f"{SETTINGS}/noshi.toml"]
API_PORT = 8080
CONTROL_PORT = 8082
CLONE_NEWNET = 0x40000000


def within(pid: int, work: Callable[[], Any]) -> Any:
    """Does it in the network of this process. The calling thread stays where it is."""
    outcome: list[Any] = []

    def there() -> None:
        try:
            enter(pid)
            outcome.append((work(), None))
        except Exception as error:
            outcome.append((None, error))

    thread = threading.Thread(target=there)
    thread.start()
    thread.join()
    value, error = outcome[0]
    if error is not None:
        raise error
    return value


def enter(pid: int) -> None:
    """Moves this thread, and only this, into the network of that process."""
    libc = ctypes.CDLL(None, use_errno=True)
    space = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    try:
        if libc.setns(space, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(space)


class Pod:
    """The containers of one overlay: a gateway like that of the sandbox overlay, and the service."""

    def __init__(self, runtime: Runtime, image: Image, root: pathlib.Path, overlay: str, gateway: bool = True):
        self.runtime = runtime
        self.image = image
        self.root = root
        self.limits = Limits.read(K8S / "base/deployment.yaml")
        self.folder = runtime.work / f"pod-{overlay}-{len(runtime.running)}"
        self.settings = self.mounted("settings", {"noshi.toml": (K8S / "overlays" / overlay / "noshi.toml").read_text()}, 0o444)
        self.secrets = self.mounted("secrets", {name: f"{text}\n" for name, text in KEY_PAIR.items()}, 0o440)
        self.volume = self.folder / "volume"
        self.volume.mkdir()
        shutil.chown(self.volume, 0, image.user[1])
        self.volume.chmod(0o2775)
        self.gateway = None
        self.gateway = runtime.start(self.container("gateway", GATEWAY)) if gateway else None

    def mounted(self, name: str, files: dict[str, str], mode: int) -> pathlib.Path:
        """A folder of root's that the pod's group may read, as the kubelet makes one of a ConfigMap or a Secret."""
        folder = self.folder / name
        folder.mkdir(parents=True)
        for file, text in files.items():
            (folder / file).write_text(text)
            shutil.chown(folder / file, 0, self.image.user[1])
            (folder / file).chmod(mode)
        return folder

    def container(self, name: str, arguments: list[str], **more: Any) -> Container:
        """A container of this pod."""
        more["read_only"] = {SETTINGS: self.settings, SECRETS: self.secrets} | more.get("read_only", {})
        network = self.gateway.pid if self.gateway else None
        more |= {"writable": {VOLUME: self.volume}, "working_directory": SETTINGS, "network_of": network}
        return Container(name, self.image, self.root, arguments, self.limits, **more)

    def ask(self, method: str, port: int, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """One request to a port of the pod's loopback, from outside of its file system: the status, and the answer's JSON."""

        def work() -> tuple[int, Any]:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            sent = {"Content-Type": "application/json"} | (headers or {})
            connection.request(method, path, body=None if body is None else json.dumps(body), headers=sent)
            answer = connection.getresponse()
            text = answer.read()
            connection.close()
            return answer.status, json.loads(text or b"null")

        return within(self.gateway.pid, work)

    def order(self, key: str, idempotency_key: str) -> tuple[int, Any]:
        """Buys a gift code of 25 dollars."""
        headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": idempotency_key}
        value = {"amount": "25.00", "currency_code": "USD"}
        return self.ask("POST", API_PORT, "/v1/rewards", {"kind": "gift_code", "value": value}, headers)

    def book(self) -> list[Any]:
        """The cards that the gateway sold."""
        return self.ask("GET", CONTROL_PORT, "/book")[1]


def until(what: str, good: Callable[[], bool], seconds: float = 30) -> None:
    """Waits for it."""
    end = time.monotonic() + seconds
    while not good():
        assert time.monotonic() < end, f"{what} within {seconds} s"
        time.sleep(0.1)
