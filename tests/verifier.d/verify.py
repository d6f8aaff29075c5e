"""Verifies messages with the library of PyPI, as its page says. See tests/verifier."""

import json
import sys

from standardwebhooks.webhooks import Webhook

for message in json.load(sys.stdin):
    try:
        Webhook(message["secret"]).verify(message["body"], message["headers"])
        outcome = "accepted"
    except Exception as refusal:
        outcome = str(refusal)
    print(json.dumps({"message": message["name"], "outcome": outcome}))
