// Numbers, times and hashes for people.

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

/** 5,290,000 as it is. */
export const exact = (value) => (value === null || value === undefined ? "–" : whole.format(Math.round(value)));

/** 5,290,000 as 5.29M; below 10,000 as it is. */
export function count(value) {
  if (value === null || value === undefined) return "–";
  return Math.abs(value) < 10_000 ? whole.format(Math.round(value * 10) / 10) : short.format(value);
}

/** Bytes with a unit of thousands. */
export function bytes(value) {
  if (value === null || value === undefined) return "–";
  for (const [unit, size] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
    if (value >= size) return `${(value / size).toPrecision(3)} ${unit}`;
  }
  return `${value} bytes`;
}

/** Seconds: 0.03 s, 4.2 s, 1 min 12 s, 3 h 05 min. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  if (seconds < 0.0005) return "< 1 ms";
  if (seconds < 1) return `${seconds.toFixed(seconds < 0.1 ? 3 : 2)} s`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const all = Math.round(seconds);
  if (all < 60) return `${all} s`;
  if (all < 3600) return `${Math.floor(all / 60)} min ${String(all % 60).padStart(2, "0")} s`;
  const minutes = Math.round(all / 60);
  return minutes < 2880
    ? `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`
    : `${Math.round(minutes / 1440)} days`;
}

/** How long ago a time is, by a clock. */
export function ago(time, now) {
  const seconds = Math.max(0, (now - Date.parse(time)) / 1000);
  if (seconds < 10) return "just now";
  if (seconds < 60) return "a moment ago";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return new Date(time).toLocaleDateString(undefined, { day: "numeric", month: "short", year: "numeric" });
}

export const clock = (time) => new Date(time).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
/** A day and a time; the year only if it is another one. */
export function moment(time) {
  const then = new Date(time);
  const year = then.getFullYear() === new Date().getFullYear() ? undefined : "numeric";
  return then.toLocaleString([], { year, month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
}

/** The ends of a hash. */
export const ends = (hash) => (hash.length > 20 ? `${hash.slice(0, 10)}…${hash.slice(-6)}` : hash);

export const percent = (part) => `${Math.floor(part * 100 + 1e-9)} %`;

/** "1 block", "2 blocks". */
export const many = (number, what) => `${exact(number)} ${what}${number === 1 ? "" : "s"}`;

/** A sentence's first letter made large. */
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
