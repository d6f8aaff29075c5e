"""Uses the client of PyPI, as its page says. See unchanged.py."""

import json
import os
import time

from agcod import client

client.aws_key_id, client.aws_secret_key, client.partner_id = (os.environ[name] for name in ("KEY_ID", "SECRET", "PARTNER"))


def say(step, outcome):
    print(json.dumps({"step": step, "outcome": str(outcome)}))


def new_id(name):
    return f"{client.partner_id}{time.time_ns()}{name}"


again = new_id("again")
first = client.create_gift_card(again, 1.5, "USD")
say("create, sandbox", first["status"])
second = client.create_gift_card(again, 1.5, "USD")
say("create again", "the same card" if second["gcClaimCode"] == first["gcClaimCode"] else "another card")
say("cancel", client.cancel_gift_card(again, first["gcId"])["status"])
say("funds", client.get_available_funds()["status"])
say("mock id", client.create_gift_card("F2003", 1.5, "USD"))
client.sandbox = False
say("create, production", client.create_gift_card(new_id("there"), 1.5, "USD")["status"])
client.aws_secret_key += "x"
say("another secret", client.create_gift_card(new_id("forged"), 1.5, "USD"))
