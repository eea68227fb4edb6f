// The playground: the rules themselves decide here, as one types.

import { byId, h, laneChip, replace } from "./dom.js";

const EXAMPLE = `apiVersion: canaryctl.io/v1alpha1
kind: Lane
metadata:
  name: gray
spec:
  rules:
    - when:
        cookie: {name: gray, exact: "1"}
    - percent: 5
`;
const SETTLE_MS = 60;

const play = { explain: null, loading: null, touched: false, state: null, timer: 0, text: null, config: null };

export function start(state) {
  play.state = state;
  const form = byId("play-form");
  form.oninput = (event) => {
    if (event.target.name === "documents") play.touched = true;
    clearTimeout(play.timer);
    play.timer = setTimeout(decide, SETTLE_MS);
  };
  form.onsubmit = (event) => event.preventDefault();
  byId("play-reset").onclick = () => {
    play.touched = false;
    fill();
    decide();
  };
}

export function show(state, part) {
  if (part === "server") {
    byId("play-missing").hidden = state.server.playground !== false;
    byId("play-form").hidden = state.server.playground === false;
  }
  if (part !== "lanes" || play.touched) return;
  fill();
  decide();
}

function fill() {
  const documents = play.state.lanes.map((lane) => lane.document).filter((text) => text !== null);
  byId("play-form").elements.documents.value = documents.length > 0 ? documents.join("---\n") : EXAMPLE;
}

/** The module is fetched when the view is first shown. */
export async function open() {
  if (play.state.server.playground === false || play.explain) return;
  play.loading ??= import("./rules.js").then(async (rules) => {
    await rules.default();
    play.explain = rules.explain;
  });
  try {
    await play.loading;
  } catch (error) {
    replace(byId("play-answer"), h("p", { class: "trouble" }, `The playground cannot run here: ${error}`));
    return;
  }
  if (!byId("play-form").elements.documents.value) fill();
  decide();
}

async function decide() {
  if (!play.explain) return;
  const form = byId("play-form").elements;
  await read(form.documents.value);
  if (play.config === null) {
    replace(byId("play-answer"), h("p", { class: "hint" }, "The lanes have faults: mend them, and the answer is here."));
    return;
  }
  const headers = form.headers.value.split("\n").map((line) => line.trim()).filter((line) => line !== "").join("\n");
  const now = Math.floor(Date.now() / 1000);
  const answer = JSON.parse(
    play.explain(play.config, form.method.value, form.url.value.trim(), headers, form.client.value.trim(), now));
  replace(byId("play-answer"), answer.report ? report(answer.report)
    : h("p", { class: "trouble" }, `No request: ${answer.request ?? answer.config}`));
}

/** Has the lanes read where they are not those of the last time; canaryctl reads YAML, the rules here decide. */
async function read(text) {
  if (text === play.text) return;
  try {
    const answer = await fetch("api/documents", { method: "POST", headers: { "content-type": "text/plain" }, body: text });
    const told = await answer.json();
    // A later text may have been read meanwhile.
    if (text !== byId("play-form").elements.documents.value) return;
    if (!answer.ok) throw new Error(told.error);
    play.text = text;
    play.config = told.config ?? null;
    faults(told.faults ?? []);
  } catch (error) {
    play.config = null;
    faults([{ line: 0, column: 0, message: `canaryctl cannot read them: ${error.message}` }]);
  }
}

function faults(all) {
  const text = byId("play-form").elements.documents;
  text.setAttribute("aria-invalid", all.length > 0 ? "true" : "false");
  replace(byId("play-faults"), all.map((fault) => h("li", { class: "bad" },
    h("button", { type: "button", class: "link-button", onclick: () => go(text, fault) },
      fault.line > 0 ? `${fault.line}:${fault.column}` : "here"),
    ` ${fault.message}`)));
}

/** Puts the cursor where a fault is. */
function go(text, fault) {
  const before = text.value.split("\n").slice(0, Math.max(0, fault.line - 1));
  const at = before.reduce((sum, line) => sum + line.length + 1, 0) + Math.max(0, fault.column - 1);
  text.focus();
  text.setSelectionRange(at, at);
}

function report(told) {
  const names = play.state.names();
  const lines = (title, all) => all.length > 0 && [h("h4", {}, title), h("ul", { class: "plain lines" }, all.map((one) => h("li", {}, one)))];
  return [
    h("p", { class: "verdict" }, laneChip(names, told.lane), " ", told.reason),
    lines("Headers set", Object.entries(told.set_headers).map(([name, value]) => [h("code", {}, `${name}: ${value}`)])),
    lines("Headers removed", told.remove_headers.map((name) => h("code", {}, name))),
    lines("Cookies set", told.set_cookies.map((line) => h("code", {}, line))),
    told.close.length > 0 && [
      h("h4", {}, "Came close"),
      h("ul", { class: "plain close" }, told.close.map((one) => h("li", {},
        laneChip(names, one.lane), ` rule ${one.number}${one.name ? ` (${one.name})` : ""}: ${one.text}`,
        h("span", { class: "message" }, one.why)))),
    ],
    h("details", {}, h("summary", {}, "As canaryctl explain -o json prints it"),
      h("pre", { id: "play-json" }, JSON.stringify(told, null, 2))),
  ];
}
