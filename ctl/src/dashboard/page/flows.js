// Flows: one to send, a lane whose flows are watched, those that were seen, and the tree of the chosen one.

import { ask, byId, h, laneChip, replace } from "./dom.js";

export function start(state) {
  const form = byId("flow-form");
  form.onsubmit = async (event) => {
    event.preventDefault();
    const { path, cookie, header } = Object.fromEntries(new FormData(form));
    const headers = [];
    if (cookie.trim()) headers.push(["cookie", cookie.trim()]);
    if (header.trim()) {
      const at = header.indexOf(":");
      headers.push(at < 0 ? [header.trim(), ""] : [header.slice(0, at).trim(), header.slice(at + 1).trim()]);
    }
    const button = form.querySelector("button");
    button.disabled = true;
    button.textContent = "Sending";
    const before = state.flows[0]?.id ?? 0;
    const told = await ask("api/flows", { path: path.trim(), headers });
    button.disabled = false;
    button.textContent = "Send";
    button.focus({ preventScroll: true });
    if (!told) return;
    // The list may come before this answer, or after it.
    if ((state.flows[0]?.id ?? 0) > before) state.selectFlow(state.flows[0].id);
    else state.follow = true;
  };
}

export function show(state, part) {
  if (!["about", "flows", "lanes", "selection", "server", "watch"].includes(part)) return;
  const { sends_flows: sends, watches_lanes: watches } = state.about ?? {};
  byId("flows").hidden = !sends && (!watches || state.server.read_only);
  byId("flow-form").hidden = !sends || state.server.read_only;
  byId("watch").hidden = !watches || state.server.read_only;
  watching(state);
  // The one that was sent from here is shown as soon as it is known.
  if (part === "flows" && state.follow && state.flows.length > 0) {
    state.follow = false;
    state.selectFlow(state.flows[0].id);
    return;
  }
  list(state);
  const chosen = state.flows.find((flow) => flow.id === state.flow);
  const hint = state.flows.length > 0 ? "Choose a flow to see where it went." : sends && "Send a flow to see where it goes.";
  if (chosen) replace(byId("flow-tree"), chosen.calls ? way(state, chosen) : tree(state, chosen));
  else replace(byId("flow-tree"), hint && h("p", { class: "hint" }, hint));
}

/** The button that has a lane's flows watched, and how that goes. */
function watching(state) {
  const { watch, lane } = state;
  const button = (name, turn, text) => h("button", {
    type: "button", "data-key": "watch", onclick: () => ask(`api/lanes/${encodeURIComponent(name)}/${turn}`),
  }, text);
  replace(byId("watch"),
    watch?.on && button(watch.lane, "unwatch", `Stop watching lane ${watch.lane}`),
    !watch?.on && lane !== null && button(lane, "watch", `Watch lane ${lane}`),
    !watch?.on && lane === null && h("span", { class: "dim" }, "Choose a lane to watch some of its users' flows."),
    watch && h("span", { class: watch.failed ? "bad-word" : "dim", role: "status" }, `Lane ${watch.lane}: ${watch.words}`));
}

const time = (seconds) => new Date(seconds * 1000).toLocaleTimeString([], { hour12: false });

function list(state) {
  const names = state.names();
  replace(byId("flow-list"), h("ol", { class: "plain", reversed: true }, state.flows.map((flow) =>
    h("li", {}, h("button", {
      type: "button", class: "flow", "data-key": `flow:${flow.id}`,
      "aria-pressed": flow.id === state.flow ? "true" : "false",
      onclick: () => state.selectFlow(flow.id),
    },
    h("span", { class: "flow-request" }, flow.request.replace(/^curl /, "")),
    h("span", { class: "flow-meta" }, laneChip(names, flow.lane),
      flow.forged && h("span", { class: "bad-word" }, "forged tag removed"),
      flow.wrong && h("span", { class: "bad-word" }, "not as the rules say"),
      h("span", { class: "dim" }, `${flow.status} · ${time(flow.at_unix_s)}`)))))));
}

/** A flow as proxies tell of it: who called whom. */
function way(state, flow) {
  const names = state.names();
  const all = (calls) => calls.flatMap((hop) => [hop, ...all(hop.calls)]);
  const longest = Math.max(...all(flow.calls).map((hop) => hop.tookUs), 1);
  const nest = (calls) => calls.length > 0 && h("ol", { class: "hops" },
    calls.map((hop) => h("li", {}, passed(names, hop, longest), nest(hop.calls))));
  return [
    h("h3", {}, flow.request),
    flow.culprits.map((words) => h("p", { class: "trouble" }, words)),
    nest(flow.calls),
    flow.unheard.map((why) => h("p", { class: "dim" }, `not heard: ${why}`)),
  ];
}

function passed(names, hop, longest) {
  const notes = [
    !hop.seen && "no proxy tells of it",
    !hop.sure && "perhaps of another request",
    hop.tag && hop.service && hop.lane !== hop.tag && hop.from && "falls back: the lane has no version here",
  ].filter(Boolean);
  return h("div", { class: "hop" },
    h("span", { class: "hop-name" }, hop.service || hop.name, " ", hop.version && h("b", {}, hop.version)),
    hop.tag ? laneChip(names, hop.tag) : h("span", { class: "chip lane-none" }, "untagged"),
    hop.from && h("span", { class: "dim" }, `from ${hop.from}`),
    hop.status >= 500 && h("span", { class: "bad-word" }, `${hop.status}`),
    h("span", { class: "hop-time" },
      h("meter", { min: 0, max: longest, value: hop.tookUs, "aria-hidden": "true" }), ` ${(hop.tookUs / 1000).toFixed(1)} ms`),
    notes.length > 0 && h("span", { class: "hop-why" }, notes.join(" · ")));
}

function tree(state, flow) {
  const names = state.names();
  const longest = Math.max(...flow.hops.map((hop) => hop.ms), 0.001);
  const gateway = h("div", { class: "hop" },
    h("span", { class: "hop-name" }, "gateway"),
    h("span", { class: "hop-why" }, gatewayWords(flow)));
  const nest = (at) => {
    const hop = flow.hops[at];
    if (!hop) return null;
    return h("ol", { class: "hops" }, h("li", {}, row(names, flow, at, longest), nest(at + 1)));
  };
  return [
    h("h3", {}, flow.request),
    flow.wrong && h("p", { class: "trouble" }, flow.wrong),
    flow.hops.length === 0 && h("p", { class: "hint" }, `It reached no service; the answer was ${flow.status}.`),
    h("ol", { class: "hops" }, h("li", {}, gateway, nest(0))),
  ];
}

function row(names, flow, at, longest) {
  const hop = flow.hops[at];
  const before = flow.hops[at - 1];
  const notes = [];
  if (hop.tag && !hop.member) notes.push("falls back: the lane has no version here");
  if (hop.tag && before && hop.origin !== "header") notes.push(`${before.service} dropped the header`);
  return h("div", { class: "hop" },
    h("span", { class: "hop-name" }, hop.service, " ", h("b", {}, hop.version)),
    hop.tag ? laneChip(names, hop.tag) : h("span", { class: "chip lane-none" }, "untagged"),
    hop.tag && h("span", { class: "dim" }, `from ${hop.origin}`),
    h("span", { class: "hop-time" },
      h("meter", { min: 0, max: longest, value: hop.ms, "aria-hidden": "true" }), ` ${hop.ms.toFixed(1)} ms`),
    notes.length > 0 && h("span", { class: "hop-why" }, notes.join(" · ")));
}

function gatewayWords(flow) {
  const words = [flow.reason];
  if (flow.lane) words.push(`tags it ${flow.lane}`);
  if (flow.forged) words.push("removes a forged tag");
  for (const [name, life] of flow.cookies) words.push(life === null ? `sets ${name}` : `sets ${name} for ${span(life)}`);
  return words.join(" · ");
}

function span(seconds) {
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}
