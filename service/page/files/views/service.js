// The service itself: throughput, queue, workers, the chain that is followed.

import { json, now } from "../api.js";
import { h } from "../dom.js";
import { ago, bytes, count, exact, many } from "../format.js";
import { queueChart } from "../parts/chart.js";
import { facts, waiting } from "../parts/controls.js";
import { timeline, workersOf } from "../parts/timeline.js";

// Batches whose segments the timeline shows.
const RECENT = 8;

export class Service {
  title = "Service";
  #app;
  #recent = [];

  constructor(app) {
    this.#app = app;
  }

  async enter() {
    const { store } = this.#app;
    void store.loadOverview();
    const lists = await Promise.all(["running", "done"].map((state) =>
      json("jobs", { query: { state, sort: "-created", limit: RECENT } }).catch(() => ({ items: [] }))));
    this.#recent = lists.flatMap((list) => list.items.map((job) => job.id)).slice(0, RECENT);
    store.watch(...this.#recent);
    for (const id of this.#recent) store.loadJob(id).catch(() => {});
  }

  leave() {
    this.#app.store.watch();
  }

  show() {
    const { store } = this.#app;
    const it = store.overview;
    const heading = h("h1", { tabindex: -1 }, "Service");
    if (!it) return [heading, waiting("Loading")];
    const lanes = workersOf(this.#recent.map((id) => store.jobs.get(id)).filter((job) => job?.segments));
    return [
      heading,
      facts([["version", it.version], ["proofs an hour", count(it.proofs_per_hour)], ["cells a second", count(it.cells_per_second)],
        ["waiting", exact(it.queue.queued ?? 0)], ["running", exact(it.queue.running ?? 0)], ["done", exact(it.queue.done ?? 0)], ["failed", exact(it.queue.failed ?? 0)]]),
      h("div", { class: "cards" },
        this.#card("queue", "Queue over time", queueChart(it.queue_history)),
        lanes.length ? this.#card("lanes", "Who proved what when", timeline(lanes, now(), { label: "Segments by worker", relative: false })) : null,
        this.#card("workers", "Workers", it.workers.length ? this.#workers(it.workers) : h("p", { class: "soft" }, "None: nothing is proved until one starts.")),
        it.following ? this.#card("following", "The chain that is followed", this.#following(it.following)) : null),
      h("p", { class: "soft" }, "For programs: ", h("a", { href: "docs" }, "the API"), ", ", h("a", { href: "metrics" }, "metrics"), ", ", h("a", { href: "readyz" }, "readiness"), "."),
    ];
  }

  #card(name, title, content) {
    return h("section", { key: name, class: "card", "aria-labelledby": `${name}-title` }, h("h2", { id: `${name}-title` }, title), content);
  }

  #workers(workers) {
    return h("ul", { class: "workers" }, workers.map((worker) => h("li", { key: worker.id },
      h("div", { class: "row" }, h("strong", null, worker.host), h("code", null, worker.id.slice(0, 12))),
      h("p", { class: "soft" }, `${many(worker.threads, "thread")} · ${bytes(worker.memory)} · since ${ago(worker.started, now())} · seen ${ago(worker.seen, now())}`),
      worker.jobs.length ? h("ul", null, worker.jobs.map((id) => h("li", { key: id }, h("a", { href: `#/jobs/${id}` }, this.#app.store.jobs.get(id)?.name || id.slice(0, 8))))) : h("p", { class: "soft" }, "idle"))));
  }

  #following(it) {
    return [
      it.problem ? h("p", { class: "reason" }, it.problem) : null,
      facts([["node", it.rpc], ["head", it.head === null ? "–" : exact(it.head)], ["next block", exact(it.next_block)],
        ["confirmations", exact(it.confirmations)], ["reorganisations", exact(it.reorganisations)],
        ["last batch", it.last_batch ? h("a", { href: `#/jobs/${it.last_batch}` }, it.last_batch.slice(0, 8)) : null]]),
    ];
  }
}
