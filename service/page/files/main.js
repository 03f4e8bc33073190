// The page: what is shown by the address, and what stands around it.

import { key } from "./api.js";
import { h, render } from "./dom.js";
import { button, icon } from "./parts/controls.js";
import { standing } from "./parts/state.js";
import { Store } from "./store.js";
import { Batches } from "./views/batches.js";
import { Job } from "./views/job.js";
import { New } from "./views/new.js";
import { Service } from "./views/service.js";
import { Verify } from "./views/verify.js";

const MAGIC = "ZKEVM"; // How a proof file starts.
const THEMES = ["auto", "light", "dark"];
const STATUS = { live: "live", connecting: "connecting", lost: "no connection", key: "key wanted" };
const OFTEN = 200; // Milliseconds between two drawings for news.

const shell = document.getElementById("shell");
const announcements = document.getElementById("announcements");

class App {
  store = new Store();
  /** The list as it was seen last. */
  listed = "#/";
  #views = { "": new Batches(this), jobs: new Job(this), new: new New(this), verify: new Verify(this), service: new Service(this) };
  #view = this.#views[""];
  #name = "";
  #theme = localStorage.getItem("zkevm-theme") ?? "auto";
  #drawn = 0;
  #planned = 0;
  #said = [];
  #saying = 0;
  #askKey = false;

  start() {
    this.#paint();
    addEventListener("hashchange", () => this.#route());
    addEventListener("key-wanted", () => this.#wantKey());
    this.store.addEventListener("change", () => this.#later());
    this.store.addEventListener("state", ({ detail: job }) => this.announce(`${job.name || "Batch"}: ${standing(job)}`));
    // Anywhere on the page a file may be dropped.
    addEventListener("dragover", (event) => event.preventDefault());
    addEventListener("drop", (event) => {
      event.preventDefault();
      const [file] = event.dataTransfer?.files ?? [];
      if (file) void this.file(file);
    });
    // What is under way grows between two pieces of news.
    setInterval(() => document.hidden || this.#later(), 1000);
    document.querySelector(".skip").onclick = (event) => {
      event.preventDefault();
      document.querySelector("h1")?.focus();
    };
    this.#route(true);
    this.store.start();
  }

  refresh = () => {
    this.#drawn = performance.now();
    clearTimeout(this.#planned);
    this.#planned = 0;
    this.#draw();
  };

  #later() {
    if (this.#planned) return;
    const wait = Math.max(0, OFTEN - (performance.now() - this.#drawn));
    this.#planned = setTimeout(this.refresh, wait);
  }

  /** Show another address; `quietly` for one that is the same view with other filters. */
  go(hash, { quietly = false } = {}) {
    if (!quietly) return void (location.hash = hash);
    history.replaceState(null, "", hash);
    this.#route(true);
  }

  /** A proof goes to the verifier, all else is a batch. */
  async file(file) {
    const start = new TextDecoder("latin1").decode(await file.slice(0, MAGIC.length).arrayBuffer());
    const name = start === MAGIC || this.#view === this.#views.verify ? "verify" : "new";
    void this.#views[name].take(file);
    this.go(`#/${name}`);
  }

  /** Say something to who listens; news that come quickly are said together, and not more than a few. */
  announce(text) {
    this.#said.push(text);
    if (this.#saying) return;
    this.#saying = setTimeout(() => {
      const said = [...new Set(this.#said)];
      const rest = said.length - 3;
      announcements.textContent = [...said.slice(-3), rest > 0 ? `and ${rest} more` : ""].filter(Boolean).join(". ");
      [this.#said, this.#saying] = [[], 0];
    }, 1500);
  }

  #route(quietly = false) {
    const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
    const [name, ...rest] = path.split("/").map(decodeURIComponent);
    const view = this.#views[name] ?? this.#views[""];
    if (view !== this.#view) this.#view.leave?.();
    [this.#view, this.#name] = [view, name];
    if (view === this.#views[""]) this.listed = location.hash || "#/";
    void view.enter(rest, new URLSearchParams(query));
    this.refresh();
    if (quietly) return;
    scrollTo(0, 0);
    document.querySelector("h1")?.focus({ preventScroll: true });
  }

  #wantKey() {
    this.#askKey = true;
    this.refresh();
  }

  #paint() {
    if (this.#theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = this.#theme;
  }

  #turnTheme() {
    this.#theme = THEMES[(THEMES.indexOf(this.#theme) + 1) % THEMES.length];
    localStorage.setItem("zkevm-theme", this.#theme);
    this.#paint();
    this.refresh();
  }

  #draw() {
    document.title = `${this.#view.title} · zkevm`;
    const { status, overview } = this.store;
    const link = (name, text) => h("a", { href: `#/${name}`, "aria-current": name === this.#name ? "page" : null }, text);
    render(shell,
      h("header", { class: "top" },
        h("a", { class: "mark", href: "#/", "aria-label": "zkevm, all batches" }, h("img", { src: "icon.svg", alt: "", width: 22, height: 22 }), "zkevm"),
        h("nav", { "aria-label": "Main" }, link("", "Batches"), link("verify", "Verify"), link("service", "Service")),
        h("span", { class: `status ${status}`, title: overview ? `version ${overview.version}` : null }, STATUS[status]),
        button(this.#theme, "", { class: "plain", "aria-label": `Colours: ${this.#theme}`, title: `Colours: ${this.#theme}`, onclick: () => this.#turnTheme() }),
        button("key", "", { class: "plain", "aria-label": "API key", title: "API key", "aria-expanded": String(this.#askKey),
          onclick: () => { this.#askKey = !this.#askKey; this.refresh(); } }),
        h("a", { class: "primary button", href: "#/new" }, icon("plus"), "Prove")),
      this.#askKey ? this.#keyForm() : null,
      h("main", { id: "main", key: `view-${this.#name}` }, this.#view.show()));
  }

  #keyForm() {
    const save = (event) => {
      event.preventDefault();
      key.set(new FormData(event.target).get("key").trim());
      this.#askKey = false;
      this.store.restart();
      this.#route(true);
      this.announce(key.get() ? "The key is kept until this tab is closed." : "The key is forgotten.");
    };
    return h("form", { key: "key", class: "key", "aria-label": "Access", onsubmit: save },
      h("label", { class: "field" }, h("span", null, "API key"),
        h("input", { name: "key", type: "password", autocomplete: "off", value: key.get(), "aria-describedby": "key-hint",
          ref: (node) => queueMicrotask(() => node.focus()) })),
      h("button", { type: "submit", class: "primary" }, "Use it"),
      h("small", { id: "key-hint" }, "Kept in this tab until it is closed. Make one with ", h("code", null, "zkevm keys add"), "."));
  }
}

new App().start();
