// Older rows come when the end comes into sight, and a list is found where it was left.
import { query } from "./filters.js";
import { $, make, say } from "./page.js";
import { CHUNK, end, fetchRows, known, learn, table } from "./rows.js";

const MANY = 500; // rows fetched at once on the way back to where a page was left
const BACK = 20; // so often
const AHEAD = 800; // pixels before the end at which older rows are fetched

const link = $("#older") ?? make("a", { id: "older", class: "button" }, "Older");
let loading = null;

// A list that was whole once, and begun anew since, goes on again.
function lead() {
  if (!end.cursor) {
    link.remove();
    return;
  }
  const beyond = new URLSearchParams(query);
  beyond.set("cursor", end.cursor);
  link.href = `?${beyond}`;
  if (!link.isConnected) $(".pages").prepend(link);
}

function more(limit = CHUNK) {
  loading ??= append(limit).finally(() => {
    loading = null;
  });
  return loading;
}
async function append(limit) {
  try {
    const body = await fetchRows(end.cursor, limit);
    end.cursor = body.dataset.next;
    const rows = [...body.rows].filter((row) => !known.has(row.dataset.id));
    for (let at = 0; at < rows.length; at += CHUNK) {
      const some = make("tbody", {}, ...rows.slice(at, at + CHUNK));
      table.append(some);
      learn(some);
    }
    lead();
  } catch (error) {
    say(error.message);
  }
}
async function near() {
  lead();
  while (end.cursor && !loading && link.getBoundingClientRect().top < innerHeight + AHEAD) {
    const reached = end.cursor;
    await more();
    if (end.cursor === reached) return; // it could not be had; the next scrolling tries again
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
  for (let tries = 0; tries < BACK && !known.has(row) && end.cursor; tries += 1) {
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
