// What the page knows of the service: loaded once, then kept up by events.

import { json, Refusal } from "./api.js";
import { Live } from "./live.js";

const SETTLED = new Set(["done", "failed", "cancelled", "abandoned"]);
export const settled = (job) => SETTLED.has(job.state);

/** Sends "change" when there is something new to show, and "state" (detail: the job) when a job's state is another. */
export class Store extends EventTarget {
  jobs = new Map();
  /** Jobs whose segments and checks are known. */
  detailed = new Set();
  costs = new Map();
  list = { ids: [], next: null, total: 0, query: null, loading: false, problem: null };
  overview = null;
  status = "connecting";
  #again = new Map();
  /** How many events of segments and checks each job has had. */
  #heard = new Map();
  #live = new Live((event) => this.#event(event), (status) => this.#status(status));
  #reload = 0;

  start() {
    this.#live.start();
    setInterval(() => document.hidden || this.loadOverview(), 5000);
    document.addEventListener("visibilitychange", () => document.hidden || this.refresh());
  }

  /** Everything anew, by a new key. */
  restart() {
    this.#live.start();
  }

  /** Load anew what is shown. */
  refresh() {
    void this.loadOverview();
    if (this.list.query) void this.loadList(this.list.query);
    for (const id of this.detailed) void this.loadJob(id);
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }

  #status(status) {
    this.status = status;
    // Whatever happened before the stream was there is in the answers to these.
    if (status === "live") this.refresh();
    this.#changed();
  }

  async loadOverview() {
    try {
      this.overview = await json("overview");
      this.#changed();
    } catch {
      // The stream's status shows that the service is away.
    }
  }

  /** The first part of a list, as long as the one that is shown. */
  async loadList(query) {
    const same = JSON.stringify(query) === JSON.stringify(this.list.query);
    const limit = same ? Math.min(200, Math.max(20, this.list.ids.length)) : 20;
    if (!same) this.list = { ids: [], next: null, total: 0, query, loading: true, problem: null };
    this.#changed();
    await this.#part(query, { limit }, []);
  }

  async more() {
    const { query, next, ids } = this.list;
    if (next) await this.#part(query, { limit: 20, cursor: next }, ids);
  }

  async #part(query, place, before) {
    try {
      const page = await json("jobs", { query: { ...query, ...place } });
      if (this.list.query !== query && JSON.stringify(this.list.query) !== JSON.stringify(query)) return;
      for (const job of page.items) this.#merge(job);
      const ids = [...new Set([...before, ...page.items.map((job) => job.id)])];
      this.list = { ids, next: page.next, total: page.total, query, loading: false, problem: null };
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.list = { ...this.list, loading: false, problem: error.problem };
    }
    this.#changed();
  }

  /** A job with its segments and checks; raises `Refusal`. */
  async loadJob(id) {
    const heard = this.#heard.get(id);
    try {
      const job = await json(`jobs/${id}`);
      this.detailed.add(id);
      this.#merge(job);
      // What happened while the answer was on its way may not be in it.
      if (this.#heard.get(id) !== heard) this.#detail(id);
    } finally {
      this.#changed();
    }
  }

  /** Forget that the details of other jobs are wanted. */
  watch(...ids) {
    this.detailed = new Set([...this.detailed].filter((id) => ids.includes(id)));
  }

  async loadCosts(id) {
    try {
      this.costs.set(id, await json(`jobs/${id}/costs`));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.costs.set(id, null);
    }
    this.#changed();
  }

  /** A job as an answer gives it. */
  take(job) {
    this.#merge(job);
    this.#soon();
    this.#changed();
  }

  #merge(job) {
    const before = this.jobs.get(job.id);
    this.jobs.set(job.id, { ...before, ...job });
    if (before && job.state && before.state !== job.state) this.#turned(this.jobs.get(job.id));
  }

  #turned(job) {
    this.costs.delete(job.id);
    this.dispatchEvent(new CustomEvent("state", { detail: job }));
  }

  /** Load the list and the details of a job once more when events have come to rest. */
  #soon(id = null) {
    clearTimeout(this.#reload);
    this.#reload = setTimeout(() => {
      if (this.list.query) void this.loadList(this.list.query);
      void this.loadOverview();
    }, 300);
    this.#detail(id);
  }

  /** Load the segments and checks of a job once more, if they are wanted. */
  #detail(id) {
    if (!this.detailed.has(id)) return;
    clearTimeout(this.#again.get(id));
    this.#again.set(id, setTimeout(() => this.loadJob(id).catch(() => {}), 150));
  }

  #event({ job: id, kind, data }) {
    const job = this.jobs.get(id);
    if (!job || kind === "state") this.#soon(id);
    else if (kind === "stage") this.#detail(id);
    if (kind === "segment" || kind === "check") this.#heard.set(id, (this.#heard.get(id) ?? 0) + 1);
    if (!job) return;
    if (kind === "segment") {
      const segments = [...(job.segments ?? [])];
      const at = segments.findIndex((segment) => segment.index === data.index);
      if (at < 0) segments.push(data);
      else segments[at] = { ...segments[at], ...data };
      // Segments of which not all is known are of no use.
      if (this.detailed.has(id)) job.segments = segments.filter((segment) => segment.cells !== undefined);
    } else if (kind === "check") {
      const checks = (job.checks ?? []).filter((check) => check.name !== data.name);
      if (this.detailed.has(id)) job.checks = [...checks, data];
    } else {
      this.#merge({ ...data, id });
    }
    this.#changed();
  }
}
