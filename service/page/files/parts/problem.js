// Why something was refused: the reason, where it is, and what to do.

import { h } from "../dom.js";
import { capital, duration } from "../format.js";

const MEANING = {
  malformed: "It cannot be read", invalid_batch: "The batch breaks a rule of its fork",
  unsupported: "It is valid, and cannot be proved yet", too_large: "It is too large",
  node_unreachable: "The node does not answer", unauthorized: "An API key is needed",
  forbidden: "The API key does not allow this", not_found: "There is no such thing",
  conflict: "This is not possible now", rate_limited: "Too many requests", queue_full: "The queue is full",
  timeout: "The deadline has passed", proof_rejected: "The verifier refuses the proof",
  unavailable: "The service is away", internal: "An error of the service",
};

/** Places as they are told: block 3, transaction 12, pc 0x1f4. */
export function place(where) {
  const parts = [];
  const given = (value) => value !== null && value !== undefined;
  if (given(where?.block)) parts.push(["block", String(where.block)]);
  if (given(where?.transaction)) parts.push(["transaction", String(where.transaction)]);
  if (given(where?.pc)) parts.push(["pc", `0x${where.pc.toString(16)}`]);
  return parts;
}

/** A refusal; `alert` where it answers what somebody has just done. */
export function problem(it, { alert = false, level = "h2" } = {}) {
  const facts = [["code", it.code], ...place(it.place)];
  if (it.check) facts.push(["check", it.check]);
  return h("section", { key: "problem", class: "problem", role: alert ? "alert" : null },
    h(level, null, MEANING[it.code] ?? it.title),
    h("p", { class: "detail" }, capital(it.detail)),
    it.hint ? h("p", { class: "hint" }, capital(it.hint)) : null,
    it.retry_after ? h("p", { class: "hint" }, `Try again in ${duration(it.retry_after)}.`) : null,
    h("dl", { class: "chips" }, facts.map(([name, value]) =>
      h("div", { key: name }, h("dt", null, name), h("dd", null, value)))));
}
