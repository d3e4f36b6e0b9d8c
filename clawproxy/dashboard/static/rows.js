// Rows: what is over, newest first.
import { explain } from "./cards.js";
import { older, query, withRunning } from "./filters.js";
import { $, ask, localize, make, say } from "./page.js";

export const CHUNK = 50; // rows that come and go together when a page is scrolled

export const table = $("#rows");
export const known = new Map(); // id -> row
let paused = false;

// Where the rows go on that are older than the last one here.
export const end = { cursor: $("tbody", table).dataset.next };

// Those far out of sight are kept beside the page and leave room of their own height.
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

export function learn(body) {
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

export async function fetchRows(cursor, limit = CHUNK) {
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

function count(total) {
  const flying = withRunning ? 0 : [...known.values()].filter((row) => row.classList.contains("running")).length;
  const over = Math.max(0, total - flying);
  $("#total").textContent = over.toLocaleString("en-US");
  $("#clearing-count").textContent = $("#total").textContent;
  $("#clear").disabled = !over;
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
  end.cursor = cursor;
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
    joined = met || !cursor;
    if (joined || !known.size) break;
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
// Look for new rows, a moment from now.
export function wait(ms) {
  if (!older && timer === null) timer = setTimeout(collect, ms);
}

// An exchange is over, and its row on its way.
export function expect(id) {
  awaited.set(id, 4);
  wait(350);
}

// The stream may have had gaps.
export function catchUp() {
  if (known.size || awaited.size) wait(100);
}

export function pause(now) {
  paused = now;
  if (!paused) wait(0);
}

for (const body of table.tBodies) learn(body);
count(Number($("tbody", table).dataset.total));
