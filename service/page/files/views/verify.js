// Anybody's proof, judged check by check.

import { json, Refusal } from "../api.js";
import { h } from "../dom.js";
import { bytes, capital, duration } from "../format.js";
import { CHECKS, checks } from "../parts/checks.js";
import { choice, drop, facts, hash, waiting } from "../parts/controls.js";
import { problem } from "../parts/problem.js";
import { fingerprint, sign } from "../parts/state.js";

const calm = matchMedia("(prefers-reduced-motion: reduce)");
const AGAIN = 110; // Milliseconds between two checks that are shown.

export class Verify {
  title = "Verify a proof";
  #app;
  #file = null;
  #engine = "native";
  #verdict = null;
  #shown = 0;
  #problem = null;
  #busy = false;

  constructor(app) {
    this.#app = app;
  }

  enter() {}

  async take(file) {
    [this.#file, this.#verdict, this.#problem, this.#busy, this.#shown] = [file, null, null, true, 0];
    this.#app.refresh();
    try {
      const verdict = await json("verify", {
        method: "POST", query: { engine: this.#engine }, body: file, type: "application/octet-stream", seconds: 900,
      });
      if (this.#file !== file) return;
      this.#verdict = verdict;
      if (calm.matches) this.#shown = CHECKS.length;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.#problem = error.problem;
    }
    this.#busy = false;
    this.#app.refresh();
    void this.#reveal(this.#verdict);
  }

  /** Show the checks in the order they were made. */
  async #reveal(verdict) {
    while (verdict && verdict === this.#verdict && this.#shown < verdict.checks.length) {
      await new Promise((resolve) => setTimeout(resolve, AGAIN));
      this.#shown++;
      this.#app.refresh();
    }
    if (verdict && verdict === this.#verdict) {
      this.#app.announce(verdict.accepted ? "The proof is accepted." : `The proof is refused: ${verdict.problem?.detail ?? ""}`);
    }
  }

  show() {
    return [
      h("h1", { tabindex: -1 }, "Verify a proof"),
      h("p", { class: "soft lead" }, "Whoever made it: the verifier believes nothing but the keys that it was installed with. "
        + "Here it runs on the service; to trust nobody, run ", h("code", null, "zkevm verify"), " on your own machine."),
      h("div", { class: "row" }, choice("Engine", "engine", [["native", "native"], ["python", "Python only, slower"]], this.#engine, (engine) => {
        this.#engine = engine;
        this.#app.refresh();
      })),
      drop("proof-file", "A proof file", "Drop it here, or choose one", (file) => this.take(file)),
      this.#file ? this.#result() : null,
    ];
  }

  #result() {
    const verdict = this.#verdict;
    const whole = verdict && this.#shown >= verdict.checks.length;
    const refusing = whole ? verdict.problem?.check ?? null : null;
    return h("section", { class: "card verdict", "aria-label": "Verdict" },
      h("div", { class: "row" }, h("h2", null, this.#file.name), h("span", { class: "soft" }, bytes(this.#file.size))),
      this.#busy ? waiting("Verifying") : null,
      this.#problem ? problem(this.#problem, { alert: true, level: "h3" }) : null,
      whole ? h("p", { class: `judgement ${verdict.accepted ? "done" : "failed"}` }, sign(verdict.accepted ? "done" : "failed"),
        h("strong", null, verdict.accepted ? "Accepted" : "Refused"),
        h("span", null, verdict.accepted ? `in ${duration(verdict.seconds)}, ${verdict.security_bits === null ? "nothing to prove" : `${Math.floor(verdict.security_bits)} bits of proven security`}` : ""),
        verdict.accepted && verdict.statement_digest ? fingerprint(verdict.statement_digest) : null) : null,
      whole && !verdict.accepted && verdict.problem && !refusing ? problem(verdict.problem, { level: "h3" }) : null,
      verdict && (verdict.accepted || verdict.checks.length || refusing)
        ? checks(verdict.checks.slice(0, this.#shown), { refusing, reason: verdict.problem?.detail ?? "", working: !whole }) : null,
      whole && verdict.accepted && verdict.statement ? facts([
        ["Digest", verdict.statement_digest ? hash(verdict.statement_digest, "digest") : null],
        ...Object.entries(verdict.statement).map(([name, value]) => [capital(name.replaceAll("_", " ")),
          String(value).startsWith("0x") ? hash(value, name.replaceAll("_", " ")) : String(value)]),
      ], "said") : null);
  }
}
