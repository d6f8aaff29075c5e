// Uses a client of npm, as its page says. See unchanged.py.
import { createRequire } from "node:module";

const load = createRequire(`${process.env.PACKAGES}/package.json`);
const { KEY_ID: key, SECRET: secret, PARTNER: partnerId } = process.env;
const say = (step, outcome) => console.log(JSON.stringify({ step, outcome: String(outcome) }));
const of = (error) => `${error.message ?? ""} ${JSON.stringify(error.response?.data ?? error)}`;
const attempt = async (step, promise, outcome = (answer) => answer.status) => {
  try {
    const answer = await promise;
    say(step, outcome(answer));
    return answer;
  } catch (error) {
    say(step, of(error));
  }
};
const same = (first) => (answer) => (first?.gcClaimCode && answer.gcClaimCode === first.gcClaimCode ? "the same card" : "another card");

const clients = {
  agcod: async () => {
    const Client = load("agcod");
    const { endpoint } = load("agcod/config/default.json");
    const client = new Client({ endpoint, partnerId, credentials: { accessKeyId: key, secretAccessKey: secret } });
    const forger = new Client({ endpoint, partnerId, credentials: { accessKeyId: key, secretAccessKey: `${secret}x` } });
    const done = (start) => {
      let made;
      const promise = new Promise((resolve, reject) => {
        made = start((error, answer) => (error ? reject(error) : resolve(answer)));
      });
      return [promise, made.sequentialId];
    };
    const [create, id] = done((then) => client.createGiftCard("NA", 1.5, "USD", then));
    const first = await attempt("create, North America", create);
    await attempt("create, Europe", done((then) => client.createGiftCard("EU", 1.5, "EUR", then))[0]);
    await attempt("create, Far East", done((then) => client.createGiftCard("FE", 100, "JPY", then))[0]);
    await attempt("create again", done((then) => client.createGiftCardAgain("NA", 1.5, "USD", id, then))[0], same(first));
    await attempt("cancel", done((then) => client.cancelGiftCard("NA", id, first.gcId, then))[0]);
    await attempt("too much", done((then) => client.createGiftCard("NA", 1e6, "USD", then))[0]);
    await attempt("another secret", done((then) => forger.createGiftCard("NA", 1.5, "USD", then))[0]);
  },
  "amazon-gc": async () => {
    const { createGiftCard } = load("amazon-gc");
    const order = { partnerId, amount: 1.5, currencyCode: "USD", accessKey: key, secretKey: secret };
    for (const [endpoint, money] of [["NA", {}], ["EU", { currencyCode: "EUR" }], ["FE", { currencyCode: "JPY", amount: 100 }]]) {
      for (const environment of ["sandbox", "production"]) {
        await attempt(`create, ${endpoint} ${environment}`, createGiftCard({ ...order, ...money, endpoint, environment }));
      }
    }
    const there = { endpoint: "NA", environment: "sandbox" };
    await attempt("too much", createGiftCard({ ...order, ...there, amount: 1e6 }));
    await attempt("another secret", createGiftCard({ ...order, ...there, secretKey: `${secret}x` }));
  },
  "amazon-incentives-api": async () => {
    const { IncentivesAPI } = load("amazon-incentives-api");
    const at = (name, secretAccessKey = secret) =>
      new IncentivesAPI({ accessKeyId: key, secretAccessKey, partnerId, endpoint: IncentivesAPI.Endpoint[name] });
    const money = { NorthAmerica: ["USD", 1.5], Europe: ["EUR", 1.5], Japan: ["JPY", 100] };
    const order = (creationRequestId, [currencyCode, amount]) => ({ creationRequestId, currencyCode, amount });
    const id = (name) => `${partnerId}${Date.now()}${name}`.slice(0, 40);
    for (const [place, value] of Object.entries(money)) {
      for (const name of [`${place}Sandbox`, `${place}Production`]) {
        await attempt(`create, ${name}`, at(name).createGiftCard(order(id(name), value)));
      }
    }
    const client = at("NorthAmericaSandbox");
    const card = order(id("again"), money.NorthAmerica);
    const first = await client.createGiftCard(card);
    await attempt("create again", client.createGiftCard(card), same(first));
    await attempt("cancel", client.cancelGiftCard(card.creationRequestId));
    await attempt("funds", client.getAvailableFunds());
    await attempt("mock id", client.createGiftCard(order("F2003", money.NorthAmerica)));
    await attempt("another secret", at("NorthAmericaSandbox", `${secret}x`).createGiftCard(card));
  },
};

await clients[process.argv[2]]();
