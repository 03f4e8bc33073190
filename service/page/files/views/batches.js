// All batches, as they come.

import { now } from "../api.js";
import { h } from "../dom.js";
import { ago, count, exact, many } from "../format.js";
import { queueChart } from "../parts/chart.js";
import { choice, drop, waiting } from "../parts/controls.js";
import { problem } from "../parts/problem.js";
import { badge, contents, face, left, standing, STATES, track } from "../parts/state.js";

const SORTS = [["-created", "newest first"], ["created", "oldest first"], ["-priority", "most urgent first"]];

export class Batches {
  title = "Batches";
  #app;
  #query = {};
  #typing = 0;

  constructor(app) {
    this.#app = app;
  }

  enter(_, query) {
    this.#query = { state: query.get("state") ?? "", q: query.get("q") ?? "", sort: query.get("sort") ?? SORTS[0][0] };
    void this.#app.store.loadList(this.#query);
  }

  #go(changed) {
    const query = { ...this.#query, ...changed };
    if (query.sort === SORTS[0][0]) query.sort = "";
    const given = Object.entries(query).filter(([, value]) => value);
    this.#app.go(`#/${given.length ? `?${new URLSearchParams(given)}` : ""}`, { quietly: true });
  }

  show() {
    const { store } = this.#app;
    const { list, overview } = store;
    const queue = overview?.queue ?? {};
    const all = STATES.reduce((sum, state) => sum + (queue[state] ?? 0), 0);
    const nothing = overview && all === 0 && !this.#query.q && !this.#query.state;
    return [
      h("div", { class: "masthead" },
        h("div", null, h("h1", { tabindex: -1 }, "Batches"),
          h("p", { class: "soft" }, "Blocks of Ethereum go in; a proof that they were executed as they say comes out.")),
        drop("batch-file", "Prove a batch", "Drop a batch or a proof here, or choose one", (file) => this.#app.file(file))),
      overview ? this.#glance(overview) : null,
      store.status === "key" ? null : h("section", { class: "list", "aria-label": "Batches" },
        h("div", { class: "row filters" },
          choice("State", "state", [["", "all", all], ...STATES.map((state) => [state, state, queue[state] ?? 0])]
            .filter(([state, , number]) => !state || number || state === this.#query.state),
          this.#query.state, (state) => this.#go({ state })),
          h("div", { class: "row" },
            h("input", { type: "search", "aria-label": "Search by name or id", placeholder: "Name or id", value: this.#query.q,
              maxlength: 200, oninput: (event) => {
                clearTimeout(this.#typing);
                const q = event.target.value.trim();
                this.#typing = setTimeout(() => this.#go({ q }), 250);
              } }),
            h("select", { "aria-label": "Order", value: this.#query.sort, onchange: (event) => this.#go({ sort: event.target.value }) },
              SORTS.map(([value, text]) => h("option", { key: value, value }, text))))),
        list.problem ? problem(list.problem) : null,
        list.loading ? waiting("Loading") : null,
        nothing ? this.#empty() : null,
        !list.loading && !list.ids.length && !nothing && !list.problem ? h("p", { class: "soft none" }, "No batch is like that.") : null,
        h("ul", { class: "jobs" }, list.ids.map((id) => this.#row(store.jobs.get(id)))),
        list.next ? h("button", { type: "button", class: "quiet", onclick: () => store.more() }, `More (${exact(list.total - list.ids.length)} left)`) : null),
    ];
  }

  #glance({ queue, proofs_per_hour, cells_per_second, workers, following, queue_history }) {
    const tile = (name, value, text) => h("div", { key: name, class: "tile" }, h("dt", null, name), h("dd", null, value, text ? h("small", null, ` ${text}`) : ""));
    return h("section", { class: "glance", "aria-label": "At a glance" },
      h("dl", null,
        tile("running", exact(queue.running ?? 0)), tile("waiting", exact(queue.queued ?? 0)),
        tile("proofs an hour", count(proofs_per_hour)),
        cells_per_second ? tile("cells a second", count(cells_per_second)) : null,
        tile("workers", exact(workers.length)),
        following ? tile("chain", following.head === null ? "–" : exact(following.head),
          following.head === null ? "" : `${many(Math.max(0, following.head + 1 - following.next_block), "block")} behind`) : null),
      queue_history.length > 1 ? h("a", { class: "spark", href: "#/service", "aria-label": "Queue over time" }, queueChart(queue_history, true)) : null);
  }

  #empty() {
    return h("div", { class: "empty" }, h("h2", null, "Nothing here yet"),
      h("p", null, "Drop a file of ", h("code", null, "examples/"), " above, or let the service take blocks from a node: ",
        h("a", { href: "#/new" }, "prove a batch"), "."));
  }

  #row(job) {
    if (!job) return null;
    const failed = job.problem && job.state !== "done";
    return h("li", { key: job.id, class: `job ${job.state}` },
      face(job),
      h("div", { class: "what" },
        h("h2", null, h("a", { href: `#/jobs/${job.id}` }, job.name || `batch ${job.id.slice(0, 8)}`)),
        h("p", { class: failed ? "reason" : "soft" }, failed ? standing(job) : contents(job) || "not read yet")),
      h("div", { class: "how" },
        job.state === "running" ? track(job) : badge(job.state, job.state !== "done"),
        h("p", { class: "soft" },
          job.state === "running" || job.state === "done" ? standing(job) : "",
          job.state === "running" ? h("span", { class: "left" }, left(job)) :
            h("time", { datetime: job.finished ?? job.created, class: "left" }, ago(job.finished ?? job.created, now())))));
  }
}
