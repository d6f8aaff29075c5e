// Looks at each page of the console. Prints a line of JSON for each check: {"what", "good", "said"}.
import { createRequire } from "node:module";
import { mkdirSync, readFileSync } from "node:fs";

const require = createRequire(`${process.env.PACKAGES}/node_modules/`);
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const asked = JSON.parse(readFileSync(0, "utf8"));
mkdirSync(asked.folder, { recursive: true });

const say = (what, good, said = "") => console.log(JSON.stringify({ what, good, said: String(said).slice(0, 2000) }));
const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, headless: true, args: flags });

// A person at a browser: whatever it complains of is kept.
const sit = async (options) => {
  const context = await browser.newContext({ viewport: { width: 1100, height: 800 }, ...options });
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  return { context, page, complaints };
};

// With the keyboard alone: the field has the focus.
const logIn = async (page) => {
  await page.goto(`${asked.admin}/console`);
  await page.keyboard.type(asked.key);
  await page.keyboard.press("Enter");
  await page.waitForURL("**/console");
};

const clicks = (page) => {
  let count = 0;
  return { click: async (selector) => { count += 1; await page.click(selector); }, made: () => count };
};

const support = async () => {
  const { context, page, complaints } = await sit({ locale: "en-US" });
  await logIn(page);
  await page.keyboard.type(asked.order);
  await page.keyboard.press("Enter");
  await page.waitForURL("**/console/rewards/rwd_*");
  const countdown = await page.textContent("time.countdown");
  say("the window counts down", /\(\d+:\d\d left\)/.test(countdown), countdown);
  const hand = clicks(page);
  await hand.click("details:has(.danger) > summary");
  await hand.click("button.danger");
  await page.waitForURL("**done=canceled");
  const state = await page.textContent("h1 .state");
  say(`support finds order ${asked.order} by the keyboard and cancels it in ${hand.made()} clicks`, state === "Canceled" && hand.made() <= 3, state);
  say("support's browser complains of nothing", complaints.length === 0, complaints);
  await context.close();
};

const finance = async () => {
  const { context, page, complaints } = await sit({ locale: "en-US" });
  await logIn(page);
  const hand = clicks(page);
  await hand.click(`.months a[href$="/${asked.last}"]`);
  await page.waitForURL(`**/${asked.last}`);
  const table = await page.textContent("tbody");
  say(`finance has the last month by program in ${hand.made()} clicks`, table.includes(asked.program) && hand.made() <= 3, table);
  say("finance's browser complains of nothing", complaints.length === 0, complaints);
  await context.close();
};

const reveal = async () => {
  const { context, page, complaints } = await sit({ locale: "ja-JP", colorScheme: "dark" });
  await logIn(page);
  await page.goto(`${asked.admin}/console/rewards/${asked.reward}`);
  await page.click("details:has([id=reveal-reason]) > summary");
  await page.click("details:has([id=reveal-reason]) button");
  const code = await page.textContent(".code");
  say("a code is shown when it is asked for", code.length >= 14);
  say("it is shown without a complaint", complaints.length === 0, complaints);
  await context.close();
};

const pages = [
  ["login", "/console/login", false], ["overview", "/console"], ["rewards", "/console/rewards"], ["none", "/console/rewards?q=nothing"],
  ["reward", `/console/rewards/${asked.reward}`], ["canceled", `/console/rewards/${asked.canceled}`], ["balances", "/console/balances"], ["account", "/console/balances/main"],
  ["month", `/console/months/main/${asked.last}`], ["programs", "/console/programs"], ["batches", "/console/batches"], ["batch", `/console/batches/${asked.batch}`],
  ["reconciliations", "/console/reconciliations"], ["reconciliation", `/console/reconciliations/${asked.run}`],
  ["webhooks", "/console/webhooks"], ["keys", "/console/keys"], ["nowhere", "/console/nowhere"],
];

const look = async (locale, colorScheme) => {
  const language = locale.slice(0, 2);
  const plain = await sit({ locale, colorScheme });
  await logIn(plain.page);
  for (const [name, path] of pages) {
    const what = `${name}, ${language}, ${colorScheme}`;
    plain.complaints.length = 0;
    await plain.page.goto(asked.admin + path, { waitUntil: "load" });
    const complaints = plain.complaints.filter((text) => !(name === "nowhere" && text.includes("404")));
    const title = await plain.page.title();
    const spoken = await plain.page.getAttribute("html", "lang");
    say(`${what}: no complaint`, complaints.length === 0 && title.length > 3 && spoken === language, complaints);
    await plain.page.screenshot({ path: `${asked.folder}/${name}-${language}-${colorScheme}.png`, fullPage: true });
  }
  await plain.context.close();
};

// axe is a script that no page of ours would run. What the policy stops is seen in the other browser.
const judge = async (locale, colorScheme) => {
  const judged = await sit({ locale, colorScheme, bypassCSP: true });
  await logIn(judged.page);
  for (const [name, path] of pages) {
    await judged.page.goto(asked.admin + path);
    await judged.page.evaluate(axe);
    const { violations, passes } = await judged.page.evaluate(() => globalThis.axe.run());
    const grave = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
    const said = grave.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
    say(`${name}, ${locale.slice(0, 2)}, ${colorScheme}: axe finds nothing grave`, grave.length === 0 && passes.length > 5, said);
  }
  await judged.context.close();
};

try {
  await finance();
  await support();
  await reveal();
  // At once: each waits for the service and for the screen most of the time. axe judges once by day and once by night, each in another
  // language: all words and all colours.
  await Promise.all([
    look("en-US", "light"), look("en-US", "dark"), look("ja-JP", "light"), look("ja-JP", "dark"),
    judge("en-US", "light"), judge("ja-JP", "dark"),
  ]);
} catch (error) {
  say("the browser was led through all pages", false, error.stack ?? error);
} finally {
  await browser.close();
}
say("all was looked at", true);
