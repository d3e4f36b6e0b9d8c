// The stream of what happens (/api/live), as one subscription with a sign in the bar.
import { $ } from "./page.js";

// Watches until the page is left. Handlers: started, progress, finished, joined (a connection begins:
// what is under way is told again).
export function watch(handlers) {
  const pulse = $("#pulse");
  const show = (state, words) => {
    pulse.className = `pulse ${state}`;
    pulse.lastElementChild.textContent = words;
    pulse.title = words;
  };
  let source = null;
  const open = () => {
    source = new EventSource("/api/live");
    source.addEventListener("open", () => {
      show("on", "live");
      handlers.joined?.();
    });
    source.addEventListener("error", () => {
      show("off", "connecting");
      // A browser gives up after an answer that is no stream, as while the proxy restarts.
      if (source.readyState === EventSource.CLOSED) setTimeout(open, 3000);
    });
    for (const name of ["started", "progress", "finished"]) {
      source.addEventListener(name, (event) => handlers[name]?.(JSON.parse(event.data)));
    }
  };
  open();
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => event.persisted && open());
  return {
    pause: (paused) => show(paused ? "paused" : "on", paused ? "paused" : "live"),
  };
}
