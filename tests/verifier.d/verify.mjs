// Verifies messages with the library of npm, as its page says. See tests/verifier.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { Webhook } = createRequire(`${process.env.PACKAGES}/package.json`)("standardwebhooks");
for (const { name, secret, body, headers } of JSON.parse(readFileSync(0, "utf8"))) {
  let outcome = "accepted";
  try {
    new Webhook(secret).verify(body, headers);
  } catch (refusal) {
    outcome = String(refusal.message);
  }
  console.log(JSON.stringify({ message: name, outcome }));
}
