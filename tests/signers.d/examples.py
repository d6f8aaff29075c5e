"""The worked examples of clients/: what they sign is accepted, and what was changed on the way is not. See tests/signers."""

import http.client
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from gateway import KEY_ID, PARTNER, SECRET, Passage, Tally, control, sent
from packages import Packages

CLIENTS = pathlib.Path(__file__).resolve().parents[2] / "clients"
STEPS = [
    "CreateGiftCard",
    "CreateGiftCard",
    "CancelGiftCard",
    "ActivateGiftCard",
    "ActivationStatusCheck",
    "DeactivateGiftCard",
    "ValidateAccountForAmazonBalanceLoad",
    "LoadAmazonBalance",
    "VoidAmazonBalanceLoad",
    "GetAvailableFunds",
    "GetGiftCardActivityPage",
]


def flipped(request: bytes) -> bytes:
    """One digit of the signature is another."""
    return re.sub(rb"Signature=(.)", lambda found: b"Signature=" + (b"1" if found[1] == b"0" else b"0"), request)


def edited(request: bytes) -> bytes:
    """One byte of the body is another: the first digit or letter of the partner's id."""
    head, gap, body = request.partition(b"\r\n\r\n")
    return head + gap + body.replace(PARTNER.encode(), b"B" + PARTNER[1:].encode(), 1)


def operation_of(request: bytes) -> str:
    return request.split(b" ", 2)[1].decode().strip("/")


def another_operation(request: bytes) -> bytes:
    return STEPS[(STEPS.index(operation_of(request)) + 2) % len(STEPS)].encode()


def of_another_path(request: bytes) -> bytes:
    return request.replace(operation_of(request).encode(), another_operation(request), 1)


def of_another_target(request: bytes) -> bytes:
    """The target names another operation; where the client sends none, one is put in."""
    target = b"AGCODService." + another_operation(request)
    changed = re.sub(rb"(?im)^(x-amz-target: com\.amazonaws\.agcod\.)[^\r]*", rb"\1" + target, request)
    return changed if changed != request else request.replace(b"\r\n", b"\r\nX-Amz-Target: com.amazonaws.agcod." + target + b"\r\n", 1)


def a_second_later(request: bytes) -> bytes:
    def moved(found: re.Match[bytes]) -> bytes:
        return found[1] + b"%02dZ" % ((int(found[2]) + 1) % 60)

    return re.sub(rb"(?i)(x-amz-date: \d{8}T\d{4})(\d\d)Z", moved, request)


def put(pattern: bytes, text: bytes) -> Callable[[bytes], bytes]:
    """Changes the value of what the pattern finds, which ends where the value begins."""
    return lambda request: re.sub(rb"(?im)(" + pattern + rb")[^,/;\r]*", rb"\g<1>" + text, request, count=1)


def changes(other_key: str) -> dict[str, Callable[[bytes], bytes]]:
    """Whatever a signature covers, each changed."""
    return {
        "one digit of the signature": flipped,
        "one byte of the body": edited,
        "the path of another operation": of_another_path,
        "the target of another operation": of_another_target,
        "a date a second later": a_second_later,
        "another of Amazon's hosts": put(rb"^host: ", b"agcod-v2-gamma.amazon.com"),
        "another type of the body": put(rb"^content-type: application/", b"octet-stream"),
        "another key of the partner": put(rb"Credential=", other_key.encode()),
        "a key that nobody has": put(rb"Credential=", b"AKIDNOBODY"),
        "another region": put(rb"Credential=[^/]*/\d+/", b"eu-west-1"),
        "another service": put(rb"Credential=[^/]*/\d+/[^/]*/", b"execute-api"),
    }


def refused(answer: bytes, form: str) -> bool:
    """Whether it is a refusal of the front door that the client can read."""
    head, _, body = answer.partition(b"\r\n\r\n")
    reads = body.startswith(b"<") if form == "xml" else body.startswith(b"{")
    return head.split(b" ", 2)[1] in (b"400", b"403") and b"x-amzn-errortype" in head.lower() and reads


def examples(packages: Packages) -> Iterator[tuple[str, list[str]]]:
    """Whatever can run here."""
    if packages.python:
        yield "botocore", [str(packages.python / "bin/python"), str(CLIENTS / "agcod.py")]
    # -S leaves installed packages out of sight.
    yield "python", [sys.executable, "-S", str(CLIENTS / "agcod.py")]
    if packages.node:
        yield "aws4", ["env", f"NODE_PATH={packages.node / 'node_modules'}", "node", str(CLIENTS / "agcod.mjs")]
    has_all = "exit(class_exists('SimpleXMLElement') && function_exists('curl_init') ? 0 : 1);"
    for name, found, file in [("node", ["node", "-e", ""], "agcod.mjs"), ("php", ["php", "-r", has_all], "agcod.php")]:
        if shutil.which(found[0]) and subprocess.run(found).returncode == 0:
            yield name, [found[0], str(CLIENTS / file)]
        else:
            print(f"skipped {name}: there is none that can run {file}")
    helped = subprocess.run(["curl", "--help", "all"], capture_output=True, text=True) if shutil.which("curl") else None
    if helped and "--aws-sigv4" in helped.stdout:
        yield "curl", ["bash", str(CLIENTS / "agcod.sh")]
    else:
        print("skipped curl: there is none with --aws-sigv4")


def ran_with(command: list[str], form: str, url: str, **more: str) -> subprocess.CompletedProcess[str]:
    pair = {"AGCOD_ACCESS_KEY_ID": KEY_ID, "AGCOD_SECRET_ACCESS_KEY": SECRET}
    # One that comes by a proxy of the environment would not come to the gateway.
    plain = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment = plain | pair | {"AGCOD_URL": url, "AGCOD_PARTNER_ID": PARTNER} | more
    return subprocess.run([*command, form], env=environment, capture_output=True, text=True, timeout=60)


def tampered(tally: Tally, name: str, form: str, requests: list[bytes], said: dict[str, str], other_key: str) -> None:
    """Each request of a client, sent again as it was and then changed in each way."""
    before = control(said, "/state")
    again = [sent(said["gateway"], request) for request in requests]
    tally.check(f"{name}, {form}: the same bytes again", all(answer.startswith(b"HTTP/1.1 200") for answer in again), again)
    for what, change in changes(other_key).items():
        changed = [change(request) for request in requests]
        assert all(one != other for one, other in zip(requests, changed)), f"{name}: nothing was changed by {what}"
        let_in = [(operation_of(one), answer) for one in changed if not refused(answer := sent(said["gateway"], one), form)]
        tally.check(f"{name}, {form}: {what}: all {len(changed)} refused", not let_in, let_in)
    tally.check(f"{name}, {form}: nothing came of it", control(said, "/state") == before, "cards, loads or funds have changed")


def run_examples(tally: Tally, found: list[tuple[str, list[str]]], plain: dict[str, str], secured: dict[str, str]) -> None:
    good = [f"{step} SUCCESS" for step in STEPS]
    other_key = control(plain, "/keys", {"partner_id": PARTNER})["id"]
    for name, command in found:
        for form in ("json", "xml"):
            passage = Passage(plain["gateway"])
            ran = ran_with(command, form, passage.url)
            tally.check(f"{name}, {form}: each operation", ran.stdout.splitlines() == good and ran.returncode == 0, ran)
            tampered(tally, name, form, passage.kept, plain, other_key)
            ran = ran_with(command, form, Passage(plain["gateway"], edited).url)
            explained = "CreateGiftCard 403" in ran.stderr and "String-to-Sign should have been" in ran.stderr
            tally.check(f"{name}, {form}: a refusal is explained", ran.returncode == 1 and ran.stdout == "" and explained, ran)
        ran = ran_with(command, "json", plain["gateway"], AGCOD_SECRET_ACCESS_KEY=f"{SECRET}x")
        tally.check(f"{name}: another secret", ran.returncode == 1 and "403" in ran.stderr, ran)
        ran = ran_with(command, "json", secured["gateway"], AGCOD_CA=secured["trust"], NODE_EXTRA_CA_CERTS=secured["trust"])
        tally.check(f"{name}: by TLS", ran.stdout.splitlines() == good, ran)
        ran = ran_with(command, "json", secured["gateway"])
        tally.check(f"{name}: by TLS, which it has no reason to trust", ran.returncode == 1 and ran.stdout == "", ran)


BOTOCORE = """
import json, sys
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
url, key_id, secret, region, host, operation, body = sys.argv[1:]
headers = {"Accept": "application/json", "Content-Type": "application/json", "Host": host,
           "X-Amz-Target": f"com.amazonaws.agcod.AGCODService.{operation}"}
request = AWSRequest("POST", url, headers=headers, data=body.encode())
SigV4Auth(Credentials(key_id, secret), "AGCODService", region).add_auth(request)
print(json.dumps(dict(request.headers)))
"""


def hosts_and_paths(tally: Tally, python: str, gateway: str) -> None:
    """Amazon's host names over a plain connection, and the paths that Amazon's canonical form makes one."""
    address = urlsplit(gateway)
    far_east, north_america = "agcod-v2-fe-gamma.amazon.com", "agcod-v2-gamma.amazon.com"
    for what, path, region, host, currency, amount in [
        ("the Far East host", "/CreateGiftCard", "us-west-2", far_east, "JPY", 1000),
        ("the path / with a target", "/", "us-east-1", north_america, "USD", 1),
        ("a slash at the end", "/CreateGiftCard/", "us-east-1", north_america, "USD", 1),
        ("dots in the path", "/v2/.././CreateGiftCard", "us-east-1", north_america, "USD", 1),
    ]:
        value = {"currencyCode": currency, "amount": amount}
        order = {"creationRequestId": f"{PARTNER}{currency}", "partnerId": PARTNER, "value": value, "externalReference": "café-42"}
        body = json.dumps(order, ensure_ascii=False)
        command = [python, "-c", BOTOCORE, f"{gateway}{path}", KEY_ID, SECRET, region, host, "CreateGiftCard", body]
        headers = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
        connection.putrequest("POST", path, skip_host=True, skip_accept_encoding=True)
        for name, text in headers.items():
            connection.putheader(name, text)
        connection.putheader("Content-Length", str(len(body.encode())))
        connection.endheaders(body.encode())
        answer = connection.getresponse()
        text = answer.read().decode()
        tally.check(f"botocore, {what}", answer.status == 200 and json.loads(text)["status"] == "SUCCESS", text)




def run(tally: Tally, packages: Packages, plain: dict[str, str], secured: dict[str, str]) -> None:
    run_examples(tally, list(examples(packages)), plain, secured)
    if packages.python:
        hosts_and_paths(tally, str(packages.python / "bin/python"), plain["gateway"])
