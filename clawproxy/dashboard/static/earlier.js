// What an answer had said before this page watched: the stream of what happens tells what comes from then on.
import { Deltas } from "./deltas.js";
import { ask } from "./page.js";

const KEPT = 3000; // milliseconds after which an exchange that has begun to answer is written down
const AGAIN = 1000; // milliseconds until what was not yet written down is asked for again
let queue = Promise.resolve(); // one at a time, so that a page full of streams does not crowd the others out

async function fetched(id) {
  try {
    return await (await ask(`/api/requests/${encodeURIComponent(id)}/response`)).arrayBuffer();
  } catch {
    return null; // It is not written down yet, or never: what comes is shown all the same.
  }
}

function read(bytes) {
  const said = { text: "", thinking: "", tools: [], call: "" };
  for (const [kind, piece] of new Deltas().feed(new TextDecoder().decode(bytes))) {
    if (kind === "tool") {
      said.tools.push(piece);
      said.call = "";
    } else if (kind === "arguments") {
      said.call += piece;
    } else {
      said[kind] += piece;
      if (kind === "text") said.call = "";
    }
  }
  return said;
}

const NOTHING = { text: "", thinking: "", tools: [], call: "" };

// An answer as it grows: what it had said, and what it says.
export class Answer {
  // *changed* is called when the beginning has come.
  constructor(exchange, changed) {
    this.progress = null;
    this.lead = NOTHING;
    this.id = exchange.id;
    this.changed = changed;
    this.bytes = new ArrayBuffer(0);
    this.gap = false; // something between the beginning and what came since is not written down yet
    this.tries = 6;
    this.due = Date.parse(exchange.started_at) + KEPT;
    if (exchange.stream && exchange.ttft_ms != null) this.#fetch(0);
  }

  #fetch(after) {
    if (!this.tries) return;
    this.tries -= 1;
    const ask = async () => {
      const bytes = await fetched(this.id);
      if (bytes) this.bytes = bytes;
      else if (!this.progress) this.#fetch(AGAIN);
      this.#part();
      this.changed();
    };
    const wait = Math.max(after, this.due - Date.now());
    setTimeout(() => {
      queue = queue.then(ask);
    }, wait);
  }

  // The beginning ends where the page began to follow; it is written down a moment after it was sent.
  #part() {
    const since = this.progress ? this.progress.since : this.bytes.byteLength;
    this.lead = since ? read(this.bytes.slice(0, since)) : NOTHING;
    this.gap = since > this.bytes.byteLength;
    if (this.gap) this.#fetch(AGAIN);
  }

  take(progress) {
    const parted = this.progress?.since === progress.since;
    this.progress = progress;
    if (!parted) this.#part();
  }

  // Gives text, thinking, tools, call.
  get said() {
    const now = this.progress ?? NOTHING;
    const fresh = now.tools.length || now.text; // a call that stood at the end of the beginning is over
    const joined = (name) => {
      const parts = [this.lead[name], now[name]].filter(Boolean);
      return parts.length === 1 && now[name] && this.gap ? `… ${now[name]}` : parts.join(this.gap ? " … " : "");
    };
    return {
      text: now.offset ? `… ${now.text}` : joined("text"),
      thinking: joined("thinking"),
      tools: [...this.lead.tools, ...now.tools],
      call: fresh ? now.call : joined("call"),
    };
  }
}

// Words a call that is being written as one can read it: its JSON's lines as lines.
export function calling({ tools, call }) {
  if (!call) return "";
  const words = call.replaceAll("\\n", "\n").replaceAll("\\t", "\t").replaceAll('\\"', '"');
  return `→ ${tools.at(-1) ?? ""} ${words}`;
}
