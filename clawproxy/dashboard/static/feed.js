// The stream of what happens (/api/live), as one subscription with a sign in the bar.
import { $ } from "./page.js";

// A browser has six connections to a server in all (HTTP/1.1): pages that nobody looks at give theirs back.
const HIDDEN = 10_000; // milliseconds
const AGAIN = 3000;

// Watches until the page is left. Handlers: started, progress, finished, joined (a connection begins:
// what is under way is told again).
export function watch(handlers) {
  const pulse = $("#pulse");
  let source = null;
  let timer = null;
  let paused = false;

  const show = (state, words) => {
    pulse.hidden = false;
    pulse.className = `pulse ${paused && state === "on" ? "paused" : state}`;
    pulse.lastElementChild.textContent = paused && state === "on" ? "paused" : words;
    pulse.title = words;
  };
  const close = () => {
    source?.close();
    source = null;
  };
  const open = () => {
    clearTimeout(timer);
    if (source && source.readyState !== EventSource.CLOSED) return;
    source = new EventSource("/api/live");
    source.addEventListener("open", () => {
      show("on", "live");
      handlers.joined?.();
    });
    source.addEventListener("error", () => {
      show("off", "connecting");
      // A browser gives up after an answer that is no stream, as while the proxy restarts.
      if (source?.readyState === EventSource.CLOSED) timer = setTimeout(open, AGAIN);
    });
    for (const name of ["started", "progress", "finished"]) {
      source.addEventListener(name, (event) => handlers[name]?.(JSON.parse(event.data)));
    }
  };

  show("off", "connecting");
  open();
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => event.persisted && open());
  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (document.hidden) timer = setTimeout(close, HIDDEN);
    else open();
  });
  return {
    pause(now) {
      paused = now;
      show(source?.readyState === EventSource.OPEN ? "on" : "off", "live");
    },
  };
}
