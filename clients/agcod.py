#!/usr/bin/env python3
"""An AGCOD client: python3 agcod.py json|xml. See README.md."""

import datetime
import hashlib
import hmac
import json
import os
import ssl
import sys
import urllib.error
import urllib.request
import uuid
import xml.etree.ElementTree as ElementTree
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

URL = os.environ.get("AGCOD_URL", "http://127.0.0.1:8081")
REGION = os.environ.get("AGCOD_REGION", "us-east-1")
PARTNER = os.environ.get("AGCOD_PARTNER_ID", "Awssb")
KEY_ID = os.environ.get("AGCOD_ACCESS_KEY_ID", "AKIDSANDBOX")
SECRET = os.environ.get("AGCOD_SECRET_ACCESS_KEY", "sandbox-secret-known-to-everyone")
CA = os.environ.get("AGCOD_CA")
CARD_NUMBER = os.environ.get("AGCOD_CARD_NUMBER", "1400000005567585358")
BARCODE = os.environ.get("AGCOD_BARCODE", "851000000000000000000000000000")
SERVICE = "AGCODService"


class Refused(Exception):
    """Amazon did not do it."""


def sign_by_hand(url, headers, body):
    """Signature Version 4 with the standard library."""
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    signed = {name.lower(): value for name, value in headers.items()} | {"host": urlsplit(url).netloc, "x-amz-date": now}
    names = ";".join(sorted(signed))
    lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
    canonical = f"POST\n{urlsplit(url).path}\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    scope = f"{now[:8]}/{REGION}/{SERVICE}/aws4_request"
    to_sign = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = b"AWS4" + SECRET.encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    authorization = f"AWS4-HMAC-SHA256 Credential={KEY_ID}/{scope}, SignedHeaders={names}, Signature={signature}"
    return headers | {"x-amz-date": now, "Authorization": authorization}


def sign(url, headers, body):
    """The headers to send: signed by botocore, where it is there."""
    try:
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials
    except ImportError:
        return sign_by_hand(url, headers, body)
    request = AWSRequest("POST", url, headers=headers, data=body)
    SigV4Auth(Credentials(KEY_ID, SECRET), SERVICE, REGION).add_auth(request)
    return dict(request.headers)


def to_xml(name, value):
    inside = "".join(to_xml(*member) for member in value.items()) if isinstance(value, dict) else escape(str(value))
    return f"<{name}>{inside}</{name}>"


def written(operation, members, form):
    if form == "json":
        # An amount is text here, so that no binary float changes it, and a number on the wire.
        text = json.dumps(members)
        amount = members.get("value", {}).get("amount")
        return (text.replace(f'"amount": "{amount}"', f'"amount": {amount}') if amount else text).encode()
    return to_xml(f"{operation}Request", members).encode()


def member(text, name, form):
    """A member of an answer, below its root or below agcodResponse; None where there is none."""
    if form == "json":
        answer = json.loads(text)
        return answer.get(name, answer.get("agcodResponse", {}).get(name))
    return ElementTree.fromstring(text).findtext(f".//{name}")


def call(operation, members, form):
    """Sends one call, and gives the text of its answer."""
    url, body = f"{URL}/{operation}", written(operation, members, form)
    headers = {
        "Accept": f"application/{form}",
        "Content-Type": f"application/{form}",
        "X-Amz-Target": f"com.amazonaws.agcod.AGCODService.{operation}",
    }
    request = urllib.request.Request(url, body, sign(url, headers, body), method="POST")
    context = ssl.create_default_context(cafile=CA) if url.startswith("https:") else None
    try:
        # Amazon advises 6 seconds. After a time-out the outcome is unknown: send the same bytes again.
        with urllib.request.urlopen(request, timeout=6, context=context) as answer:
            text = answer.read().decode()
    except urllib.error.HTTPError as error:
        raise Refused(f"{operation} {error.code} {error.read().decode().strip()}") from None
    print(operation, member(text, "status", form))
    return text


def new_id():
    """Once for each order, and the same for every retry. It begins with the partner's id."""
    return f"{PARTNER}{uuid.uuid4().hex}"


def gift_code(form):
    card = {"creationRequestId": new_id(), "partnerId": PARTNER}
    create = card | {"value": {"currencyCode": "USD", "amount": "1.00"}}
    first, again = call("CreateGiftCard", create, form), call("CreateGiftCard", create, form)
    assert member(first, "gcClaimCode", form) == member(again, "gcClaimCode", form), "one id, one card"
    call("CancelGiftCard", card, form)


def physical_card(form):
    card = {"partnerId": PARTNER, "cardNumber": CARD_NUMBER}
    activation = {"activationRequestId": new_id()} | card
    call("ActivateGiftCard", activation | {"value": {"currencyCode": "USD", "amount": "1.00"}}, form)
    # It shows the card as it is, whoever activated it.
    assert "Activated" in call("ActivationStatusCheck", {"statusCheckRequestId": new_id()} | card, form), "activated"
    call("DeactivateGiftCard", activation, form)


def balance_load(form):
    # Amazon publishes little of this product: a barcode is type 1, and the value counts minor units.
    account = {"account": {"id": BARCODE, "type": 1}, "amount": {"currencyCode": "USD", "value": 100}}
    load = {"loadBalanceRequestId": new_id(), "partnerId": PARTNER} | account
    call("ValidateAccountForAmazonBalanceLoad", {"partnerId": PARTNER} | account, form)
    call("LoadAmazonBalance", load, form)
    call("VoidAmazonBalanceLoad", load, form)


def reports(form):
    call("GetAvailableFunds", {"partnerId": PARTNER}, form)
    today = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
    call("GetGiftCardActivityPage", {
        "requestId": f"{PARTNER}report", "partnerId": PARTNER, "utcStartDate": f"{today}T00:00:00", "utcEndDate": f"{today}T23:59:59",
        "pageIndex": 0, "pageSize": 10, "showNoOps": "true",
    }, form)


def main():
    form = sys.argv[1] if len(sys.argv) > 1 else "json"
    for part in (gift_code, physical_card, balance_load, reports):
        part(form)


if __name__ == "__main__":
    try:
        main()
    except (Refused, OSError) as failure:
        sys.exit(str(failure))
