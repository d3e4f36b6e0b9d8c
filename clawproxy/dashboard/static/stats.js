// What a bar stands for, beside the pointer.
import { moment } from "./figures.js";
import { $$, make } from "./page.js";

for (const chart of $$(".chart")) {
  const tip = make("div", { class: "tip", hidden: true });
  chart.append(tip);
  chart.addEventListener("pointermove", (event) => {
    const over = event.target.closest(".over");
    tip.hidden = !over;
    if (!over) return;
    tip.textContent = `${moment(over.dataset.at, "full")}\n${over.dataset.says}`;
    const frame = chart.getBoundingClientRect();
    const x = event.clientX - frame.left;
    const left = x > frame.width / 2 ? x - tip.offsetWidth - 12 : x + 12;
    tip.style.left = `${Math.max(0, left)}px`;
    tip.style.top = `${Math.max(0, event.clientY - frame.top - tip.offsetHeight - 8)}px`;
  });
  chart.addEventListener("pointerleave", () => {
    tip.hidden = true;
  });
}
