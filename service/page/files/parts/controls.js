// Small controls that several views have.

import { copy } from "../api.js";
import { h, s, unseen } from "../dom.js";
import { ends } from "../format.js";

/** One of several, as a row of radio buttons. */
export function choice(legend, name, options, value, onchange) {
  return h("fieldset", { class: "choice" }, h("legend", { class: "hidden-visually" }, legend),
    options.map(([option, text, number]) => h("label", { key: option },
      h("input", { type: "radio", name, value: option, checked: option === value, onchange: () => onchange(option) }),
      h("span", null, text, number === undefined ? "" : h("small", null, ` ${number}`)))));
}

/** A hash that can be copied; only its ends are shown. */
export function hash(value, what) {
  const press = async (event) => {
    const button = event.currentTarget;
    button.dataset.copied = (await copy(value)) ? "copied" : "not copied";
    setTimeout(() => delete button.dataset.copied, 1500);
  };
  return h("button", { type: "button", class: "hash", title: value, onclick: press, "aria-label": `copy ${what} ${value}` },
    h("code", null, ends(value)), icon("copy"));
}

const ICONS = {
  copy: "M5.5 5.5v-3h8v8h-3m-8-5h8v8h-8z", down: "M8 2v8m-3-3 3 3 3-3M2.5 13.5h11", key: "M10.2 1.8a4 4 0 1 1-1.6 7.7l-1.4 1.4H5.4v1.8H3.6v1.8H1.5v-2.3l5.1-5.1a4 4 0 0 1 3.6-5.3zm1.1 2.9h.01",
  light: "M8 5a3 3 0 1 1 0 6 3 3 0 0 1 0-6zm0-4v1.5m0 11V15M1 8h1.5m11 0H15M3 3l1.1 1.1m7.8 7.8L13 13M3 13l1.1-1.1m7.8-7.8L13 3",
  dark: "M13.5 9.5A6 6 0 0 1 6.5 2.5a6 6 0 1 0 7 7z", auto: "M8 2a6 6 0 1 1 0 12zm0 0a6 6 0 1 0 0 12", close: "m4 4 8 8m0-8-8 8",
  plus: "M8 3v10M3 8h10", again: "M13 8a5 5 0 1 1-1.5-3.6M13 2v3h-3", up: "M8 11V2.5m-3 3 3-3 3 3M2.5 13.5h11",
};

export const icon = (name) =>
  s("svg", { class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true" }, s("path", { d: ICONS[name] }));

/** A button with a sign and a word. */
export const button = (name, text, properties) => h("button", { type: "button", ...properties }, icon(name), text);

/** Names with values; values that are null are left out. */
export const facts = (entries, kind = "facts") =>
  h("dl", { class: kind }, entries.filter(([, value]) => value !== null && value !== undefined && value !== "–").map(([name, value, title]) =>
    h("div", { key: name }, h("dt", null, name), h("dd", { title }, value))));

export const waiting = (text) => h("p", { class: "waiting", key: "waiting" }, h("span", { class: "pulse", "aria-hidden": "true" }), text);

/** A place that takes a file, by dropping, by pressing and by the keyboard. */
export function drop(id, title, text, onfile) {
  const over = (event) => {
    event.preventDefault();
    event.currentTarget.classList.add("over");
  };
  const out = (event) => event.currentTarget.classList.remove("over");
  return h("label", { key: id, class: "drop", for: id, ondragover: over, ondragleave: out, ondrop: out },
    icon("up"), h("strong", null, title), h("span", { class: "what" }, text),
    h("input", { id, type: "file", class: "hidden-visually", onchange: (event) => {
      const [file] = event.target.files;
      event.target.value = "";
      if (file) onfile(file);
    } }), unseen("Choose a file."));
}
