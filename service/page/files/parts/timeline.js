// What ran when: a lane for each worker, or for each stage, with a bar for each piece of work.

import { h } from "../dom.js";
import { clock, duration } from "../format.js";
import { STAGES } from "./state.js";

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];

/**
 * A timeline.
 *
 * @param lanes [{ name, spans: [{ key, from, to, kind, label, text, href }] }], times in milliseconds; `to` null: still
 *   going on; `text` stands in the bar where there is room, `label` if it is left out.
 * @param now milliseconds, where bars that still grow end.
 * @param label what the whole is about.
 * @param relative count seconds from the beginning instead of showing the time of day.
 */
export function timeline(lanes, now, { label, relative = true } = {}) {
  const spans = lanes.flatMap((lane) => lane.spans);
  if (!spans.length) return null;
  const start = Math.min(...spans.map((span) => span.from));
  const end = Math.max(start + 1000, ...spans.map((span) => span.to ?? now));
  const whole = end - start;
  const at = (time) => `${((100 * (time - start)) / whole).toFixed(3)}%`;
  const step = 1000 * (STEPS.find((seconds) => whole / 1000 / seconds <= 6) ?? STEPS.at(-1));
  const ticks = [];
  const first = relative ? start : Math.ceil(start / step) * step;
  for (let time = first; time <= end; time += step) ticks.push(time);
  const told = (time) => (relative ? duration((time - start) / 1000) : clock(time));
  return h("figure", { class: "timeline", "aria-label": `${label}; ${duration(whole / 1000)} in all` },
    h("div", { class: "lanes", role: "list" },
      lanes.map((lane) => h("div", { key: lane.name, class: "lane", role: "listitem" },
        h("span", { class: "name", title: lane.name }, lane.name),
        h("div", { class: "spans" }, lane.spans.map((span) => {
          const seconds = ((span.to ?? now) - span.from) / 1000;
          const title = `${span.label}: ${told(span.from)} to ${span.to ? told(span.to) : "now"} (${duration(seconds)})`;
          return h(span.href ? "a" : "span", {
            key: span.key, class: `span ${span.kind}${span.to === null ? " growing" : ""}`, href: span.href,
            title, role: span.href ? null : "img", "aria-label": title,
            style: { left: at(span.from), right: `calc(100% - ${at(span.to ?? now)})` },
          }, (100 * ((span.to ?? now) - span.from)) / whole > 1.2 + 0.75 * (span.text ?? span.label).length ? h("span", { class: "text", "aria-hidden": "true" }, span.text ?? span.label) : null);
        }))))),
    h("div", { class: "axis", "aria-hidden": "true" },
      ticks.map((time) => h("span", { key: time, style: { left: at(time) } }, relative && time === start ? "0 s" : told(time)))));
}

/** The lanes of a job: its stages, and the segments by the worker that proves them. */
export function lanesOf(job) {
  const started = Date.parse(job.started);
  if (!Number.isFinite(started)) return [];
  const taken = STAGES.filter((name) => name in (job.stage_seconds ?? {}));
  const length = (names) => 1000 * names.reduce((sum, name) => sum + job.stage_seconds[name], 0);
  // Stages are known by how long they took. Where they lie is known by the first segment, or by the end.
  const proving = Math.min(...(job.segments ?? []).filter((it) => it.started && !it.reused).map((it) => Date.parse(it.started)));
  const before = length(taken.filter((name) => STAGES.indexOf(name) < STAGES.indexOf("prove")));
  let time = started;
  if (Number.isFinite(proving)) time = Math.max(started, proving - before);
  else if (job.finished && taken.length) time = Math.max(started, Date.parse(job.finished) - length(taken));
  const stages = time - started > 500 ? [{ key: "start", from: started, to: time, kind: "stage-start", label: "start" }] : [];
  for (const name of taken) {
    const to = time + 1000 * job.stage_seconds[name];
    stages.push({ key: name, from: time, to, kind: `stage-${name}`, label: name });
    time = to;
  }
  const open = job.state === "running" && job.stage && !(job.stage in (job.stage_seconds ?? {}));
  if (open) stages.push({ key: job.stage, from: time, to: null, kind: `stage-${job.stage}`, label: job.stage });
  return [{ name: "stages", spans: stages }, ...workersOf([job], false)].filter((lane) => lane.spans.length);
}

/** The segments of jobs by the worker that has proved them, or proves them now. */
export function workersOf(jobs, links = true) {
  const workers = new Map();
  for (const job of jobs) {
    for (const segment of job.segments ?? []) {
      if (!segment.started || segment.reused) continue;
      const growing = segment.state === "proving" && job.state === "running";
      const from = Date.parse(segment.started);
      const seconds = segment.seconds ?? null;
      if (!growing && seconds === null) continue;
      const name = segment.worker ?? "worker";
      if (!workers.has(name)) workers.set(name, []);
      const label = links ? `${job.name || job.id.slice(0, 8)}, segment ${segment.index}` : `segment ${segment.index}`;
      workers.get(name).push({
        key: `${job.id}:${segment.index}`, from, to: growing ? null : from + 1000 * seconds, label,
        text: links ? job.name || job.id.slice(0, 8) : label,
        kind: growing ? "proving" : "proved", href: links ? `#/jobs/${job.id}` : null,
      });
    }
  }
  return [...workers].sort().map(([name, spans]) => ({ name, spans }));
}
