// What every page does: local times, theme, keys, copying.
import { moment } from "./figures.js";

export const $ = (selector, under = document) => under.querySelector(selector);
export const $$ = (selector, under = document) => [...under.querySelectorAll(selector)];

// Makes an element; members are attributes, on* functions, or children.
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === false || value == null) continue;
    if (key === "class") element.className = value;
    else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

export function localize(under = document) {
  for (const time of $$("time[data-show]", under)) {
    time.textContent = moment(time.dateTime, time.dataset.show);
  }
  for (const text of $$("text[data-time]", under)) {
    text.textContent = moment(text.dataset.time, text.dataset.show);
  }
}

let toast;
export function say(words) {
  const said = $("#said");
  said.textContent = words;
  said.classList.add("on");
  clearTimeout(toast);
  toast = setTimeout(() => said.classList.remove("on"), 2200);
}

// Asks the server; an answer that is no success is an error with its words.
export async function ask(address, options = {}) {
  const response = await fetch(address, { credentials: "same-origin", ...options });
  if (response.status === 401) location.reload();
  if (!response.ok) {
    let words = `${response.status} ${response.statusText}`;
    try {
      words = (await response.json()).error.message ?? words;
    } catch {
      // Not every error is JSON.
    }
    throw new Error(words);
  }
  return response;
}

// Theme.
const root = document.documentElement;
function dark() {
  return root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
}
function turn() {
  const theme = dark() ? "light" : "dark";
  root.dataset.theme = theme;
  try {
    localStorage.setItem("clawproxy-theme", theme);
  } catch {
    say("The theme is not remembered: this browser keeps nothing.");
  }
}
$("#theme").addEventListener("click", turn);
$("#help").addEventListener("click", () => $("#keys").showModal());

// Copying, also of what has to be fetched first: a browser wants to be asked at once, and gives no clipboard to a page
// that came over plain HTTP from another machine.
async function copy(text) {
  if (navigator.clipboard?.write && window.ClipboardItem) {
    const plain = text.then((words) => new Blob([words], { type: "text/plain" }));
    await Promise.all([text, navigator.clipboard.write([new ClipboardItem({ "text/plain": plain })])]);
    return;
  }
  const focus = document.activeElement;
  const field = make("textarea", { class: "sr", readonly: true });
  field.value = await text;
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  focus?.focus();
  if (!done) throw new Error("this browser forbids it");
}
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy], [data-copy-text]");
  if (!button) return;
  try {
    if (button.dataset.copyText) {
      await copy(Promise.resolve($(button.dataset.copyText).textContent));
      say("Copied.");
      return;
    }
    const address = new URL(button.dataset.copy, location.href);
    if (address.pathname.endsWith("/curl")) address.searchParams.set("origin", location.origin);
    await copy(ask(address).then((answer) => answer.text()));
    say("Copied.");
  } catch (error) {
    say(`Not copied: ${error.message}`);
  }
});

// Menus close when something else is touched.
document.addEventListener("click", (event) => {
  for (const menu of $$("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  const menu = event.key === "Escape" && $("details.menu[open]");
  if (!menu) return;
  menu.open = false;
  if (menu.contains(document.activeElement)) $("summary", menu).focus();
});

// A place in a page may be inside something closed.
function reveal() {
  const id = decodeURIComponent(location.hash.slice(1));
  const target = id && document.getElementById(id);
  if (!target) return;
  if (target.tagName === "DETAILS") target.open = true;
  for (let at = target.parentElement; at; at = at.parentElement) {
    if (at.tagName === "DETAILS") at.open = true;
  }
  target.scrollIntoView();
}
addEventListener("hashchange", reveal);

// Gives what this tab remembers, and has it remember something else.
function remembered(name, value) {
  try {
    const old = sessionStorage.getItem(name);
    if (value === null) sessionStorage.removeItem(name);
    else sessionStorage.setItem(name, value);
    return old;
  } catch {
    return null; // Storage may be forbidden.
  }
}

// Filters apply themselves, and are where one was afterwards; empty ones stay out of the address.
const FOCUSED = "clawproxy-filter";
const WALK = 900; // milliseconds without a key
const filters = $("#filters");
if (filters) {
  filters.addEventListener("submit", (event) => {
    event.preventDefault();
    const address = new URL(filters.action);
    for (const [name, value] of new FormData(filters)) {
      if (value) address.searchParams.append(name, value);
    }
    location.assign(address);
  });
  // The arrows of a keyboard change a closed list at each step: whoever walks through it is waited for.
  let walking = false;
  let pending = null;
  const apply = (after = 0) => {
    clearTimeout(pending);
    pending = setTimeout(() => filters.requestSubmit(), after);
  };
  filters.addEventListener("keydown", (event) => {
    walking = event.key !== "Enter";
    if (pending !== null) apply(walking ? WALK : 0);
  });
  filters.addEventListener("pointerdown", () => {
    walking = false;
  });
  filters.addEventListener("focusout", () => {
    if (pending !== null) apply();
  });
  filters.addEventListener("change", (event) => {
    if (event.target.tagName !== "SELECT") return;
    remembered(FOCUSED, event.target.name);
    apply(walking ? WALK : 0);
  });
  const name = remembered(FOCUSED, null);
  // Of several values' fields the first: which of them was changed is no more to be told.
  if (name) $$("select", filters).find((each) => each.name === name)?.focus({ preventScroll: true });
}

// Keys.
const PAGES = { l: "/ui/", c: "/ui/conversations", s: "/ui/stats", t: "/ui/status" };
let going = false;
let at = -1;

function stops() {
  return $$("table.rows tbody tr, .talks li:not(.empty), .msg, .answer").filter(
    (stop) => stop.checkVisibility(),
  );
}

function step(by) {
  const list = stops();
  if (!list.length) return;
  const marked = list.findIndex((stop) => stop.classList.contains("at"));
  const from = marked >= 0 ? marked : at;
  list[marked]?.classList.remove("at");
  at = Math.max(0, Math.min(list.length - 1, from + by));
  const stop = list[at];
  stop.classList.add("at");
  const target = $("a", stop.closest("tr, li") ?? document.createElement("p"));
  (target ?? stop).focus({ preventScroll: true });
  stop.scrollIntoView({ block: stop.classList.contains("msg") ? "start" : "nearest" });
}

function toggleAll() {
  const folds = $$("main details:not(.menu, .contents)");
  const open = folds.some((fold) => !fold.open);
  for (const fold of folds) fold.open = open;
  for (const box of $$("main .fold > input")) box.checked = open;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  const typing = event.target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]");
  if (typing) {
    if (event.key === "Escape") typing.blur();
    return;
  }
  if ($("dialog[open]")) return;
  const key = event.key;
  if (going && PAGES[key]) {
    location.assign(PAGES[key]);
  } else if (key === "/" && $("#q")) {
    $("#q").focus();
    $("#q").select();
  } else if (key === "?") {
    $("#keys").showModal();
  } else if (key === "j" || key === "k") {
    step(key === "j" ? 1 : -1);
  } else if (key === "[" || key === "]") {
    $(key === "[" ? "a[rel=prev]" : "a[rel=next]")?.click();
  } else if (key === "t") {
    turn();
  } else if (key === "e") {
    toggleAll();
  } else if (key === "p" && ($("#pause") ?? $("#play"))) {
    ($("#pause") ?? $("#play")).click();
  } else if (key !== "g") {
    going = false;
    return;
  }
  going = key === "g";
  event.preventDefault();
});

// How many decisions wait for a person, on every page.
async function waiting() {
  if (document.hidden) return;
  try {
    const found = await (await ask("/api/approvals")).json();
    const count = found.approvals.length;
    $("#waiting").textContent = count;
    $("#waiting").hidden = !count;
  } catch {
    $("#waiting").hidden = true;
  }
}

localize();
reveal();
for (const place of $$("[data-origin]")) place.textContent = location.origin;
if ($("[data-again]")) setTimeout(() => location.reload(), 700);
if (document.body.dataset.page) {
  waiting();
  setInterval(waiting, 20_000);
}
