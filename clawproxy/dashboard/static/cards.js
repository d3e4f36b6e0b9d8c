// Cards: what is under way, with its text so far.
import { duration, size } from "./figures.js";
import { Answer, calling } from "./earlier.js";
import { passes } from "./filters.js";
import { $, make } from "./page.js";

const CARDS = 24; // drawn with their text; more are counted
const TAIL = 700; // characters of a text that a card can show
const HOLD = 5000; // milliseconds for which the cards' room stays
const LINGER = 1200; // milliseconds for which a finished card stays, until its row is there

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

export function soon() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(draw);
}

setInterval(() => {
  if (document.hidden || paused || !cards.size) return;
  tick(Date.now());
  soon();
}, 200);

// A running exchange's row knows what was asked.
export function explain(body) {
  for (const row of body.rows) {
    const card = cards.get(row.dataset.id);
    if (!card || card.gist) continue;
    card.gist = row.querySelector(".c-gist").lastChild.textContent.trim();
    card.fresh = true;
  }
  soon();
}

let stale = new Set();
export const flights = {
  joined() {
    stale = new Set(cards.keys());
    setTimeout(() => {
      for (const id of stale) flights.finished(id);
      stale.clear();
      soon();
    }, 2000);
  },
  // Whether it is one that belongs on this page.
  started(exchange) {
    stale.delete(exchange.id);
    if (!passes(exchange)) return false;
    const card = cards.get(exchange.id);
    if (card) Object.assign(card, { exchange, fresh: true });
    else cards.set(exchange.id, fresh(exchange));
    soon();
    return true;
  },
  progress(progress) {
    const card = cards.get(progress.id);
    if (!card) return;
    card.answer.take(progress);
    card.fresh = true;
    soon();
  },
  finished(id) {
    const card = cards.get(id);
    if (!card || card.over) return;
    card.over = Date.now() + LINGER;
    card.element?.classList.add("over");
  },
  pause(now) {
    paused = now;
    if (!paused) soon();
  },
};
