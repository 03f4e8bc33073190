// Where the cells and the interactions go: by table, by instruction, by transaction.

import { h, unseen } from "../dom.js";
import { count, exact } from "../format.js";
import { choice, hash } from "./controls.js";
import { weight } from "./segments.js";
import { squarify } from "./treemap.js";

const MEASURES = {
  together: { text: "together", of: weight },
  cells: { text: "cells", of: (it) => it.cells },
  interactions: { text: "interactions", of: (it) => it.interactions },
};
const FEW = 12;
// Proportions of the map, as in the style sheet.
const WIDE = 2.4;

/** An explorer of costs; it keeps what has been chosen. */
export class Explorer {
  #by = "tables";
  #measure = "together";
  #all = false;
  #pointed = null;
  #refresh;
  #name;

  constructor(name, refresh) {
    this.#name = name;
    this.#refresh = refresh;
  }

  #choose(field) {
    return (value) => {
      if (field === "by") [this.#by, this.#all, this.#pointed] = [value, false, null];
      else this.#measure = value;
      this.#refresh();
    };
  }

  show(costs) {
    const kinds = [["tables", "tables", costs.tables.length], ["instructions", "instructions", costs.instructions.length],
      ["transactions", "transactions", costs.transactions.length]].filter(([, , number]) => number);
    if (!kinds.length) return h("p", { class: "soft" }, "Nothing has been executed, so nothing costs anything.");
    if (!kinds.some(([name]) => name === this.#by)) this.#by = kinds[0][0];
    const transactions = this.#by === "transactions";
    return h("div", { class: "explorer" },
      h("div", { class: "row" },
        choice("Costs by", `${this.#name}-by`, kinds, this.#by, this.#choose("by")),
        transactions ? null : choice("Measured in", `${this.#name}-measure`,
          Object.entries(MEASURES).map(([name, { text }]) => [name, text]), this.#measure, this.#choose("measure"))),
      transactions ? this.#transactions(costs.transactions) : this.#entries(costs[this.#by]));
  }

  #entries(entries) {
    const { of } = MEASURES[this.#measure];
    const sorted = entries.filter((entry) => of(entry) > 0).sort((a, b) => of(b) - of(a));
    if (!sorted.length) return h("p", { class: "soft" }, "Nothing.");
    const total = sorted.reduce((sum, entry) => sum + of(entry), 0);
    const largest = of(sorted[0]);
    const unit = this.#by === "tables" ? "rows" : "steps";
    const pointed = sorted.find((entry) => entry.name === this.#pointed) ?? sorted[0];
    const point = (entry) => () => {
      if (this.#pointed === entry.name) return;
      this.#pointed = entry.name;
      this.#refresh();
    };
    const shown = this.#all ? sorted : sorted.slice(0, FEW);
    return [
      this.#map(sorted, of, pointed, point),
      h("div", { class: "row", "aria-hidden": "true" }, h("p", { class: "pointed" }, h("strong", null, pointed.name),
        ` ${((100 * of(pointed)) / total).toFixed(1)} % · ${count(pointed.cells)} cells · ${count(pointed.interactions)} interactions · ${count(pointed.rows)} ${unit}`),
        h("div", { class: "legend" }, this.#by === "tables" ? [h("span", { class: "steps" }, "instructions"), h("span", { class: "other" }, "other tables")] : null,
          h("span", { class: "share" }, "share of interactions"))),
      h("table", { class: "figures bars" },
        h("caption", { class: "hidden-visually" }, `Costs by ${this.#by}, the most expensive first, padding included`),
        h("thead", null, h("tr", null, h("th", { scope: "col" }, this.#by === "tables" ? "table" : "instruction"),
          h("th", { scope: "col", class: "wide" }, h("span", { class: "legend" },
            h("span", { class: "cells" }, "cells"), h("span", { class: "interactions" }, "interactions, as 6.5 cells each"))),
          h("th", { scope: "col", class: "number" }, "share"),
          h("th", { scope: "col", class: "number extra" }, "cells"),
          h("th", { scope: "col", class: "number extra" }, "interactions"),
          h("th", { scope: "col", class: "number extra" }, unit),
          h("th", { scope: "col", class: "number extra" }, "cells each"))),
        h("tbody", null, shown.map((entry) => h("tr", {
          key: entry.name, class: entry.name === pointed.name ? "pointed" : null, onpointerenter: point(entry) },
          h("th", { scope: "row" }, entry.name),
          h("td", { class: "wide" }, this.#bar(entry, of, largest)),
          h("td", { class: "number" }, `${((100 * of(entry)) / total).toFixed(1)} %`),
          h("td", { class: "number extra", title: exact(entry.cells) }, count(entry.cells)),
          h("td", { class: "number extra", title: exact(entry.interactions) }, count(entry.interactions)),
          h("td", { class: "number extra" }, count(entry.rows)),
          h("td", { class: "number extra" }, entry.rows ? count(entry.cells / entry.rows) : "–"))))),
      this.#more(sorted.length),
    ];
  }

  #bar(entry, of, largest) {
    const parts = { together: [entry.cells, 6.5 * entry.interactions], cells: [entry.cells, 0], interactions: [0, entry.interactions] };
    const [cells, interactions] = parts[this.#measure].map((part) => `${(100 * part) / largest}%`);
    return h("span", { class: "stack", "aria-hidden": "true" },
      h("span", { class: "cells", style: { width: cells } }), h("span", { class: "interactions", style: { width: interactions } }));
  }

  #map(entries, of, pointed, point) {
    const places = squarify(entries.map(of), 100 * WIDE, 100);
    return h("div", { class: "map", "aria-hidden": "true" }, entries.map((entry, i) => {
      const { x, y, width, height } = places[i];
      const kind = this.#by === "instructions" || entry.is_instruction ? "steps" : "other";
      return h("span", {
        key: entry.name, class: `tile ${kind}${entry.name === pointed.name ? " pointed" : ""}`,
        onpointerenter: point(entry), onclick: point(entry),
        style: { left: `${x / WIDE}%`, top: `${y}%`, width: `${width / WIDE}%`, height: `${height}%`,
          "--deep": `${Math.round((650 * entry.interactions) / weight(entry))}%`, "--rank": `${Math.round((60 * i) / entries.length)}%` },
      }, width / WIDE > 7 && height > 9 ? h("span", null, entry.name) : null);
    }));
  }

  #transactions(transactions) {
    const sorted = [...transactions].sort((a, b) => b.steps - a.steps || b.gas_used - a.gas_used);
    const largest = Math.max(1, sorted[0].steps);
    const shown = this.#all ? sorted.slice(0, 500) : sorted.slice(0, FEW);
    return [
      h("table", { class: "figures bars" },
        h("caption", { class: "hidden-visually" }, "Transactions, those with most steps first"),
        h("thead", null, h("tr", null, h("th", { scope: "col" }, "block, transaction"), h("th", { scope: "col", class: "wide" }, unseen("bar")),
          h("th", { scope: "col", class: "number" }, "steps"), h("th", { scope: "col", class: "number" }, "gas"),
          h("th", { scope: "col", class: "number extra" }, "gas a step"), h("th", { scope: "col", class: "extra" }, "hash"))),
        h("tbody", null, shown.map((it) => h("tr", { key: `${it.block}:${it.transaction}` },
          h("th", { scope: "row" }, `${it.block}, ${it.transaction}`),
          h("td", { class: "wide" }, h("span", { class: "stack", "aria-hidden": "true" },
            h("span", { class: "cells", style: { width: `${(100 * it.steps) / largest}%` } }))),
          h("td", { class: "number" }, exact(it.steps)), h("td", { class: "number" }, exact(it.gas_used)),
          h("td", { class: "number extra" }, it.steps ? count(it.gas_used / it.steps) : "–"),
          h("td", { class: "extra" }, it.hash ? hash(it.hash, "transaction hash") : ""))))),
      this.#more(sorted.length),
    ];
  }

  #more(total) {
    if (total <= FEW) return null;
    const press = () => {
      this.#all = !this.#all;
      this.#refresh();
    };
    return h("button", { type: "button", class: "quiet", "aria-expanded": String(this.#all), onclick: press },
      this.#all ? `Only the ${FEW} largest` : `All ${total}`);
  }
}
