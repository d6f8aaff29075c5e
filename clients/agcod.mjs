#!/usr/bin/env node
// An AGCOD client: node agcod.mjs json|xml. See README.md.

import { createHash, createHmac, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";

const env = process.env;
const URL_BASE = env.AGCOD_URL ?? "http://127.0.0.1:8081";
const REGION = env.AGCOD_REGION ?? "us-east-1";
const PARTNER = env.AGCOD_PARTNER_ID ?? "Awssb";
const KEY_ID = env.AGCOD_ACCESS_KEY_ID ?? "AKIDSANDBOX";
const SECRET = env.AGCOD_SECRET_ACCESS_KEY ?? "sandbox-secret-known-to-everyone";
const SERVICE = "AGCODService";

const sha256 = (text) => createHash("sha256").update(text).digest("hex");
const hmac = (key, text) => createHmac("sha256", key).update(text).digest();

/** The headers to send, signed with Signature Version 4. */
function sign(url, headers, body) {
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
  headers["content-length"] = Buffer.byteLength(body);
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

async function main(form) {
  // Once for each card, and the same for every retry. It begins with the partner's id.
  const card = { creationRequestId: PARTNER + randomUUID().replaceAll("-", ""), partnerId: PARTNER };
  const create = { ...card, value: { currencyCode: "USD", amount: 1 } };
  const first = await call("CreateGiftCard", create, form);
  const again = await call("CreateGiftCard", create, form);
  if (member(first, "gcClaimCode", form) !== member(again, "gcClaimCode", form)) throw new Error("one id, two cards");
  await call("CancelGiftCard", card, form);
  await call("GetAvailableFunds", { partnerId: PARTNER }, form);
  const today = new Date().toISOString().slice(0, 10);
  await call("GetGiftCardActivityPage", {
    requestId: `${PARTNER}report`, partnerId: PARTNER, utcStartDate: `${today}T00:00:00`, utcEndDate: `${today}T23:59:59`,
    pageIndex: 0, pageSize: 10, showNoOps: "true",
  }, form);
}

main(process.argv[2] ?? "json").catch((failure) => {
  console.error(failure.message);
  process.exitCode = 1;
});
