// The outline follows the eye. Where there is no room for it beside the text, it is folded away above.
import { $, $$ } from "./page.js";

const box = $(".contents");
const links = new Map($$(".outline a").map((link) => [decodeURIComponent(link.hash.slice(1)), link]));
const wide = matchMedia("(min-width: 1101px)");

function fit() {
  box.open = wide.matches;
  box.classList.add("ready");
}

// Shows a line of the outline without moving the page.
function show(link) {
  const list = box.scrollHeight > box.parentElement.clientHeight ? box.parentElement : $("ol", box);
  const line = link.getBoundingClientRect();
  const frame = list.getBoundingClientRect();
  if (line.top < frame.top || line.bottom > frame.bottom) {
    list.scrollTop += line.top - frame.top - frame.height / 3;
  }
}

let here = null;
function mark(link) {
  here?.parentElement.classList.remove("here");
  here?.removeAttribute("aria-current");
  here = link;
  here.parentElement.classList.add("here");
  here.setAttribute("aria-current", "true");
  $("summary .gist", box).textContent = $$("b, span", here).map((each) => each.textContent).join(" ");
  if (box.open && !box.matches(":hover")) show(here);
}

if (box) {
  fit();
  wide.addEventListener("change", fit);
  box.addEventListener("toggle", () => {
    if (here && box.open) show(here);
  });
  box.addEventListener("click", (event) => {
    if (event.target.closest("a") && !wide.matches) box.open = false;
  });
  addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || wide.matches || !box.open) return;
    box.open = false;
    if (box.contains(document.activeElement)) $("summary", box).focus();
  });
  const inSight = new Set();
  const eye = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (entry.isIntersecting) inSight.add(entry.target.id);
        else inSight.delete(entry.target.id);
      }
      const id = [...links.keys()].find((each) => inSight.has(each));
      if (id !== undefined && links.get(id) !== here) mark(links.get(id));
    },
    { rootMargin: "-50px 0px -40% 0px" },
  );
  for (const id of links.keys()) {
    const place = document.getElementById(id);
    if (place) eye.observe(place);
  }
}
