// Reads the text out of a stream in any dialect, piece by piece, cut anywhere.

export class Deltas {
  constructor() {
    this.rest = "";
    this.error = null;
  }

  // Takes the next text; gives what it says, in order: [kind, text] with kind text, thinking, tool or arguments.
  feed(text) {
    this.rest += text;
    const found = [];
    for (;;) {
      const end = /\r\n\r\n|\n\n|\r\r/.exec(this.rest);
      if (!end) return found;
      const frame = this.rest.slice(0, end.index);
      this.rest = this.rest.slice(end.index + end[0].length);
      const data = frame
        .split(/\r\n|\n|\r/)
        .filter((line) => line.startsWith("data:"))
        .map((line) => line.slice(5).replace(/^ /, ""))
        .join("\n");
      if (!data || data === "[DONE]") continue;
      try {
        this.#read(JSON.parse(data), found);
      } catch {
        // A piece that is no JSON says nothing.
      }
    }
  }

  #read(event, found) {
    const add = (kind, text) => text && found.push([kind, String(text)]);
    if (event.error) this.error = event.error.message ?? String(event.error);
    const delta = event.delta;
    if (typeof delta === "string") {
      if (/reasoning/.test(event.type)) add("thinking", delta);
      else if (/arguments|input|code|command/.test(event.type)) add("arguments", delta);
      else add("text", delta);
    } else if (delta) {
      add("text", delta.text);
      add("thinking", delta.thinking);
      add("arguments", delta.partial_json);
    }
    const block = event.content_block;
    if (block?.name) add("tool", block.name);
    if (block?.text) add("text", block.text);
    if (event.type === "response.output_item.added" && event.item?.name) add("tool", event.item.name);
    if (event.type === "response.output_item.added" && event.item?.type === "custom_tool_call") {
      add("arguments", event.item.input);
    }
    for (const choice of event.choices ?? []) {
      const said = choice.delta ?? choice.message ?? {};
      add("thinking", said.reasoning_content ?? said.reasoning);
      add("text", said.content ?? said.refusal);
      for (const call of said.tool_calls ?? []) {
        add("tool", call.function?.name ?? call.custom?.name);
        add("arguments", call.function?.arguments ?? call.custom?.input);
      }
    }
  }
}

// The text of an answer that came as one body.
export function whole(body) {
  const parts = [];
  for (const block of Array.isArray(body.content) ? body.content : []) {
    if (block.text) parts.push(block.text);
    if (block.type === "tool_use") parts.push(`→ ${block.name} ${JSON.stringify(block.input)}`);
  }
  for (const choice of body.choices ?? []) {
    if (choice.message?.content) parts.push(choice.message.content);
    for (const call of choice.message?.tool_calls ?? []) {
      parts.push(`→ ${call.function?.name} ${call.function?.arguments}`);
    }
  }
  for (const item of body.output ?? []) {
    for (const part of item.content ?? []) if (part.text) parts.push(part.text);
    if (item.name) parts.push(`→ ${item.name} ${item.arguments ?? item.input ?? ""}`);
  }
  return parts.join("\n\n");
}

// Shows what deltas say, in one element that only grows.
export class Screen {
  constructor(element) {
    this.element = element;
    this.clear();
  }

  clear() {
    this.kind = null;
    this.node = null;
    this.element.replaceChildren();
  }

  add(kind, text) {
    if (kind === "tool") {
      this.#open("tool-line");
      this.node.data = `→ ${text} `;
      this.kind = "arguments";
      return;
    }
    if (kind !== this.kind) {
      this.#open({ thinking: "thought", arguments: "tool-line" }[kind] ?? "");
      this.kind = kind;
    }
    this.node.appendData(text);
  }

  #open(name) {
    const block = document.createElement("p");
    block.className = name;
    this.node = document.createTextNode("");
    block.append(this.node);
    this.element.append(block);
  }
}
