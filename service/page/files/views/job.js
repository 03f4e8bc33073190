// One batch: what it is, where it stands, what has been proved, and why not.

import { download, json, now, Refusal } from "../api.js";
import { h } from "../dom.js";
import { bytes, capital, count, duration, exact, moment } from "../format.js";
import { checks } from "../parts/checks.js";
import { button, facts, hash, icon, waiting } from "../parts/controls.js";
import { Explorer } from "../parts/costs.js";
import { problem } from "../parts/problem.js";
import { strip, table } from "../parts/segments.js";
import { badge, face, left, standing, track } from "../parts/state.js";
import { lanesOf, timeline } from "../parts/timeline.js";
import { settled } from "../store.js";

const FILES = [["proof", "proof", "proof"], ["statement", "statement", "json"], ["report", "report", "json"],
  ["plot.svg", "plot", "svg"], ["batch", "batch", ""]];

export class Job {
  #app;
  #id = "";
  #problem = null;
  #refused = null;
  #busy = "";
  #explorer;

  constructor(app) {
    this.#app = app;
    this.#explorer = new Explorer("costs", app.refresh);
  }

  get #job() {
    return this.#app.store.jobs.get(this.#id);
  }

  get title() {
    return this.#job?.name || `Batch ${this.#id.slice(0, 8)}`;
  }

  enter([id]) {
    if (id !== this.#id) this.#explorer = new Explorer("costs", this.#app.refresh);
    [this.#id, this.#problem, this.#refused, this.#busy] = [id, null, null, ""];
    this.#app.store.watch(id);
    this.#app.store.loadJob(id).catch((error) => {
      if (!(error instanceof Refusal)) throw error;
      this.#problem = error.problem;
      this.#app.refresh();
    });
  }

  leave() {
    this.#app.store.watch();
  }

  async #do(what, act) {
    [this.#busy, this.#refused] = [what, null];
    this.#app.refresh();
    try {
      await act();
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.#refused = error.problem;
    }
    this.#busy = "";
    this.#app.refresh();
  }

  #act(what) {
    return () => this.#do(what, async () => this.#app.store.take(await json(`jobs/${this.#id}/${what}`, { method: "POST" })));
  }

  show() {
    const job = this.#job;
    const back = h("a", { class: "back", href: this.#app.listed }, "Batches");
    if (!job && this.#problem) return [back, h("h1", { tabindex: -1 }, "Batch"), problem(this.#problem)];
    if (!job) return [back, h("h1", { tabindex: -1 }, "Batch"), waiting("Loading")];
    const { store } = this.#app;
    const known = store.detailed.has(job.id);
    const costs = store.costs.get(job.id);
    if (costs === undefined && job.state === "done") {
      store.costs.set(job.id, null);
      void store.loadCosts(job.id);
    }
    const segments = job.segments ?? [];
    const lanes = lanesOf(job);
    const cards = [
      segments.length ? this.#card("segments", "Segments", [strip(segments, now()), table(segments, now())],
        `${segments.filter((segment) => segment.state === "proved").length} of ${segments.length} proved`) : null,
      lanes.length ? this.#card("timeline", "Timeline", timeline(lanes, now(), { label: "What ran when" }),
        job.tries > 1 ? `try ${job.tries} of ${job.max_tries}` : "") : null,
      known && (job.checks?.length || ["verify", "aggregate", "store"].includes(job.stage) || job.problem?.check) ? this.#checks(job) : null,
      costs ? this.#card("costs", "Where the cells go", this.#explorer.show(costs), "padding included") : null,
      job.statement ? this.#statement(job) : null,
    ];
    return [
      back,
      h("header", { class: "head" },
        face(job),
        h("div", { class: "what" }, h("h1", { tabindex: -1 }, job.name || `Batch ${job.id.slice(0, 8)}`),
          h("p", null, badge(job.state), job.problem && settled(job) ? null : h("span", null, standing(job)), h("span", { class: "left" }, left(job)))),
        this.#actions(job)),
      this.#refused ? problem(this.#refused, { alert: true }) : null,
      job.problem && settled(job) ? problem(job.problem) : null,
      job.state === "running" || job.state === "done" ? track(job, true) : null,
      this.#facts(job),
      h("div", { class: "cards" }, cards),
      this.#files(job),
    ];
  }

  #card(name, title, content, aside = "") {
    return h("section", { key: name, class: "card", "aria-labelledby": `${name}-title` },
      h("div", { class: "row" }, h("h2", { id: `${name}-title` }, title), h("span", { class: "soft" }, aside)), content);
  }

  #actions(job) {
    const busy = Boolean(this.#busy);
    return h("div", { class: "actions" },
      job.state === "queued" || job.state === "running"
        ? button("close", "Cancel", { key: "cancel", disabled: busy, onclick: this.#act("cancel") }) : null,
      job.state === "failed" || job.state === "cancelled"
        ? button("again", "Try again", { key: "retry", disabled: busy, onclick: this.#act("retry") }) : null,
      job.state === "done" ? button("down", "Proof", { key: "proof", class: "primary", disabled: busy, onclick: () => this.#save(FILES[0]) }) : null);
  }

  #facts(job) {
    const source = job.source ? `${exact(job.source.from)} to ${exact(job.source.to)} of ${job.source.rpc}` : null;
    const took = job.started && job.finished ? (Date.parse(job.finished) - Date.parse(job.started)) / 1000 : null;
    return facts([
      ["blocks", exact(job.blocks)], ["transactions", exact(job.transactions)], ["gas", count(job.gas_used), exact(job.gas_used)],
      ["steps", count(job.steps), exact(job.steps)], ["cells", count(job.cells), exact(job.cells)],
      ["interactions", count(job.interactions), exact(job.interactions)], ["proof", bytes(job.proof_bytes)],
      ["took", took === null ? null : duration(took)], ["submitted", moment(job.created)],
      ["deadline", job.deadline ? moment(job.deadline) : null], ["priority", job.priority ? String(job.priority) : null],
      ["tries", job.tries > 1 ? `${job.tries} of ${job.max_tries}` : null], ["by", job.submitted_by === "local" ? null : job.submitted_by], ["blocks fetched", source],
    ]);
  }

  #checks(job) {
    const refusing = job.problem?.check ?? null;
    const passed = job.checks ?? [];
    const options = { refusing, reason: job.problem?.detail ?? "", working: job.state === "running" && job.stage === "verify" };
    return this.#card("checks", "What the verifier checks", checks(passed, options), `${passed.length} passed`);
  }

  #statement(job) {
    const told = Object.entries(job.statement).map(([name, value]) => {
      const text = capital(name.replaceAll("_", " "));
      return [text, typeof value === "string" && value.startsWith("0x") ? hash(value, text) : typeof value === "number" ? String(value) : value];
    });
    if (job.statement_digest) told.unshift(["Digest", hash(job.statement_digest, "digest")]);
    return this.#card("statement", "What the proof says", [
      h("p", { class: "soft" }, "Executing exactly these signed transactions in these blocks, from this state, gives exactly that."),
      facts(told, "said"),
    ]);
  }

  #save([path, name, ending]) {
    const file = (this.#job.name || this.#id.slice(0, 8)).replace(/\.(json|rlp)$/, "").replace(/[^\w.-]+/g, "-");
    return this.#do(name, () => download(`jobs/${this.#id}/${path}`, ending === "proof" ? `${file}.proof` : [`${file}-${name}`, ending].filter(Boolean).join(".")));
  }

  #files(job) {
    const there = FILES.filter(([, name]) => job.state === "done" || (name === "batch" && (job.batch_bytes ?? 0) > 0));
    if (!there.length) return null;
    return h("section", { class: "files", "aria-label": "Downloads" }, h("h2", null, "Take it with you"),
      h("div", { class: "row" }, there.map((file) => h("button", { key: file[1], type: "button", class: "quiet",
        disabled: Boolean(this.#busy), onclick: () => this.#save(file) }, icon("down"), capital(file[1]),
      file[1] === "proof" && job.proof_bytes ? h("small", null, ` ${bytes(job.proof_bytes)}`) : ""))));
  }
}
