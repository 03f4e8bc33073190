// The segments of a job: each as wide as it is large, and what is known of each.

import { h, unseen } from "../dom.js";
import { bytes, count, duration, exact, many } from "../format.js";

/** Cells and interactions in one currency: an interaction takes about as long to prove as 6.5 cells. */
export const weight = (it) => it.cells + 6.5 * it.interactions;

/** How much of a segment is proved, as far as its size and those that are proved tell; null if they do not. */
function guess(segment, segments, now) {
  if (segment.state === "proved") return 1;
  if (segment.state !== "proving" || !segment.started) return 0;
  let work = 0;
  let seconds = 0;
  for (const other of segments) {
    if (other.state !== "proved" || other.reused || !other.seconds) continue;
    work += weight(other);
    seconds += other.seconds;
  }
  if (!seconds) return null;
  const passed = (now - Date.parse(segment.started)) / 1000;
  return Math.min(0.97, Math.max(0, passed / ((weight(segment) * seconds) / work)));
}

function bar(segment, segments, now) {
  const part = guess(segment, segments, now);
  return h("span", { class: `bar ${segment.state}${segment.reused ? " reused" : ""}${part === null ? " unsure" : ""}` },
    h("span", { class: "fill", style: { transform: `scaleX(${part ?? 1})` } }));
}

/** All segments side by side. */
export function strip(segments, now) {
  const proved = segments.filter((segment) => segment.state === "proved").length;
  return h("div", { class: "strip", role: "img", "aria-label": `${proved} of ${many(segments.length, "segment")} proved` },
    segments.map((segment) => h("span", { key: segment.index, class: "piece", style: { "--wide": weight(segment) },
      title: `segment ${segment.index}: ${segment.state}, ${count(segment.cells)} cells` }, bar(segment, segments, now))));
}

export function table(segments, now) {
  const row = (segment) => {
    const seconds = segment.seconds ??
      (segment.state === "proving" && segment.started ? (now - Date.parse(segment.started)) / 1000 : null);
    return h("tr", { key: segment.index },
      h("th", { scope: "row" }, segment.index),
      h("td", { class: "wide" }, bar(segment, segments, now), unseen(segment.reused ? "proved before" : segment.state)),
      h("td", { class: "number extra" }, `${exact(segment.first_operation)}–${exact(segment.end_operation - 1)}`),
      h("td", { class: "number", title: exact(segment.cells) }, count(segment.cells)),
      h("td", { class: "number extra", title: exact(segment.interactions) }, count(segment.interactions)),
      h("td", { class: "number extra" }, bytes(segment.memory)),
      h("td", { class: "extra" }, segment.reused ? "proved before" : segment.worker ?? ""),
      h("td", { class: "number" }, seconds === null ? "" : duration(seconds)),
      h("td", { class: "number extra" }, segment.proof_bytes ? bytes(segment.proof_bytes) : ""));
  };
  const head = [["segment", ""], ["progress", "wide"], ["operations", "number extra"], ["cells", "number"],
    ["interactions", "number extra"], ["memory", "number extra"], ["worker", "extra"], ["time", "number"],
    ["proof", "number extra"]];
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Segments one by one" },
    h("table", { class: "figures" },
      h("thead", null, h("tr", null, head.map(([name, kind]) => h("th", { key: name, scope: "col", class: kind }, name)))),
      h("tbody", null, segments.map(row))));
}
