// The first page: cards for what is under way, rows for what is over.
import { flights, soon } from "./cards.js";
import { watch } from "./feed.js";
import { offer, query } from "./filters.js";
import "./older.js";
import { $, ask, say } from "./page.js";
import { catchUp, expect, pause, wait } from "./rows.js";

const feed = watch({
  joined() {
    flights.joined();
    catchUp();
  },
  started(exchange) {
    if (flights.started(exchange)) wait(500);
  },
  progress: flights.progress,
  finished(exchange) {
    flights.finished(exchange.id);
    offer("model", exchange.model);
    offer("provider", exchange.provider);
    offer("agent", exchange.agent_id);
    expect(exchange.id);
  },
});

let paused = false;
$("#pause").addEventListener("click", () => {
  paused = !paused;
  $("#pause").setAttribute("aria-pressed", paused);
  $("#pause").textContent = paused ? "Go on" : "Pause";
  feed.pause(paused);
  flights.pause(paused);
  pause(paused);
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
