// What the proxy knows of itself, asked anew every two seconds; approvals, to be decided here.
import { moment, number, size } from "./figures.js";
import { $, ask, make, say } from "./page.js";

const EVERY = 2000;
const WORDS = { "allow-once": "Allow once", "allow-always": "Allow always", deny: "Deny" };

const plain = (value) => {
  if (value == null) return "–";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number") return number(value);
  return typeof value === "object" ? JSON.stringify(value) : String(value);
};
const name = (key) => key.replaceAll("_", " ");

function facts(list, found) {
  const lines = [];
  const add = (key, value, prefix = "") => {
    if (value && typeof value === "object" && !Array.isArray(value)) {
      for (const [inner, each] of Object.entries(value)) add(inner, each, prefix ? `${prefix} ${name(key)}` : name(key));
      return;
    }
    const words = /bytes|budget/.test(key) && typeof value === "number" ? size(value) : plain(value);
    lines.push(make("dt", {}, `${prefix} ${name(key)}`.trim()), make("dd", {}, words));
  };
  for (const [key, value] of Object.entries(found ?? {})) add(key, value);
  list.replaceChildren(...(lines.length ? lines : [make("dt", {}, "nothing is recorded")]));
}

function providers(found) {
  const rows = found.map((each) => {
    const { name: title, kind, circuit, ...more } = each;
    const state = circuit === "closed" ? "ok" : circuit === "open" ? "bad" : "gone";
    const words = circuit === "closed" ? "calls go through" : circuit === "open" ? "spared after failures" : `on trial (${plain(circuit)})`;
    const rest = Object.entries(more).map(([key, value]) => `${name(key)}: ${plain(value)}`);
    return make(
      "tr",
      {},
      make("th", { scope: "row" }, title),
      make("td", {}, kind),
      make("td", {}, make("span", { class: `pill ${state}` }, words)),
      make("td", {}, rest.join(", ")),
    );
  });
  $("#providers").replaceChildren(...rows);
}

async function status() {
  const found = await (await ask("/api/status")).json();
  const { providers: each, health, ...rest } = found;
  const { recorder, ...more } = health ?? {};
  facts($("#proxy"), { ...rest, ...more });
  facts($("#recorder"), recorder);
  providers(each ?? []);
}

// Approvals stay where they are while they wait: nobody's button moves under the finger.
const shown = new Map();

function approval(found) {
  const buttons = found.decisions.map((decision) =>
    make(
      "button",
      {
        type: "button",
        class: decision === "deny" ? "danger" : decision === "allow-once" ? "primary" : "",
        onclick: () => decide(found.id, decision),
      },
      WORDS[decision] ?? decision,
    ),
  );
  const lines = [
    ["agent", found.agent],
    ["directory", found.cwd],
    ["host", found.host],
    ["session", found.session_key],
    ["expires", found.expires_at && moment(found.expires_at, "full")],
  ].filter(([, value]) => value);
  return make(
    "article",
    { class: "approval", "data-id": found.id },
    make("h3", {}, `${found.agent ?? "An agent"} of ${found.provider} asks to run`),
    make("pre", { class: "code" }, found.command),
    found.warning ? make("p", { class: "alert soft" }, found.warning) : null,
    make("dl", { class: "facts" }, ...lines.flatMap(([key, value]) => [make("dt", {}, key), make("dd", {}, value)])),
    make("div", { class: "actions" }, ...buttons),
  );
}

async function decide(id, decision) {
  const article = shown.get(id);
  for (const button of article?.querySelectorAll("button") ?? []) button.disabled = true;
  try {
    await ask(`/api/approvals/${encodeURIComponent(id)}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ decision }),
    });
    say(decision === "deny" ? "Denied." : "Allowed.");
  } catch (error) {
    say(error.message);
  }
  await approvals();
}

async function approvals() {
  const found = (await (await ask("/api/approvals")).json()).approvals;
  const ids = new Set(found.map((each) => each.id));
  for (const [id, article] of shown) {
    if (!ids.has(id)) {
      article.remove();
      shown.delete(id);
    }
  }
  for (const each of found) {
    if (shown.has(each.id)) continue;
    const article = approval(each);
    shown.set(each.id, article);
    $("#approvals").append(article);
  }
  for (const article of shown.values()) {
    for (const button of article.querySelectorAll("button")) button.disabled = false;
  }
  $("#approvals-count").textContent = found.length;
  $("#no-approvals").hidden = found.length > 0;
}

// Said once, and for as long as it is so. A page that nobody saw has not asked meanwhile.
let latest = null;
function lost(error) {
  const told = $("#lost");
  told.hidden = !error;
  if (!error) {
    latest = new Date().toISOString();
    return;
  }
  const age = latest === null ? "" : `What stands here is of ${moment(latest)}: `;
  const words = `${age}${age ? "the" : "The"} proxy gives no answer (${error.message}).`;
  if (told.textContent !== words) told.textContent = words;
}

async function round() {
  if (!document.hidden) {
    try {
      await Promise.all([status(), approvals()]);
      lost(null);
    } catch (error) {
      lost(error);
    }
  }
  setTimeout(round, EVERY);
}
round();
