// Draws /openapi.json: every request with its parameters, bodies and answers, and a form to send it.

const main = document.getElementById("main");

/** An element with attributes and children; text is never taken for markup. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== undefined));
  return element;
}

/** The type of a schema in a few words; models are links. */
function typeOf(schema = {}) {
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    return make("a", { href: `#model-${name}` }, name);
  }
  const choices = schema.anyOf || schema.oneOf || schema.allOf;
  if (choices) {
    const parts = choices.flatMap((choice, index) => (index ? [" or ", typeOf(choice)] : [typeOf(choice)]));
    return make("span", {}, ...parts);
  }
  if (schema.enum) return make("span", {}, schema.enum.map((value) => JSON.stringify(value)).join(", "));
  if (schema.const !== undefined) return make("span", {}, JSON.stringify(schema.const));
  if (schema.type === "array") return make("span", {}, "list of ", schema.items ? typeOf(schema.items) : "anything");
  const bounds = [];
  for (const [key, sign] of [["minimum", "≥"], ["maximum", "≤"], ["exclusiveMaximum", "<"], ["maxLength", "length ≤"]]) {
    if (schema[key] !== undefined) bounds.push(`${sign} ${schema[key]}`);
  }
  const type = [schema.type || "anything", schema.format, schema.pattern && `/${schema.pattern}/`, ...bounds];
  return make("span", {}, type.filter(Boolean).join(" "));
}

function row(name, schema, required, text) {
  const fallback = schema.default === undefined ? "" : ` (${JSON.stringify(schema.default)} if left out)`;
  return make(
    "tr",
    {},
    make("td", {}, make("code", {}, name), required ? " *" : ""),
    make("td", {}, typeOf(schema)),
    make("td", {}, (text || schema.description || "") + fallback),
  );
}

function table(head, rows) {
  const cells = head.map((text) => make("th", { scope: "col" }, text));
  return make("table", {}, make("thead", {}, make("tr", {}, ...cells)), make("tbody", {}, ...rows));
}

/** The form that sends a request, and shows what comes back. */
function form(path, method, operation) {
  const fields = (operation.parameters || []).map((parameter) => ({
    parameter,
    input: make("input", { "aria-label": parameter.name, placeholder: parameter.name }),
  }));
  const types = Object.keys(operation.requestBody?.content || {});
  const body = types.includes("application/json") ? make("textarea", { "aria-label": "Body as JSON" }) : undefined;
  const file = types.includes("application/octet-stream")
    ? make("input", { type: "file", "aria-label": "Body as a file" })
    : undefined;
  const result = make("pre", { role: "status", hidden: "" });
  const send = async () => {
    let address = path;
    const query = new URLSearchParams();
    const headers = {};
    for (const { parameter, input } of fields) {
      if (parameter.in === "path") address = address.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
      else if (input.value && parameter.in === "query") query.append(parameter.name, input.value);
      else if (input.value && parameter.in === "header") headers[parameter.name] = input.value;
    }
    const key = document.getElementById("key").value;
    if (key) headers.Authorization = `Bearer ${key}`;
    let content;
    if (file?.files.length) [content, headers["Content-Type"]] = [file.files[0], "application/octet-stream"];
    else if (body?.value) [content, headers["Content-Type"]] = [body.value, "application/json"];
    result.hidden = false;
    result.textContent = "…";
    try {
      const answer = await fetch(query.size ? `${address}?${query}` : address, { method, headers, body: content });
      result.textContent = `${answer.status} ${answer.statusText}\n${await shown(answer)}`;
    } catch (error) {
      result.textContent = String(error);
    }
  };
  const inputs = [...fields.map(({ input }) => input), file, body].filter(Boolean);
  return make("div", {}, make("h4", {}, "Try it"), ...inputs, make("button", { type: "button", onclick: send }, "Send"), result);
}

async function shown(answer) {
  const type = answer.headers.get("content-type") || "";
  if (type.includes("event-stream")) {
    const reader = answer.body.getReader();
    const { value } = await reader.read();
    await reader.cancel();
    return `${new TextDecoder().decode(value)}… and so on`;
  }
  if (type.includes("octet-stream")) return `${(await answer.blob()).size} bytes`;
  const text = await answer.text();
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text.slice(0, 20000);
  }
}

function request(path, method, operation) {
  const parameters = operation.parameters || [];
  const parts = [make("p", {}, operation.description || "")];
  if (parameters.length) {
    parts.push(
      make("h4", {}, "Parameters"),
      table(["name", "type", "meaning"], parameters.map((p) => row(`${p.name} (${p.in})`, p.schema, p.required, p.description))),
    );
  }
  const bodies = Object.entries(operation.requestBody?.content || {});
  if (bodies.length) {
    const rows = bodies.map(([type, { schema }]) => row(type, schema, false));
    parts.push(make("h4", {}, "Body"), table(["type", "content", "meaning"], rows));
  }
  const answers = Object.entries(operation.responses).map(([status, { description, content = {} }]) => {
    const [type, media] = Object.entries(content)[0] || ["", {}];
    const what = media.schema && Object.keys(media.schema).length ? typeOf(media.schema) : type;
    return make("tr", {}, make("td", {}, status), make("td", {}, what), make("td", {}, description));
  });
  parts.push(make("h4", {}, "Answers"), table(["status", "content", "meaning"], answers), form(path, method, operation));
  const heading = make(
    "summary",
    {},
    make("span", { class: `method ${method}` }, method),
    make("span", { class: "path" }, path),
    make("span", { class: "dim" }, operation.summary || ""),
  );
  return make("details", {}, heading, make("div", {}, ...parts));
}

function model(name, schema) {
  const required = new Set(schema.required || []);
  const rows = Object.entries(schema.properties || {}).map(([key, value]) => row(key, value, required.has(key)));
  const content = rows.length ? table(["field", "type", "meaning"], rows) : make("p", {}, typeOf(schema));
  const text = make("pre", {}, schema.description || "");
  return make("details", { id: `model-${name}` }, make("summary", {}, make("code", {}, name)), make("div", {}, text, content));
}

function openLinked() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) target.open = true;
  target?.scrollIntoView();
}

function draw(doc) {
  document.getElementById("version").textContent = doc.info.version;
  const introduction = make("p", {}, doc.info.description);
  const sections = doc.tags.map(({ name, description }) => {
    const section = make("section", { id: `tag-${name}` }, make("h2", {}, name), make("p", { class: "dim" }, description));
    for (const [path, methods] of Object.entries(doc.paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        if (operation.tags?.includes(name)) section.append(request(path, method, operation));
      }
    }
    return section;
  });
  const models = make("section", { id: "models" }, make("h2", {}, "models"));
  for (const [name, schema] of Object.entries(doc.components.schemas)) models.append(model(name, schema));
  main.replaceChildren(introduction, ...sections, models);
  const names = [...doc.tags.map(({ name }) => [`tag-${name}`, name]), ["models", "models"]];
  document.getElementById("contents").replaceChildren(...names.map(([id, name]) => make("a", { href: `#${id}` }, name)));
  addEventListener("hashchange", openLinked);
  openLinked();
}

try {
  const answer = await fetch("/openapi.json");
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  draw(await answer.json());
} catch (error) {
  document.getElementById("state").textContent = `The document cannot be shown: ${error.message}`;
}
