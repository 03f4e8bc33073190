// What happens, as it happens: server-sent events read by `fetch`, which can send the key as a header.

import { address, headers } from "./api.js";

const QUIET = 45_000; // The service says something every 15 s.
const LONGEST = 15_000;

/**
 * A stream that stays open: after a break it goes on from the last event it has seen.
 *
 * `onEvent` gets each event's document; `onStatus` one of "live", "connecting", "lost", "key".
 */
export class Live {
  #last = "";
  #abort = null;
  #onEvent;
  #onStatus;
  #failures = 0;

  constructor(onEvent, onStatus) {
    this.#onEvent = onEvent;
    this.#onStatus = onStatus;
  }

  /** Begin, or begin anew with another key. */
  start() {
    this.stop();
    this.#abort = new AbortController();
    this.#failures = 0;
    void this.#run(this.#abort.signal);
  }

  stop() {
    this.#abort?.abort();
    this.#abort = null;
  }

  async #run(signal) {
    while (!signal.aborted) {
      this.#onStatus(this.#failures > 1 ? "lost" : "connecting");
      let status = 0;
      try {
        status = await this.#read(signal);
      } catch {
        // Broken, quiet or refused: the same cure.
      }
      if (signal.aborted) return;
      if (status === 401 || status === 403) return this.#onStatus("key");
      const wait = Math.min(LONGEST, 500 * 2 ** this.#failures++) * (0.5 + Math.random());
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }

  async #read(signal) {
    const quiet = new AbortController();
    const either = AbortSignal.any([signal, quiet.signal]);
    const sent = { ...headers(), Accept: "text/event-stream" };
    if (this.#last) sent["Last-Event-ID"] = this.#last;
    let timer = setTimeout(() => quiet.abort(), QUIET);
    try {
      const response = await fetch(address("events"), { headers: sent, signal: either, cache: "no-store" });
      if (!response.ok) return response.status;
      this.#failures = 0;
      this.#onStatus("live");
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return 0;
        clearTimeout(timer);
        timer = setTimeout(() => quiet.abort(), QUIET);
        const blocks = (rest + value).replaceAll("\r\n", "\n").split("\n\n");
        rest = blocks.pop();
        for (const block of blocks) this.#take(block);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  #take(block) {
    const data = [];
    for (const line of block.split("\n")) {
      if (line.startsWith("id:")) this.#last = line.slice(3).trim();
      else if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
    }
    if (!data.length) return;
    try {
      this.#onEvent(JSON.parse(data.join("\n")));
    } catch (error) {
      console.error("an event that cannot be read", error);
    }
  }
}
