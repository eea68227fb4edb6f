// The lanes: a list to choose from, and all of the chosen one.

import { ask, byId, h, laneClass, replace } from "./dom.js";

export function start() {}

export function show(state, part) {
  if (!["lanes", "selection", "graph", "about", "server"].includes(part)) return;
  list(state);
  detail(state);
}

function list(state) {
  const names = state.names();
  const choice = (lane, title, words, mark) => {
    const isChosen = (lane?.name ?? null) === state.lane;
    return h("label", { class: `lane ${laneClass(names, lane?.name)}${isChosen ? " chosen" : ""}` },
      h("input", {
        type: "radio", name: "lane", value: lane?.name ?? "", checked: isChosen,
        "data-key": `lane:${lane?.name ?? ""}`,
        onchange: () => state.select(lane?.name ?? null),
      }),
      h("span", { class: "swatch", "aria-hidden": "true" }),
      h("span", { class: "lane-name" }, title),
      mark,
      h("span", { class: "lane-who" }, words));
  };
  const lanes = state.lanes.map((lane) =>
    choice(lane, lane.name, who(lane), h("span", { class: `state state-${lane.state}` }, lane.state)));
  replace(byId("lane-list"),
    h("fieldset", { class: "lane-choices" },
      h("legend", { class: "hidden" }, "The lane whose path is shown"),
      choice(null, "baseline", "everything outside lanes", null),
      lanes),
    state.lanes.length === 0 && h("p", { class: "empty" }, "No lane is on. ", h("code", {}, "canaryctl enable --cookie gray=1")));
}

function who(lane) {
  if (lane.who === null) return "nobody: its rules are refused";
  return lane.who.length === 0 ? "nobody: it has no rules" : lane.who.join(" · ");
}

function detail(state) {
  const lane = state.lanes.find((one) => one.name === state.lane);
  if (!lane) {
    replace(byId("lane-detail"), h("p", { class: "hint" }, "Choose a lane to see its path through the services."));
    return;
  }
  replace(byId("lane-detail"),
    h("div", { class: `detail ${laneClass(state.names(), lane.name)}` },
      h("h3", {}, lane.name, turn(state, lane)),
      h("h4", {}, "Who"),
      h("ol", { class: "rules" }, (lane.who ?? []).map((rule) => h("li", {}, rule)),
        (lane.who ?? []).length === 0 && h("li", {}, who(lane))),
      h("h4", {}, "Members"),
      members(state, lane),
      h("h4", {}, "Conditions"),
      conditions(lane),
      h("h4", {}, "Settings"),
      h("dl", {}, lane.fields.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
      findings(lane)));
}

function turn(state, lane) {
  if (!state.about?.turns_lanes || state.server.read_only) return null;
  const isOff = lane.state === "off";
  return h("button", {
    type: "button", class: "small", "data-key": `turn:${lane.name}`,
    onclick: async (event) => {
      event.currentTarget.setAttribute("aria-busy", "true");
      await ask(`api/lanes/${encodeURIComponent(lane.name)}/${isOff ? "on" : "off"}`);
      document.querySelector("[aria-busy]")?.removeAttribute("aria-busy");
    },
  }, isOff ? "Turn on" : "Turn off");
}

function members(state, lane) {
  if (lane.state === "off") return h("p", { class: "hint" }, "The lane is off: the baseline serves everybody.");
  const rows = lane.members.map((member) =>
    h("li", {}, h("b", {}, member.service), ` → ${member.workload}`,
      h("span", { class: "dim" }, ` ${member.pods} ${member.pods === 1 ? "pod" : "pods"}`)));
  const path = state.graph.paths[lane.name] ?? {};
  const served = new Set(Object.keys(path));
  const rest = state.graph.services.filter((service) => !served.has(service.id)).length;
  return [
    rows.length > 0 ? h("ul", { class: "plain" }, rows)
      : h("p", { class: "hint" }, `None yet: label pods canaryctl.io/lane=${lane.name}`),
    h("p", { class: "dim" }, `The baseline serves the lane at ${rest} of ${state.graph.services.length} services.`),
  ];
}

function conditions(lane) {
  if (lane.conditions.length === 0) {
    const why = lane.state === "off" ? "None while it is off." : "None: no controller has said anything of it.";
    return h("p", { class: "hint" }, why);
  }
  const rows = lane.conditions.map((one) => {
    const isGood = one.kind === "Degraded" ? one.status === "False" : one.status === "True";
    return h("li", { class: isGood ? "good" : one.status === "Unknown" ? "open" : "bad" },
      h("b", {}, one.kind), ` ${one.status}`, one.reason && h("span", { class: "dim" }, ` ${one.reason}`),
      one.message && h("span", { class: "message" }, one.message));
  });
  const reached = lane.proxies && h("li", { class: lane.proxies[0] === lane.proxies[1] ? "good" : "open" },
    h("b", {}, "Proxies"), ` ${lane.proxies[0]} of ${lane.proxies[1]} have it`);
  return h("ul", { class: "marks" }, rows, reached);
}

function findings(lane) {
  if (lane.findings.length === 0) return null;
  return [
    h("h4", {}, "Findings"),
    h("ul", { class: "marks" }, lane.findings.map((one) =>
      h("li", { class: one.severity === "info" ? "open" : "bad" },
        h("b", {}, one.code), ` ${one.message}`, one.help && h("span", { class: "message" }, one.help)))),
  ];
}
