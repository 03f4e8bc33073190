// The queue over time: how many wait, how many run.

import { h, s } from "../dom.js";
import { clock } from "../format.js";

const WIDTH = 1000;
const HEIGHT = 100;

/** Points as a line of steps: what is true at one time is so until the next. */
function steps(points) {
  return points.map(([x, y], i) => (i ? `H${x.toFixed(1)}V${y.toFixed(1)}` : `M${x.toFixed(1)} ${y.toFixed(1)}`)).join("");
}

/**
 * A chart of the queue.
 *
 * @param history [[time, queued, running]], the oldest first.
 * @param small without axes, for a glance.
 */
export function queueChart(history, small = false) {
  if (history.length < 2) return small ? null : h("p", { class: "soft" }, "Nothing has been measured yet.");
  const times = history.map(([time]) => Date.parse(time));
  const [from, to] = [times[0], times.at(-1)];
  const most = Math.max(1, ...history.map(([, queued, running]) => queued + running));
  const x = (time) => (WIDTH * (time - from)) / Math.max(1, to - from);
  const y = (jobs) => HEIGHT - (HEIGHT - 4) * (jobs / most);
  const running = history.map(([, , now], i) => [x(times[i]), y(now)]);
  const all = history.map(([, queued, now], i) => [x(times[i]), y(queued + now)]);
  const area = (points) => `${steps(points)}H${WIDTH}V${HEIGHT}H0Z`;
  const [, queued, now] = history.at(-1);
  const label = `From ${clock(from)} to ${clock(to)}: at most ${most} at once; now ${queued} waiting, ${now} running`;
  const plot = s("svg", { class: "plot", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
    s("path", { class: "area queued", d: area(all) }), s("path", { class: "area running", d: area(running) }),
    s("path", { class: "line queued", d: steps(all) }), s("path", { class: "line running", d: steps(running) }));
  if (small) return plot;
  const ticks = [0, 1, 2, 3, 4].map((i) => from + ((to - from) * i) / 4);
  return h("figure", { class: "chart" },
    h("div", { class: "legend", "aria-hidden": "true" }, h("span", { class: "queued" }, "waiting"), h("span", { class: "running" }, "running")),
    h("div", { class: "frame" }, h("span", { class: "most", "aria-hidden": "true" }, most), plot),
    h("div", { class: "times", "aria-hidden": "true" }, ticks.map((time) => h("span", { key: time }, clock(time)))));
}
