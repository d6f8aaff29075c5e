#!/usr/bin/env node
// An AGCOD client: node agcod.mjs json|xml. See README.md.

import { createHash, createHmac, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import http from "node:http";
import https from "node:https";

const env = process.env;
const URL_BASE = env.AGCOD_URL ?? "http://127.0.0.1:8081";
const REGION = env.AGCOD_REGION ?? "us-east-1";
const PARTNER = env.AGCOD_PARTNER_ID ?? "Awssb";
const KEY_ID = env.AGCOD_ACCESS_KEY_ID ?? "AKIDSANDBOX";
const SECRET = env.AGCOD_SECRET_ACCESS_KEY ?? "sandbox-secret-known-to-everyone";
const CARD_NUMBER = env.AGCOD_CARD_NUMBER ?? "1400000005567585358";
const BARCODE = env.AGCOD_BARCODE ?? "851000000000000000000000000000";
const SERVICE = "AGCODService";

const sha256 = (text) => createHash("sha256").update(text).digest("hex");
const hmac = (key, text) => createHmac("sha256", key).update(text).digest();

/** The package aws4, where it is installed. */
const aws4 = (() => {
  try {
    return createRequire(import.meta.url)("aws4");
  } catch {
    return undefined;
  }
})();

/** The headers to send: signed by aws4, where it is there. */
function sign(url, headers, body) {
  if (!aws4) return signByHand(url, headers, body);
  const request = { method: "POST", host: url.host, path: url.pathname, service: SERVICE, region: REGION, headers, body };
  return aws4.sign(request, { accessKeyId: KEY_ID, secretAccessKey: SECRET }).headers;
}

/** Signature Version 4 with what Node has. */
function signByHand(url, headers, body) {
  const now = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
  const signed = { ...headers, host: url.host, "x-amz-date": now };
  const names = Object.keys(signed).sort();
  const canonical = [
    "POST", url.pathname, "", ...names.map((name) => `${name}:${signed[name]}`), "", names.join(";"), sha256(body),
  ].join("\n");
  const scope = `${now.slice(0, 8)}/${REGION}/${SERVICE}/aws4_request`;
  const toSign = ["AWS4-HMAC-SHA256", now, scope, sha256(canonical)].join("\n");
  const key = scope.split("/").reduce(hmac, `AWS4${SECRET}`);
  const signature = hmac(key, toSign).toString("hex");
  const credential = `Credential=${KEY_ID}/${scope}, SignedHeaders=${names.join(";")}`;
  return { ...signed, Authorization: `AWS4-HMAC-SHA256 ${credential}, Signature=${signature}` };
}

const escaped = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;");
const toXml = (name, value) => {
  const inside = typeof value === "object"
    ? Object.entries(value).map(([inner, its]) => toXml(inner, its)).join("")
    : escaped(String(value));
  return `<${name}>${inside}</${name}>`;
};

/** A member of an answer, below its root or below agcodResponse. */
function member(text, name, form) {
  if (form === "json") {
    const answer = JSON.parse(text);
    return answer[name] ?? answer.agcodResponse?.[name];
  }
  return text.match(new RegExp(`<${name}>([^<]*)</${name}>`))?.[1];
}

/** Sends one call, and gives the text of its answer. */
function call(operation, members, form) {
  const url = new URL(`/${operation}`, URL_BASE);
  const body = form === "json" ? JSON.stringify(members) : toXml(`${operation}Request`, members);
  const headers = sign(url, {
    accept: `application/${form}`,
    "content-type": `application/${form}`,
    "x-amz-target": `com.amazonaws.agcod.AGCODService.${operation}`,
  }, body);
  headers["Content-Length"] = Buffer.byteLength(body);
  const ca = env.AGCOD_CA ? readFileSync(env.AGCOD_CA) : undefined;
  return new Promise((resolve, reject) => {
    const send = url.protocol === "https:" ? https.request : http.request;
    // Amazon advises 6 seconds. After a time-out the outcome is unknown: send the same bytes again.
    const request = send(url, { method: "POST", headers, ca, timeout: 6000 }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (part) => { text += part; }).on("error", reject).on("end", () => {
        if (answer.statusCode !== 200) return reject(new Error(`${operation} ${answer.statusCode} ${text.trim()}`));
        console.log(operation, member(text, "status", form));
        resolve(text);
      });
    });
    request.on("timeout", () => request.destroy(new Error(`${operation}: no answer in 6 seconds`)));
    request.on("error", reject).end(body);
  });
}

// Once for each order, and the same for every retry. It begins with the partner's id.
const newId = () => PARTNER + randomUUID().replaceAll("-", "");

async function giftCode(form) {
  const card = { creationRequestId: newId(), partnerId: PARTNER };
  const create = { ...card, value: { currencyCode: "USD", amount: 1 } };
  const first = await call("CreateGiftCard", create, form);
  const again = await call("CreateGiftCard", create, form);
  if (member(first, "gcClaimCode", form) !== member(again, "gcClaimCode", form)) throw new Error("one id, two cards");
  await call("CancelGiftCard", card, form);
}

async function physicalCard(form) {
  const card = { partnerId: PARTNER, cardNumber: CARD_NUMBER };
  const activation = { activationRequestId: newId(), ...card };
  await call("ActivateGiftCard", { ...activation, value: { currencyCode: "USD", amount: 1 } }, form);
  // It shows the card as it is, whoever activated it.
  const shown = await call("ActivationStatusCheck", { statusCheckRequestId: newId(), ...card }, form);
  if (!shown.includes("Activated")) throw new Error("an activated card is not active");
  await call("DeactivateGiftCard", activation, form);
}

async function balanceLoad(form) {
  // Amazon publishes little of this product: a barcode is type 1, and the value counts minor units.
  const account = { account: { id: BARCODE, type: 1 }, amount: { currencyCode: "USD", value: 100 } };
  const load = { loadBalanceRequestId: newId(), partnerId: PARTNER, ...account };
  await call("ValidateAccountForAmazonBalanceLoad", { partnerId: PARTNER, ...account }, form);
  await call("LoadAmazonBalance", load, form);
  await call("VoidAmazonBalanceLoad", load, form);
}

async function reports(form) {
  await call("GetAvailableFunds", { partnerId: PARTNER }, form);
  const today = new Date().toISOString().slice(0, 10);
  await call("GetGiftCardActivityPage", {
    requestId: `${PARTNER}report`, partnerId: PARTNER, utcStartDate: `${today}T00:00:00`, utcEndDate: `${today}T23:59:59`,
    pageIndex: 0, pageSize: 10, showNoOps: "true",
  }, form);
}

async function main(form) {
  for (const part of [giftCode, physicalCard, balanceLoad, reports]) await part(form);
}

main(process.argv[2] ?? "json").catch((failure) => {
  console.error(failure.message);
  process.exitCode = 1;
});
