// An exchange: its answer grows while it runs; the outline follows the eye.
import { watch } from "./feed.js";
import { $, $$, make } from "./page.js";

const growing = $("[data-grow]");

if (growing) {
  const id = growing.dataset.grow;
  const text = make("pre", { class: "text" });
  const thought = make("pre", { class: "text thought" });
  let over = false;
  const reload = () => {
    if (over) return;
    over = true;
    setTimeout(() => location.reload(), 900);
  };
  let seen = false;
  watch({
    joined() {
      // What is under way is told at once; what is not told is over.
      setTimeout(() => seen || reload(), 2500);
    },
    started(exchange) {
      if (exchange.id === id) seen = true;
    },
    progress(progress) {
      if (progress.id !== id) return;
      seen = true;
      if (!text.isConnected) growing.replaceChildren(thought, text);
      thought.textContent = progress.text ? "" : progress.thinking;
      const cut = progress.offset ? "… " : "";
      const tools = progress.tools.length ? `\n→ ${progress.tools.join(", ")}` : "";
      text.textContent = cut + progress.text + tools;
    },
    finished(exchange) {
      if (exchange.id === id) reload();
    },
  });
}

const links = new Map($$(".outline a").map((link) => [link.hash.slice(1), link.parentElement]));
if (links.size) {
  const inSight = new Set();
  const eye = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (entry.isIntersecting) inSight.add(entry.target.id);
        else inSight.delete(entry.target.id);
      }
      let found = false;
      for (const [id, line] of links) {
        const here = !found && inSight.has(id);
        line.classList.toggle("here", here);
        found ||= here;
      }
    },
    { rootMargin: "-50px 0px -40% 0px" },
  );
  for (const id of links.keys()) {
    const place = document.getElementById(id);
    if (place) eye.observe(place);
  }
}
