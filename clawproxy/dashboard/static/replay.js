// The stream played again with its true timing.
import { Deltas, Screen } from "./deltas.js";
import { duration } from "./figures.js";
import { $, ask, make, say } from "./page.js";

const WIRE = 400; // pieces that stand in the list
const SILENCE = 400; // milliseconds beyond which silence is skipped, if it is to be
const SLOW = 1000; // milliseconds after which a piece counts as late

const stage = $("#replay");
if (stage) {
  const play = $("#play");
  const seek = $("#seek");
  const clock = $("#clock");
  const speed = $("#speed");
  const wire = $("#wire");
  const screen = new Screen($("#screen"));
  let pieces = null;
  let deltas = new Deltas();
  let at = 0; // milliseconds into the stream
  let next = 0; // the piece that comes next
  let running = false;
  let last = 0;

  const end = () => (pieces.length ? pieces.at(-1).at_ms : 0);
  const text = (piece) => (piece.encoding === "base64" ? "" : piece.data);

  function show(piece, before) {
    for (const [kind, words] of deltas.feed(text(piece))) screen.add(kind, words);
    const late = piece.at_ms - before > SLOW;
    const line = make(
      "li",
      { class: late ? "slow" : "" },
      make("span", {}, duration(piece.at_ms)),
      make("code", {}, piece.data.slice(0, 300).replaceAll("\n", "⏎")),
    );
    wire.append(line);
    if (wire.childElementCount > WIRE) wire.firstElementChild.remove();
  }

  function paint() {
    clock.value = duration(at);
    seek.value = end() ? Math.round((at / end()) * 1000) : 0;
  }

  function upTo(moment) {
    let shown = false;
    while (next < pieces.length && pieces[next].at_ms <= moment) {
      show(pieces[next], next ? pieces[next - 1].at_ms : 0);
      next += 1;
      shown = true;
    }
    if (shown) {
      for (const pane of [wire, screen.element]) pane.scrollTop = pane.scrollHeight;
    }
  }

  function jump(moment) {
    if (moment < at) {
      screen.clear();
      wire.replaceChildren();
      deltas = new Deltas();
      next = 0;
    }
    at = moment;
    upTo(at);
    paint();
  }

  function stop() {
    running = false;
    play.textContent = at >= end() ? "Play again" : "Play";
  }

  function frame(now) {
    if (!running) return;
    at += (now - last) * Number(speed.value);
    last = now;
    if ($("#skip").checked && next < pieces.length) {
      at = Math.max(at, pieces[next].at_ms - SILENCE);
    }
    upTo(at);
    if (next >= pieces.length) {
      at = end();
      paint();
      stop();
      return;
    }
    paint();
    requestAnimationFrame(frame);
  }

  async function load() {
    if (pieces) return true;
    try {
      pieces = await (await ask(stage.dataset.events)).json();
    } catch (error) {
      say(error.message);
      return false;
    }
    return true;
  }

  play.addEventListener("click", async () => {
    if (running) return stop();
    if (!(await load())) return undefined;
    if (at >= end()) jump(0);
    running = true;
    play.textContent = "Pause";
    last = performance.now();
    requestAnimationFrame(frame);
    return undefined;
  });
  seek.addEventListener("input", async () => {
    if (await load()) jump((Number(seek.value) / 1000) * end());
  });
}
