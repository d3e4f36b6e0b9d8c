// A recorded request, edited or not, sent again; the answer streams in.
import { Deltas, whole } from "./deltas.js";
import { $, say } from "./page.js";

const form = $("#send");
const editor = $("#request");
const first = editor?.defaultValue; // what came with the page: somebody may have typed before this runs
let stopping = null;

function edited() {
  if (!editor) return;
  const note = $("#edited");
  try {
    JSON.parse(editor.value);
    note.textContent = editor.value === first ? "" : "edited";
    editor.setCustomValidity("");
  } catch (error) {
    note.textContent = `no JSON: ${error.message}`;
    editor.setCustomValidity("The request is no JSON.");
  }
}
editor?.addEventListener("input", edited);

// The request goes as the text that stands there: numbers and the order of keys stay as they are.
function body() {
  const parts = [`"id":${JSON.stringify(form.dataset.id)}`];
  const model = form.elements.model.value.trim();
  const key = form.elements.key.value.trim();
  if (editor && editor.value !== first) parts.push(`"request":${editor.value}`);
  if (model) parts.push(`"model":${JSON.stringify(model)}`);
  if (key) parts.push(`"key":${JSON.stringify(key)}`);
  return `{${parts.join(",")}}`;
}

async function read(response, text, thought) {
  const kind = response.headers.get("content-type") ?? "";
  if (!kind.includes("event-stream")) {
    const answered = await response.text();
    try {
      const message = JSON.parse(answered);
      text.textContent = message.error?.message ?? (whole(message) || answered);
    } catch {
      text.textContent = answered;
    }
    return;
  }
  const deltas = new Deltas();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    for (const [what, words] of deltas.feed(value)) {
      if (what === "thinking") {
        $("#sent-thinking").hidden = false;
        $("#sent-thinking").open = true;
        thought.append(words);
      } else if (what === "tool") {
        text.append(`\n→ ${words} `);
      } else {
        text.append(words);
      }
    }
  }
  if (deltas.error) throw new Error(deltas.error);
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = $("#sent-text");
  const thought = $("#sent-thinking pre");
  const note = $("#sent-note");
  const status = $("#sent-status");
  for (const each of [text, thought]) each.replaceChildren();
  for (const each of [note, $("#sent-link"), $("#sent-compare"), $("#sent-thinking")]) each.hidden = true;
  $("#sent").hidden = false;
  $("#sent").scrollIntoView({ block: "nearest" });
  status.textContent = "sending";
  $("#go").disabled = true;
  $("#stop").disabled = false;
  stopping = new AbortController();
  try {
    const response = await fetch("/api/send", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: body(),
      signal: stopping.signal,
    });
    status.textContent = response.status;
    const id = response.headers.get("x-clawproxy-id");
    if (id) {
      $("#sent-link").href = `/ui/requests/${encodeURIComponent(id)}`;
      $("#sent-compare").href = `/ui/compare?${new URLSearchParams({ a: form.dataset.id, b: id })}`;
      for (const link of [$("#sent-link"), $("#sent-compare")]) link.hidden = false;
    }
    await read(response, text, thought);
  } catch (error) {
    note.textContent = error.name === "AbortError" ? "Stopped." : error.message;
    note.hidden = false;
    if (error.name !== "AbortError") say(error.message);
  }
  $("#go").disabled = false;
  $("#stop").disabled = true;
});
$("#stop").addEventListener("click", () => stopping?.abort());
