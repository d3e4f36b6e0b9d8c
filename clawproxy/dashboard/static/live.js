// The first page: cards for what is under way, rows for what is over.
import { duration, size } from "./figures.js";
import { Answer, calling } from "./earlier.js";
import { watch } from "./feed.js";
import { $, $$, ask, localize, make, say } from "./page.js";

const CARDS = 24; // drawn with their text; more are counted
const CHUNK = 50; // rows that come and go together when a page is scrolled
const MANY = 500; // rows fetched at once on the way back to where a page was left
const BACK = 20; // so often
const AHEAD = 800; // pixels before the end at which older rows are fetched
const TAIL = 700; // characters of a text that a card can show
const HOLD = 5000; // milliseconds for which the cards' room stays
const LINGER = 1200; // milliseconds for which a finished card stays, until its row is there

const query = new URLSearchParams(location.search);
const older = query.has("cursor");
// A parameter's values: it may come more than once, and outcomes may be separated by commas.
function values(name) {
  const given = query.getAll(name);
  return (name === "outcome" ? given.flatMap((each) => each.split(",")) : given).filter(Boolean);
}
if (values("outcome").includes("running")) document.documentElement.classList.add("show-running");

// Cards.

// Whether an exchange under way passes the page's filters, as far as they can be told already.
const FIELDS = {
  provider: "provider",
  agent: "agent_id",
  parent_agent: "parent_agent_id",
  session: "session_id",
  conversation: "conversation_id",
  dialect: "dialect",
  path: "path",
  key: "key",
};
function passes(exchange) {
  const among = (name, found) => !values(name).length || values(name).some((each) => found.includes(each));
  return (
    among("model", [exchange.model, exchange.routed_model]) &&
    among("outcome", ["running"]) &&
    // What routing and indexing find out only later may still become what was asked for.
    Object.entries(FIELDS).every(([name, field]) => exchange[field] === null || among(name, [exchange[field]]))
  );
}

const cards = new Map(); // id -> {exchange, answer, element, parts, fresh}
const box = $("#cards");
let paused = false;
let drawing = false;

function fresh(exchange) {
  const card = { exchange, element: null, fresh: true };
  card.answer = new Answer(exchange, () => {
    card.fresh = true;
    soon();
  });
  return card;
}

function build(card) {
  const x = card.exchange;
  const parts = {
    model: make("a", { href: `/ui/requests/${encodeURIComponent(x.id)}` }),
    from: make("span", { class: "muted" }),
    gist: make("p", { class: "card-gist" }),
    time: make("span", {}),
    first: make("span", {}),
    bytes: make("span", {}),
    tools: make("span", { class: "card-tools" }),
    text: make("p", { class: "wait" }, x.stream ? "waiting for the first token" : "waiting for the answer"),
  };
  const element = make(
    "article",
    { class: "card", "data-id": x.id },
    make("div", { class: "card-head" }, parts.model, parts.from),
    make("div", { class: "card-facts" }, parts.time, parts.first, parts.bytes, parts.tools),
    parts.gist,
    make("div", { class: "card-text" }, parts.text),
  );
  return { element, parts };
}

function paint(card) {
  if (!card.element) Object.assign(card, build(card));
  const { exchange: x, parts } = card;
  const progress = card.answer.progress;
  const asked = x.model ?? `${x.method} ${x.path}`;
  const routed = progress?.routed_model ?? x.routed_model;
  parts.model.textContent = routed && routed !== asked ? `${asked} → ${routed}` : asked;
  const agent = x.agent_id ? ` · agent ${x.agent_id.slice(0, 8)}` : "";
  parts.from.textContent = `${progress?.provider ?? x.provider ?? ""}${agent}`;
  const ttft = progress?.ttft_ms ?? x.ttft_ms;
  parts.first.textContent = ttft == null ? "" : `first token ${duration(ttft)}`;
  const bytes = progress?.response_bytes ?? 0;
  parts.bytes.textContent = bytes ? size(bytes) : "";
  parts.gist.textContent = card.gist ?? "";
  const said = card.answer.said;
  parts.tools.replaceChildren(
    ...said.tools.slice(-4).map((name) => make("span", { class: "tag" }, name)),
  );
  const spoken = [said.text, calling(said)].filter(Boolean).join("\n");
  if (spoken || said.thinking) {
    parts.text.className = spoken ? "" : "thought";
    parts.text.textContent = (spoken || said.thinking).slice(-TAIL);
  } else if (ttft != null) {
    parts.text.textContent = "the answer has begun";
  }
  card.fresh = false;
}

function tick(now) {
  for (const card of cards.values()) {
    if (!card.parts || card.over) continue;
    const passed = now - Date.parse(card.exchange.started_at);
    card.parts.time.textContent = duration(Math.max(0, Math.floor(passed / 100) * 100));
  }
}

function draw() {
  drawing = false;
  if (paused) return;
  let shown = 0;
  for (const [id, card] of cards) {
    if (card.over && Date.now() > card.over) {
      card.element?.remove();
      cards.delete(id);
      continue;
    }
    if (shown >= CARDS) {
      card.element?.remove();
      card.element = null;
      continue;
    }
    shown += 1;
    if (card.fresh || !card.element) paint(card);
    if (!card.element.isConnected) box.prepend(card.element);
  }
  const flying = [...cards.values()].filter((card) => !card.over).length;
  $("#flying").textContent = flying > CARDS ? `${flying}, ${CARDS} of them shown` : flying;
  $("#idle").hidden = cards.size > 0;
  settle();
}

// What stands below the cards shall not jump up as soon as one of them is gone.
let settling = null;
function settle() {
  const all = [...box.children].reduce(
    (most, child) => Math.max(most, child.offsetTop + child.offsetHeight - box.offsetTop),
    0,
  );
  const height = Math.min(all, Number.parseFloat(getComputedStyle(box).maxHeight));
  const held = Number.parseFloat(box.style.minHeight) || 0;
  if (height >= held) {
    clearTimeout(settling);
    settling = null;
    box.style.minHeight = height ? `${height}px` : "";
  } else if (settling === null) {
    settling = setTimeout(() => {
      settling = null;
      box.style.minHeight = "";
      settle();
    }, HOLD);
  }
}

function soon() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(draw);
}

setInterval(() => {
  if (document.hidden || paused || !cards.size) return;
  tick(Date.now());
  soon();
}, 200);

// Rows. Those far out of sight are kept beside the page and leave room of their own height.

const table = $("#rows");
const known = new Map(); // id -> row
let next = $("tbody", table).dataset.next;

const sight = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting && target.held) {
        target.replaceChildren(...target.held);
        target.held = null;
      } else if (!isIntersecting && !target.held && target.rows.length === CHUNK) {
        const height = target.getBoundingClientRect().height;
        target.held = [...target.rows];
        const room = make("td", { colspan: "11" });
        room.style.height = `${height}px`;
        room.style.padding = "0";
        target.replaceChildren(make("tr", { "aria-hidden": "true" }, room));
      }
    }
  },
  { rootMargin: "1500px 0px" },
);

function learn(body) {
  for (const row of body.rows) if (row.dataset.id) known.set(row.dataset.id, row);
  if (!body.watched) sight.observe(body);
  body.watched = true;
}

function parse(html) {
  // A fragment of our own server's, in which everything that was recorded is escaped.
  const holder = document.createElement("table");
  holder.innerHTML = html;
  const body = holder.tBodies[0];
  localize(body);
  return body;
}

async function fetchRows(cursor, limit = CHUNK) {
  const asked = new URLSearchParams(query);
  asked.delete("cursor");
  if (cursor) asked.set("cursor", cursor);
  asked.set("limit", limit);
  return parse(await (await ask(`/ui/rows?${asked}`)).text());
}

// New rows go on top; a body that has grown gives its last rows to the next one.
function put(row) {
  let body = table.tBodies[0];
  if (body.held || body.rows.length >= CHUNK) {
    body = make("tbody");
    table.insertBefore(body, table.tBodies[0]);
    learn(body);
  }
  body.prepend(row);
  known.set(row.dataset.id, row);
}

// What is under way is counted above.
const running = document.documentElement.classList.contains("show-running");
function count(total) {
  const flying = running ? 0 : [...known.values()].filter((row) => row.classList.contains("running")).length;
  const over = Math.max(0, total - flying);
  $("#total").textContent = over.toLocaleString("en-US");
  $("#clearing-count").textContent = $("#total").textContent;
  $("#clear").disabled = !over;
}

// Filters offer what has come since the page was made.
const OFFERED = 200;
function offer(name, value) {
  if (!value) return;
  for (const { options } of $$(`#filters select[name=${name}]`)) {
    const there = [...options].some((option) => option.value === value);
    if (!there && options.length <= OFFERED) options.add(new Option(value, value));
  }
}

// A running exchange's row knows what was asked.
function explain(body) {
  for (const row of body.rows) {
    const card = cards.get(row.dataset.id);
    if (!card || card.gist) continue;
    card.gist = row.querySelector(".c-gist").lastChild.textContent.trim();
    card.fresh = true;
  }
  soon();
}

// So much has come meanwhile that the rows below are no neighbours any more: begin anew.
function begin(bodies, cursor) {
  for (const body of [...table.tBodies]) {
    sight.unobserve(body);
    body.remove();
  }
  known.clear();
  for (const body of bodies) {
    table.append(body);
    learn(body);
  }
  next = cursor;
}

async function refresh() {
  const fresh = [];
  const bodies = [];
  let cursor = null;
  let total = null;
  let joined = false;
  for (let page = 0; page < 4; page += 1) {
    const body = await fetchRows(cursor);
    explain(body);
    total ??= body.dataset.total;
    let met = false;
    bodies.push(body);
    for (const row of [...body.rows]) {
      const old = known.get(row.dataset.id);
      if (!old) {
        fresh.push(row);
      } else {
        met = true;
        // Its outcome is the server's only class; the walk's mark is not lost with it.
        if (!old.classList.contains(row.className)) {
          row.classList.toggle("at", old.classList.contains("at"));
          old.replaceWith(row);
          known.set(row.dataset.id, row);
        }
      }
    }
    cursor = body.dataset.next;
    joined = met || !cursor || !known.size;
    if (joined) break;
  }
  if (joined) {
    for (const row of fresh.reverse()) {
      row.classList.add("arrived");
      put(row);
    }
  } else {
    begin(bodies, cursor);
  }
  count(Number(total));
  if (known.size) $("#empty")?.remove();
  return fresh.map((row) => row.dataset.id).concat([...known.keys()]);
}

const awaited = new Map(); // id -> tries left
let timer = null;
async function collect() {
  timer = null;
  if (paused || document.hidden) return;
  try {
    const have = new Set(await refresh());
    for (const [id, tries] of awaited) {
      if (have.has(id) && !known.get(id)?.classList.contains("running")) awaited.delete(id);
      else if (tries <= 1) awaited.delete(id);
      else awaited.set(id, tries - 1);
    }
  } catch (error) {
    say(error.message);
  }
  if (awaited.size) wait(700);
}
function wait(ms) {
  if (!older && timer === null) timer = setTimeout(collect, ms);
}

for (const body of table.tBodies) learn(body);
count(Number($("tbody", table).dataset.total));

// Older rows come when the end comes into sight.
const end = $("#older");
let loading = null;
function more(limit = CHUNK) {
  loading ??= append(limit).finally(() => {
    loading = null;
  });
  return loading;
}
async function append(limit) {
  try {
    const body = await fetchRows(next, limit);
    next = body.dataset.next;
    const rows = [...body.rows].filter((row) => !known.has(row.dataset.id));
    for (let at = 0; at < rows.length; at += CHUNK) {
      const some = make("tbody", {}, ...rows.slice(at, at + CHUNK));
      table.append(some);
      learn(some);
    }
    const beyond = new URLSearchParams(query);
    beyond.set("cursor", next);
    if (next) end.href = `?${beyond}`;
    else end.remove();
  } catch (error) {
    say(error.message);
  }
}
async function near() {
  while (next && !loading && end?.isConnected && end.getBoundingClientRect().top < innerHeight + AHEAD) {
    const reached = next;
    await more();
    if (next === reached) return; // it could not be had; the next scrolling tries again
  }
}
addEventListener("scroll", near, { passive: true });
addEventListener("resize", near, { passive: true });

// Whoever comes back finds the list where it was left. The browser keeps no page that holds prompts (no-store).
addEventListener("pagehide", () => {
  const middle = table.getBoundingClientRect().left + table.offsetWidth / 2;
  const sight = [0.3, 0.6].map((part) => document.elementFromPoint(middle, innerHeight * part)?.closest("tr[data-id]"));
  const row = document.activeElement?.closest("#rows tr") ?? sight.find(Boolean);
  const place = row && scrollY ? { row: row.dataset.id, top: row.getBoundingClientRect().top } : null;
  history.replaceState(place, "");
});
async function comeBack({ row, top }) {
  for (let tries = 0; tries < BACK && !known.has(row) && next; tries += 1) {
    await loading;
    await more(MANY);
  }
  const found = known.get(row);
  if (!found?.isConnected) return;
  scrollTo(0, scrollY + found.getBoundingClientRect().top - top);
  found.classList.add("at");
  $("a", found).focus({ preventScroll: true });
}
if (history.state?.row) {
  history.scrollRestoration = "manual";
  comeBack(history.state);
} else {
  near();
}

// The stream.

let stale = new Set();
const feed = watch({
  joined() {
    stale = new Set(cards.keys());
    setTimeout(() => {
      for (const id of stale) finish(id);
      stale.clear();
      soon();
    }, 2000);
    if (known.size || awaited.size) wait(100);
  },
  started(exchange) {
    stale.delete(exchange.id);
    if (!passes(exchange)) return;
    const card = cards.get(exchange.id);
    if (card) Object.assign(card, { exchange, fresh: true });
    else cards.set(exchange.id, fresh(exchange));
    soon();
    wait(500);
  },
  progress(progress) {
    const card = cards.get(progress.id);
    if (!card) return;
    card.answer.take(progress);
    card.fresh = true;
    soon();
  },
  finished(exchange) {
    finish(exchange.id);
    offer("model", exchange.model);
    offer("provider", exchange.provider);
    offer("agent", exchange.agent_id);
    awaited.set(exchange.id, 4);
    wait(350);
  },
});

function finish(id) {
  const card = cards.get(id);
  if (!card || card.over) return;
  card.over = Date.now() + LINGER;
  card.element?.classList.add("over");
}

$("#pause").addEventListener("click", () => {
  paused = !paused;
  $("#pause").setAttribute("aria-pressed", paused);
  $("#pause").textContent = paused ? "Go on" : "Pause";
  feed.pause(paused);
  if (!paused) {
    soon();
    wait(0);
  }
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) {
    soon();
    wait(0);
  }
});

// Clearing.
const clearing = $("#clearing");
$("#clear").addEventListener("click", () => clearing.showModal());
clearing.addEventListener("close", async () => {
  if (clearing.returnValue !== "yes") return;
  const narrowed = new URLSearchParams(query);
  narrowed.delete("cursor");
  try {
    const answer = await (await ask(`/api/requests?${narrowed}`, { method: "DELETE" })).json();
    say(`${answer.deleted.toLocaleString("en-US")} deleted.`);
    setTimeout(() => location.reload(), 800);
  } catch (error) {
    say(`Not deleted: ${error.message}`);
  }
});
