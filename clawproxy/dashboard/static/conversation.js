// A conversation says when it has gone on since the page was made.
import { watch } from "./feed.js";
import "./outline.js";
import { $, make } from "./page.js";

const id = decodeURIComponent(location.pathname.split("/").pop());

watch({
  finished(exchange) {
    const same = exchange.conversation_id === id || exchange.session_id === id;
    if (!same || $("#went-on")) return;
    const note = make(
      "p",
      { class: "alert soft", id: "went-on", role: "status" },
      "The conversation has gone on. ",
      make("a", { href: location.pathname }, "Show it"),
    );
    $(".strip").after(note);
  },
});
