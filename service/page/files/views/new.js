// A batch to prove: a file, or blocks of a node; what it would cost, before.

import { fresh, json, Refusal } from "../api.js";
import { h } from "../dom.js";
import { bytes, count, duration, exact } from "../format.js";
import { drop, facts, icon, waiting } from "../parts/controls.js";
import { Explorer } from "../parts/costs.js";
import { problem } from "../parts/problem.js";

const SENDING = 900;

export class New {
  title = "Prove a batch";
  #app;
  #file = null;
  #id = fresh();
  #busy = "";
  #problem = null;
  #estimate = null;
  #explorer;

  constructor(app) {
    this.#app = app;
    this.#explorer = new Explorer("estimate", app.refresh);
  }

  enter() {
    [this.#problem, this.#busy] = [null, ""];
  }

  /** A file that has been dropped or chosen. */
  take(file) {
    [this.#file, this.#id, this.#problem, this.#estimate] = [file, fresh(), null, null];
    this.#app.refresh();
  }

  /** What the form says, as a request. */
  #request(form) {
    const given = new FormData(form);
    const text = (name) => String(given.get(name) ?? "").trim();
    const number = (name) => (text(name) === "" ? null : Number(text(name)));
    const deadline = text("deadline") ? new Date(text("deadline")).toISOString() : null;
    const options = { segment_memory: number("segment_memory"), segment_operations: number("segment_operations") };
    if (given.has("one_proof")) options.one_proof = true;
    const common = { name: text("name"), priority: number("priority") ?? 0, deadline };
    if (this.#file) {
      const query = { ...common, name: common.name || this.#file.name.slice(0, 200), ...options };
      return { query, body: this.#file, type: "application/octet-stream" };
    }
    const source = { rpc: text("rpc"), from: number("from"), to: number("to") };
    const name = common.name || `blocks ${source.from} to ${source.to}`;
    return { body: JSON.stringify({ ...common, name, source, options }), type: "application/json" };
  }

  async #send(event, what) {
    event.preventDefault();
    const form = event.target.form ?? event.target;
    if (!form.reportValidity()) return;
    if (!this.#file && !form.elements.rpc.value) {
      this.#problem = { code: "malformed", title: "", detail: "there is no batch yet", hint: "Drop a file, or say which blocks of which node." };
      return this.#app.refresh();
    }
    [this.#busy, this.#problem] = [what, null];
    this.#app.refresh();
    try {
      const request = { ...this.#request(form), method: "POST", seconds: SENDING };
      if (what === "estimate") this.#estimate = await json("estimate", request);
      else {
        // Sent again after a lost answer, it is the same job.
        const job = await json("jobs", { ...request, extra: { "Idempotency-Key": this.#id } });
        [this.#file, this.#id, this.#estimate] = [null, fresh(), null];
        this.#app.store.take(job);
        this.#app.go(`#/jobs/${job.id}`);
      }
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.#problem = error.problem;
    }
    this.#busy = "";
    this.#app.refresh();
  }

  show() {
    const field = (name, label, properties, hint) => h("label", { key: name, class: "field" }, h("span", null, label),
      h("input", { name, autocomplete: "off", ...properties }), hint ? h("small", null, hint) : null);
    const changed = () => {
      // Another request is another job.
      this.#id = fresh();
    };
    return [
      h("a", { class: "back", href: this.#app.listed }, "Batches"),
      h("h1", { tabindex: -1 }, "Prove a batch"),
      h("form", { class: "submit", oninput: changed, onsubmit: (event) => this.#send(event, "prove") },
        this.#file ? h("div", { class: "chosen" }, icon("up"), h("strong", null, this.#file.name), h("span", { class: "soft" }, bytes(this.#file.size)),
          h("button", { type: "button", class: "quiet", onclick: () => this.take(null) }, "Another one"))
          : drop("new-file", "A batch file", "JSON as in examples/, RLP of blocks, or what a node says", (file) => this.#app.file(file)),
        this.#file ? null : h("fieldset", null, h("legend", null, "Or blocks of a node"),
          h("p", { class: "soft" }, "The node has to know ", h("code", null, "debug_executionWitness"), "."),
          h("div", { class: "fields" }, field("rpc", "Address", { type: "url", pattern: "https?://.+", placeholder: "http://localhost:8545", maxlength: 2048 }),
            field("from", "First block", { type: "number", min: 0, step: 1 }), field("to", "Last block", { type: "number", min: 0, step: 1 }))),
        h("details", null, h("summary", null, "Name, priority, deadline, segments"),
          h("div", { class: "fields" }, field("name", "Name", { maxlength: 200 }),
            field("priority", "Priority", { type: "number", min: -100, max: 100, step: 1, placeholder: "0" }, "Higher is earlier, up to 100"),
            field("deadline", "Deadline", { type: "datetime-local" }, "Given up after it"),
            field("segment_memory", "Memory of a segment, MiB", { type: "number", min: 1, max: 1048576, step: 1 }),
            field("segment_operations", "Operations of a segment", { type: "number", min: 1, max: 2147483648, step: 1 }, "More segments, more workers at once"),
            field("one_proof", "One proof of all segments", { type: "checkbox" }, "Of the same size whatever it proves; takes minutes"))),
        h("div", { class: "row" },
          h("button", { type: "submit", class: "primary", disabled: Boolean(this.#busy) }, "Prove it"),
          h("button", { type: "button", class: "quiet", disabled: Boolean(this.#busy), onclick: (event) => this.#send(event, "estimate") }, "What would it cost?"))),
      h("div", { "aria-live": "polite" }, this.#busy ? waiting(this.#busy === "estimate" ? "Executing and planning, without proving" : "Sending") : null),
      this.#problem ? problem(this.#problem, { alert: true }) : null,
      this.#estimate ? this.#show(this.#estimate) : null,
    ];
  }

  #show(it) {
    return h("section", { class: "card estimate", "aria-label": "Estimate" },
      h("h2", null, "What it would take"),
      it.unsupported ? problem(it.unsupported, { level: "h3" }) : null,
      facts([["time", it.seconds === null ? null : `about ${duration(it.seconds)}`], ["segments", exact(it.segments)], ["memory", bytes(it.memory)],
        ["cells", count(it.cells)], ["interactions", count(it.interactions)], ["fork", it.fork], ["blocks", exact(it.blocks)],
        ["transactions", exact(it.transactions)], ["gas", count(it.gas_used)], ["steps", count(it.steps)]]),
      it.costs ? this.#explorer.show(it.costs) : null);
  }
}
