// Issues a gift code without waiting for it, meets it again, has its code shown, finds it by our own reference, and cancels it.

import { setTimeout } from "node:timers/promises";
import { createClient } from "./generated/client/index.ts";
import { cancelReward, getReward, issueReward, listRewards, revealClaimCode } from "./generated/index.ts";

const client = createClient({ baseUrl: process.env.NOSHI_URL ?? "http://127.0.0.1:8080", auth: process.env.NOSHI_KEY });
// The service answers within 10 seconds.
const signal = () => AbortSignal.timeout(20_000);

/** What was answered; a refusal ends the example. */
function of<T>(answer: { data?: T; error?: unknown; response?: Response }): T {
    if (answer.data === undefined) throw new Error(`${answer.response?.status}: ${JSON.stringify(answer.error)}`);
    return answer.data;
}

const order = `order ${crypto.randomUUID()}`;
const body = { kind: "gift_code", value: { amount: "25.00", currency_code: "USD" }, external_id: order };
const answer = await issueReward({ client, body, signal: signal(), headers: { "Idempotency-Key": order, Prefer: "respond-async" } });
let reward = of(answer);
console.log(`${answer.response?.status} ${reward.status}`);
const path = { id: reward.id };
let wait = answer.response?.headers.get("Retry-After");
for (let attempt = 0; attempt < 60 && ["pending", "issuing", "unresolved"].includes(reward.status); attempt++) {
    // Not sooner than the service asks, and not for ever. The same key again would do as well: it never buys twice.
    await setTimeout(1000 * Number(wait ?? 1));
    const read = await getReward({ client, path, signal: signal() });
    [reward, wait] = [of(read), read.response?.headers.get("Retry-After")];
}
if (reward.status !== "issued") throw new Error(`${reward.id} is ${reward.status}`);
const shown = of(await revealClaimCode({ client, path, signal: signal(), body: { reason: "the customer asked for it" } }));
console.log(`a code of ${shown.claim_code?.length} characters`);
const found = of(await listRewards({ client, signal: signal(), query: { external_id: order } }));
console.log(`found ${found.data.length === 1 && found.data[0]?.id === reward.id}`);
reward = of(await cancelReward({ client, path, signal: signal(), body: { reason: "the order was returned" } }));
console.log(reward.status);
