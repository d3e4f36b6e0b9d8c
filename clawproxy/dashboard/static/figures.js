// Figures as people read them; clawproxy/dashboard/render_numbers.py says the same on the server.

export const DASH = "–";

export function number(value) {
  return value == null ? DASH : Math.round(value).toLocaleString("en-US");
}

export function short(value) {
  if (value == null) return DASH;
  for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e3]]) {
    if (value >= size * 0.9995) {
      const scaled = value / size;
      return (scaled < 9.95 ? scaled.toFixed(1) : scaled.toFixed(0)) + unit;
    }
  }
  return value.toFixed(0);
}

export function duration(ms) {
  if (ms == null) return DASH;
  if (ms < 999.5) return ms >= 9.95 || ms === 0 ? `${ms.toFixed(0)} ms` : `${ms.toFixed(1)} ms`;
  const seconds = ms / 1000;
  if (seconds < 9.995) return `${seconds.toFixed(2)} s`;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const two = (n) => String(n).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${two(whole % 60)}s`;
  return `${Math.floor(whole / 3600)}h ${two(Math.floor((whole % 3600) / 60))}m`;
}

export function usd(value) {
  if (value == null) return DASH;
  if (value === 0) return "$0";
  if (value < 0.0001) return "<$0.0001";
  if (value < 0.01) return `$${value.toFixed(4)}`;
  if (value < 1) return `$${value.toFixed(3)}`;
  if (value < 1000) return `$${value.toFixed(2)}`;
  return `$${Math.round(value).toLocaleString("en-US")}`;
}

export function size(value) {
  if (value == null) return DASH;
  if (value < 1000) return `${value.toFixed(0)} B`;
  for (const [unit, scale] of [["kB", 1e3], ["MB", 1e6], ["GB", 1e9]]) {
    if (value < scale * 999.5 || unit === "GB") {
      const scaled = value / scale;
      return `${scaled < 9.95 ? scaled.toFixed(1) : scaled.toFixed(0)} ${unit}`;
    }
  }
  return DASH;
}

const pad = (n) => String(n).padStart(2, "0");
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

export function clock(date) {
  return `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
}

// A moment in the reader's own time zone, which the server does not know.
export function moment(text, show) {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) return text;
  const day = `${date.getDate()} ${MONTHS[date.getMonth()]}`;
  if (show === "hour") return `${pad(date.getHours())}:${pad(date.getMinutes())}`;
  if (show === "date") return day;
  if (show === "full") return `${day} ${date.getFullYear()}, ${clock(date)}`;
  if (show === "ago") {
    const passed = Date.now() - date.getTime();
    if (passed < 90e3) return "just now";
    if (passed < 5400e3) return `${Math.round(passed / 60e3)} minutes ago`;
    if (passed < 36 * 3600e3) return `${Math.round(passed / 3600e3)} hours ago`;
    return `${day} ${date.getFullYear()}`;
  }
  const today = new Date().toDateString() === date.toDateString();
  return today ? clock(date) : `${day} ${pad(date.getHours())}:${pad(date.getMinutes())}`;
}
