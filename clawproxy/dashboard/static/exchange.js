// An exchange: its answer grows while it runs.
import { Answer, calling } from "./earlier.js";
import { watch } from "./feed.js";
import "./outline.js";
import { duration } from "./figures.js";
import { $, ask, make } from "./page.js";

const growing = $("[data-grow]");

if (growing) {
  const id = growing.dataset.grow;
  const text = make("pre", { class: "text" });
  const thought = make("pre", { class: "text thought" });
  let over = false;
  // What is over is shown anew once it is written down; until then what was said stays.
  const reload = async () => {
    if (over) return;
    over = true;
    clearInterval(took);
    for (let wait = 300; ; wait = Math.min(wait * 1.5, 3000)) {
      await new Promise((then) => setTimeout(then, wait));
      try {
        const record = await (await ask(`/api/requests/${encodeURIComponent(id)}?bodies=0`)).json();
        if (record.outcome !== "running") break;
      } catch {
        // The proxy may be starting again; the next try tells.
      }
    }
    location.reload();
  };
  const begun = Date.parse($("#took").dataset.since);
  const tick = () => {
    $("#took").textContent = duration(Math.max(0, Math.floor((Date.now() - begun) / 100) * 100));
  };
  tick();
  const took = setInterval(tick, 200);
  let seen = false;
  let answer = null;
  const show = () => {
    const first = answer?.progress?.ttft_ms;
    if (first != null) $("#first").textContent = duration(first);
    const said = answer?.said;
    const written = said && [said.text, calling(said) || said.tools.map((name) => `→ ${name}`).join("\n")];
    if (!said?.thinking && !written?.some(Boolean)) return;
    if (!text.isConnected) growing.replaceChildren(thought, text);
    thought.textContent = said.text ? "" : said.thinking;
    text.textContent = written.filter(Boolean).join("\n");
  };
  watch({
    joined() {
      // What is under way is told at once; what is not told is over.
      setTimeout(() => seen || reload(), 700);
    },
    started(exchange) {
      if (exchange.id !== id) return;
      seen = true;
      answer ??= new Answer(exchange, show);
    },
    progress(progress) {
      if (progress.id !== id) return;
      seen = true;
      answer?.take(progress);
      show();
    },
    finished(exchange) {
      if (exchange.id === id) reload();
    },
  });
}
