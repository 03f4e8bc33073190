// How the state of a job looks: a word, a sign and a colour, so that none of them is needed.

import { h, s } from "../dom.js";
import { capital, count, duration, exact, many, percent } from "../format.js";

export const STATES = ["queued", "running", "done", "failed", "cancelled", "abandoned"];
export const STAGES = ["fetch", "execute", "plan", "prove", "verify", "aggregate", "store"];
/** What a stage is called while it goes on. */
export const DOING = {
  fetch: "fetching blocks", execute: "executing", plan: "planning segments",
  prove: "proving", verify: "verifying", aggregate: "making one proof", store: "storing the proof",
};
// How wide the stages are: proving takes longest.
const WIDTHS = { fetch: 1, execute: 2, plan: 1, prove: 9, verify: 2, aggregate: 9, store: 1 };
const PATHS = {
  queued: "M8 4.5V8l2.5 1.5", running: "M8 2.5a5.5 5.5 0 0 1 5.5 5.5", done: "M4.8 8.3 7 10.5l4.3-4.8",
  failed: "m5.5 5.5 5 5m0-5-5 5", cancelled: "M5 8h6", abandoned: "M10.5 10.5V7H5m2-2L5 7l2 2",
};

export const sign = (state) =>
  s("svg", { class: `sign ${state}`, viewBox: "0 0 16 16", "aria-hidden": "true" },
    s("circle", { cx: 8, cy: 8, r: 6.5 }), s("path", { d: PATHS[state] }));

/** Where something will be. */
export const blank = () => s("svg", { class: "sign blank", viewBox: "0 0 16 16", "aria-hidden": "true" }, s("circle", { cx: 8, cy: 8, r: 2 }));

export const badge = (state, plain = false) => h("span", { class: `badge ${state}` }, plain ? null : sign(state), state);

/** The bits of a statement's digest as cells: each proof has its own face. */
export function fingerprint(digest) {
  const cells = [];
  for (let i = 0; i < 64; i++) {
    const bit = (parseInt(digest.slice(2 + 2 * (i >> 2), 4 + 2 * (i >> 2)), 16) >> (i & 3)) & 1;
    if (bit) cells.push(`M${i % 8} ${i >> 3}h.86v.86h-.86z`);
  }
  return s("svg", { class: "fingerprint", viewBox: "0 0 8 8", "aria-hidden": "true" }, s("path", { d: cells.join("") }));
}

/** What stands before a job's name. */
export function face(job) {
  if (job.state === "done" && job.statement_digest) return fingerprint(job.statement_digest);
  if (job.state !== "running") return sign(job.state);
  const around = 2 * Math.PI * 6.5;
  return s("svg", { class: "ring", viewBox: "0 0 16 16", "aria-hidden": "true" },
    s("circle", { cx: 8, cy: 8, r: 6.5 }),
    s("circle", { class: "part", cx: 8, cy: 8, r: 6.5, "stroke-dasharray": around,
      style: { "stroke-dashoffset": `${around * (1 - job.progress)}px` } }));
}

/** One line about where a job stands. */
export function standing(job) {
  if (job.state === "running" && job.stage) {
    const unit = { prove: "segment", verify: "check", aggregate: "node", fetch: "block" }[job.stage];
    const total = unit ? many(job.stage_total, unit) : exact(job.stage_total);
    return capital(DOING[job.stage]) + (job.stage_total ? `, ${exact(job.stage_done)} of ${total}` : "");
  }
  if (job.state === "running") return "Starting";
  if (job.state === "queued") return job.tries ? `Waiting for try ${job.tries + 1} of ${job.max_tries}` : "Waiting";
  if (job.state === "done") return `Proved and verified${took(job)}`;
  return job.problem ? capital(job.problem.detail) : capital(job.state);
}

const took = (job) =>
  job.started && job.finished ? ` in ${duration((Date.parse(job.finished) - Date.parse(job.started)) / 1000)}` : "";

/** What is left, if that is known. */
export const left = (job) =>
  job.state === "running" && job.remaining > 0.5 ? `${duration(job.remaining)} left` : "";

/** Whether all segments of a job get one proof, as far as that is known. */
const aggregates = (job) =>
  Boolean(job.options?.one_proof || job.stage === "aggregate" || "aggregate" in (job.stage_seconds ?? {}));

/** The stages of a job as bars. */
export function track(job, large = false) {
  const at = job.state === "running" ? STAGES.indexOf(job.stage) : -1;
  const stages = STAGES.filter((name) => (name !== "fetch" || job.source) && (name !== "aggregate" || aggregates(job)));
  const bars = stages.map((name) => {
    const i = STAGES.indexOf(name);
    const done = job.state === "done" || i < at;
    const now = i === at;
    const part = done ? 1 : now && job.stage_total ? job.stage_done / job.stage_total : 0;
    const state = done ? "passed" : now ? (job.stage_total ? "now" : "now unsure") : "";
    const taken = job.stage_seconds?.[name];
    return h("span", { key: name, class: `stage ${state}`, style: { "--wide": WIDTHS[name] } },
      h("span", { class: "bar" }, h("span", { class: "fill", style: { transform: `scaleX(${part})` } }), ticks(job, name)),
      large ? h("span", { class: "label" }, name, taken === undefined ? "" : h("small", null, ` ${duration(taken)}`)) : null);
  });
  const label = `${job.name || "batch"}: ${standing(job)}`;
  return h("div", { class: `track ${job.state}${large ? " large" : ""}`, role: "progressbar", "aria-label": label,
    "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.floor(100 * job.progress),
    "aria-valuetext": `${percent(job.progress)}, ${standing(job)}` }, bars);
}

function ticks(job, stage) {
  const total = job.segments_total;
  if (stage !== "prove" || !total || total < 2 || total > 64) return null;
  return h("span", { class: "ticks", style: { "--parts": total } });
}

/** What is in a batch, in a line. */
export function contents(job) {
  const parts = [];
  if (job.blocks !== null && job.blocks !== undefined) parts.push(many(job.blocks, "block"));
  if (job.transactions !== null && job.transactions !== undefined) parts.push(many(job.transactions, "transaction"));
  if (job.gas_used) parts.push(`${count(job.gas_used)} gas`);
  if (job.cells) parts.push(`${count(job.cells)} cells`);
  if (job.segments_total) parts.push(many(job.segments_total, "segment"));
  return parts.join(" · ");
}
