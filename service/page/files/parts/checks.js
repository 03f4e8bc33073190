// The verifier's checks, one by one.

import { h, unseen } from "../dom.js";
import { capital, duration } from "../format.js";
import { blank, sign } from "./state.js";

/** Every check of the verifier, in its order; what each establishes comes with its result. */
export const CHECKS = [
  "format", "headers", "transactions", "withdrawals", "receipts", "requests", "statement", "witness",
  "segments", "proofs", "leaves", "pre-state", "writes", "codes", "state roots", "commitments",
];

/**
 * A list of the checks: those that passed, the one that goes on, the one that refused, those still to come.
 *
 * @param passed checks with name, establishes and seconds.
 * @param refusing the name of the check that refused, with the reason.
 * @param working whether the next check goes on.
 */
export function checks(passed, { refusing = null, reason = "", working = false } = {}) {
  const results = new Map(passed.map((check) => [check.name, check]));
  const next = working ? CHECKS.find((name) => !results.has(name)) : null;
  const names = [...CHECKS, ...passed.map((check) => check.name).filter((name) => !CHECKS.includes(name))];
  const over = refusing ? names.indexOf(refusing) : names.length;
  return h("ol", { class: "checks" }, names.map((name, i) => {
    const result = results.get(name);
    const state = result ? "done" : name === refusing ? "failed" : name === next ? "running" : "queued";
    const said = { done: "passed", failed: "refused", running: "under way", queued: i > over ? "not reached" : "to come" };
    return h("li", { key: name, class: state },
      state === "queued" ? blank() : sign(state), h("strong", null, name), unseen(`: ${said[state]}. `),
      h("span", { class: "what" }, state === "failed" ? capital(reason) : result?.establishes ?? ""),
      h("span", { class: "number" }, result ? duration(result.seconds) : ""));
  }));
}
