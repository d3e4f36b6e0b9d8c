// What a list is narrowed to: the page's address, the same names as the API's.
import { $$ } from "./page.js";

const OFFERED = 200; // values that a filter offers at most

export const query = new URLSearchParams(location.search);
// A page of what came before: nothing new belongs there.
export const older = query.has("cursor");

// A parameter's values: it may come more than once, and outcomes may be separated by commas.
function values(name) {
  const given = query.getAll(name);
  return (name === "outcome" ? given.flatMap((each) => each.split(",")) : given).filter(Boolean);
}

// What is under way is counted above the list, and stands in it only where that was asked for.
export const withRunning = values("outcome").includes("running");
if (withRunning) document.documentElement.classList.add("show-running");

// Whether an exchange under way passes the page's filters, as far as they can be told already.
const FIELDS = {
  provider: "provider",
  agent: "agent_id",
  parent_agent: "parent_agent_id",
  session: "session_id",
  conversation: "conversation_id",
  dialect: "dialect",
  path: "path",
  key: "key",
};
export function passes(exchange) {
  const among = (name, found) => !values(name).length || values(name).some((each) => found.includes(each));
  return (
    among("model", [exchange.model, exchange.routed_model]) &&
    among("outcome", ["running"]) &&
    // What routing and indexing find out only later may still become what was asked for.
    Object.entries(FIELDS).every(([name, field]) => exchange[field] === null || among(name, [exchange[field]]))
  );
}

// Filters offer what has come since the page was made.
export function offer(name, value) {
  if (!value) return;
  for (const { options } of $$(`#filters select[name=${name}]`)) {
    const there = [...options].some((option) => option.value === value);
    if (!there && options.length <= OFFERED) options.add(new Option(value, value));
  }
}
