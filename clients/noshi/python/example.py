"""Issues a gift code without waiting for it, meets it again, has its code shown, finds it by our own reference, and cancels it."""

import os
import sys
import time
import uuid

from generated import AuthenticatedClient
from generated.api.rewards import cancel_reward, get_reward, issue_reward, list_rewards, reveal_claim_code
from generated.models import Problem, Reason, RewardRequest, ValueRequest

client = AuthenticatedClient(os.environ["NOSHI_URL"], os.environ["NOSHI_KEY"], timeout=20)


def of(answer):
    """What was answered; a refusal ends the example."""
    if answer.parsed is None or isinstance(answer.parsed, Problem):
        sys.exit(f"{answer.status_code}: {getattr(answer.parsed, 'code', 'no answer')}")
    return answer.parsed


order = f"order {uuid.uuid4()}"
asked = RewardRequest(kind="gift_code", value=ValueRequest(amount="25.00", currency_code="USD"), external_id=order)
answer = issue_reward.sync_detailed(client=client, body=asked, idempotency_key=order, prefer="respond-async")
reward = of(answer)
print(f"{answer.status_code.value} {reward.status}")
for _attempt in range(60):
    if reward.status not in ("pending", "issuing", "unresolved"):
        break
    # Not sooner than the service asks, and not for ever. The same key again would do as well: it never buys twice.
    time.sleep(int(answer.headers.get("Retry-After", 1)))
    answer = get_reward.sync_detailed(client=client, id=reward.id)
    reward = of(answer)
if reward.status != "issued":
    sys.exit(f"{reward.id} is {reward.status}")
shown = of(reveal_claim_code.sync_detailed(client=client, id=reward.id, body=Reason(reason="the customer asked for it")))
print(f"a code of {len(shown.claim_code)} characters")
print(f"found {[found.id for found in of(list_rewards.sync_detailed(client=client, external_id=order)).data] == [reward.id]}")
reward = of(cancel_reward.sync_detailed(client=client, id=reward.id, body=Reason(reason="the order was returned")))
print(reward.status)
