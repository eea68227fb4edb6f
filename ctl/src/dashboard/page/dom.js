// Elements from descriptions, and small things that every view needs.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child);
  }
  return element;
}

/** An element: `h("a", {href: "#x"}, "text")`. */
export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);

/** The same in an SVG. */
export const s = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

export const byId = (id) => document.getElementById(id);

/** Puts other children in place; what had the focus has it again if it is still there, by its `data-key`. */
export function replace(container, ...children) {
  const key = container.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  container.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  if (key !== undefined) container.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
}

const PALETTE = 8;

/** The class of a lane's colour; the same lane has the same colour in every view. */
export function laneClass(names, lane) {
  if (lane === null || lane === undefined) return "lane-none";
  const at = names.indexOf(lane);
  return at < 0 ? "lane-other" : `lane-${at % PALETTE}`;
}

/** A lane's name on its colour. */
export const laneChip = (names, lane) =>
  h("span", { class: `chip ${laneClass(names, lane)}` }, lane ?? "baseline");

let hiding;

/** Says what came of something, for a moment; failures stay until the next word. */
export function say(text, failed = false) {
  const said = byId("said");
  clearTimeout(hiding);
  said.textContent = text;
  said.classList.toggle("failed", failed);
  said.hidden = false;
  if (!failed) hiding = setTimeout(() => { said.hidden = true; }, 5000);
}

/** Asks the server to do something; what came of it is said, and returned where it was done. */
export async function ask(path, body) {
  try {
    const answer = await fetch(path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body ?? {}),
    });
    const text = await answer.text();
    let told;
    try { told = JSON.parse(text); } catch { told = { error: text }; }
    if (answer.ok) {
      say(told.said);
      return told;
    }
    say(told.help ? `${told.error} — ${told.help}` : told.error, true);
  } catch {
    say("canaryctl does not answer: does it still run?", true);
  }
  return undefined;
}
