// The service's API. The key stays in the session storage of this tab and goes nowhere but to the service.

const BASE = new URL("v1/", document.baseURI);
const KEY = "zkevm-key";

/** What the service answers where it does not do what it was asked for: `problem` is its document. */
export class Refusal extends Error {
  constructor(problem) {
    super(problem.detail || problem.title);
    this.problem = problem;
  }
}

export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

/** Milliseconds by which the service's clock is ahead of this one. */
export let ahead = 0;
export const now = () => Date.now() + ahead;

export const address = (path, query = {}) => {
  const url = new URL(path, BASE);
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== "") url.searchParams.append(name, value);
  }
  return url;
};

export const headers = () => (key.get() ? { Authorization: `Bearer ${key.get()}` } : {});

const unreachable = () =>
  new Refusal({
    title: "No answer", status: 0, code: "unavailable",
    detail: "the service does not answer", hint: "It may be restarting. What was submitted is not lost.",
  });

/** Ask for something; raises `Refusal`. */
export async function ask(path, { query, method = "GET", body, type, extra = {}, seconds = 30 } = {}) {
  const sent = { ...headers(), ...extra };
  if (type) sent["Content-Type"] = type;
  let response;
  try {
    const signal = AbortSignal.timeout(seconds * 1000);
    response = await fetch(address(path, query), { method, body, headers: sent, signal, cache: "no-store" });
  } catch {
    throw unreachable();
  }
  const date = Date.parse(response.headers.get("Date") ?? "");
  // The header has whole seconds: small differences say nothing.
  if (Number.isFinite(date)) ahead = Math.abs(date - Date.now()) > 2000 ? date - Date.now() : 0;
  if (response.ok) return response;
  let problem = null;
  try {
    problem = await response.json();
  } catch {
    // No document: what stands in front of the service has answered.
  }
  if (response.status === 401) window.dispatchEvent(new Event("key-wanted"));
  throw new Refusal({
    title: response.statusText || `Status ${response.status}`, status: response.status, code: "internal", hint: "",
    detail: `the service answers with status ${response.status}`, ...problem,
  });
}

export const json = async (path, options) => {
  const response = await ask(path, options);
  try {
    return await response.json();
  } catch {
    throw unreachable();
  }
};

/** 128 bits by which the service knows a request that is sent again. */
export const fresh = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** Save an answer as a file. */
export async function download(path, name) {
  const response = await ask(path, { seconds: 600 });
  const url = URL.createObjectURL(await response.blob());
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** Text into the clipboard; false where the browser does not allow it. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
