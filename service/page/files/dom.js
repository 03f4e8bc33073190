// Descriptions of elements, and what makes the document like them: elements that are still wanted stay the elements
// they are, with their focus, scroll position and running transitions.

const SVG = "http://www.w3.org/2000/svg";
const KEPT = Symbol("kept");
const PROPERTIES = new Set(["value", "checked", "disabled", "open", "selected"]);

/**
 * An element of HTML. Properties: `key` tells siblings apart, `class`, `style` (an object of CSS properties), `on...`
 * handlers, `ref` (called once with the new element), all else attributes; null and false are left out.
 */
export function h(tag, properties, ...children) {
  return { tag, properties: properties ?? {}, children, space: null };
}

/** An element of SVG. */
export function s(tag, properties, ...children) {
  return { tag, properties: properties ?? {}, children, space: SVG };
}

/** Make the children of an element these. */
export function render(parent, ...children) {
  const before = new Map((parent[KEPT] ?? []).map((kept) => [kept.key, kept]));
  const after = [];
  let unnamed = 0;
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false || child === "") continue;
    const text = typeof child !== "object";
    const key = child.properties?.key ?? `${unnamed++}:${text ? "" : child.tag}`;
    let kept = before.get(key);
    if (kept && kept.tag === (text ? "" : child.tag)) before.delete(key);
    else kept = create(child, key, text);
    if (text) {
      if (kept.node.data !== String(child)) kept.node.data = child;
    } else {
      update(kept, child.properties);
      // What an element holds is its own business where it says so.
      if (!child.properties.ref) render(kept.node, child.children);
    }
    after.push(kept);
  }
  for (const gone of before.values()) gone.node.remove();
  let place = parent.firstChild;
  for (const { node } of after) {
    if (node === place) place = place.nextSibling;
    else parent.insertBefore(node, place);
  }
  parent[KEPT] = after;
  // A select shows one of its options only once they are there.
  if (parent.tagName === "SELECT" && parent.wanted !== undefined) parent.value = parent.wanted;
}

function create(child, key, text) {
  if (text) return { key, tag: "", node: document.createTextNode(child) };
  const node = child.space ? document.createElementNS(SVG, child.tag) : document.createElement(child.tag);
  child.properties.ref?.(node);
  return { key, tag: child.tag, node, properties: {} };
}

function update(kept, properties) {
  const { node, properties: old } = kept;
  for (const name of Object.keys(old)) if (!(name in properties)) set(node, name, null, old[name]);
  for (const [name, value] of Object.entries(properties)) {
    if (name !== "key" && name !== "ref") set(node, name, value, old[name]);
  }
  kept.properties = properties;
}

function set(node, name, value, old) {
  if (name === "style") {
    for (const [key, part] of Object.entries(value ?? {})) {
      if (old?.[key] !== part) node.style.setProperty(key, part);
    }
  } else if (name.startsWith("on")) {
    node[name] = value;
  } else if (PROPERTIES.has(name)) {
    if (node.tagName === "SELECT") node.wanted = value;
    // What somebody has typed, opened or chosen since stays until it is meant to be another.
    const typing = name === "value" && node === document.activeElement && old !== undefined;
    if (value !== old && !typing) node[name] = value ?? "";
  } else if (value !== old) {
    if (value === null || value === undefined || value === false) node.removeAttribute(name);
    else node.setAttribute(name, value === true ? "" : value);
  }
}

/** Text for screen readers only. */
export const unseen = (text) => h("span", { class: "hidden-visually" }, text);
