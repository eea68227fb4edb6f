// What the server tells, kept and handed to the views; which view is shown; what is selected.

import { byId, say } from "./dom.js";
import * as flows from "./flows.js";
import * as graph from "./graph.js";
import * as lanes from "./lanes.js";
import * as play from "./play.js";
import * as releases from "./releases.js";
import * as takeovers from "./takeovers.js";
import * as traffic from "./traffic.js";

const PARTS = ["server", "about", "lanes", "releases", "takeovers", "graph", "traffic", "flows", "watch"];
const VIEWS = ["mesh", "releases", "playground"];

/** Everything that the views show. `lane` and `flow` are what is selected. */
const state = {
  server: { read_only: true },
  about: null,
  lanes: [],
  releases: [],
  takeovers: [],
  graph: { services: [], calls: [], entries: [], paths: {} },
  traffic: { edges: [], lacks: null },
  flows: [],
  watch: null,
  lane: null,
  flow: null,
};

/** The lanes' names: their order gives them their colours. */
state.names = () => state.lanes.map((lane) => lane.name);

state.select = (lane) => {
  state.lane = lane;
  state.flow = null;
  show("selection");
};

state.selectFlow = (id) => {
  state.flow = id;
  state.lane = state.flows.find((flow) => flow.id === id)?.lane ?? null;
  show("selection");
};

function show(part) {
  if (part === "about" || part === "server") about();
  lanes.show(state, part);
  graph.show(state, part);
  flows.show(state, part);
  play.show(state, part);
  releases.show(state, part);
  takeovers.show(state, part);
  traffic.show(state, part);
}

function about() {
  if (!state.about) return;
  const readOnly = state.server.read_only ? " · read only" : "";
  byId("about").textContent = `${state.about.title}${readOnly}`;
  document.title = `${state.about.title} · canaryctl`;
  const trouble = byId("trouble");
  trouble.hidden = !state.about.trouble;
  trouble.textContent = state.about.trouble ?? "";
}

function link(text, isUp) {
  const shown = byId("link");
  shown.textContent = text;
  shown.classList.toggle("up", isUp);
}

function listen() {
  const events = new EventSource("api/events");
  for (const part of PARTS) {
    events.addEventListener(part, (event) => {
      state[part] = JSON.parse(event.data);
      if (part === "lanes" && state.lane !== null && !state.names().includes(state.lane)) state.lane = null;
      show(part);
    });
  }
  events.onopen = () => link("live", true);
  events.onerror = () => {
    link(events.readyState === EventSource.CLOSED ? "disconnected" : "reconnecting", false);
    if (events.readyState === EventSource.CLOSED) {
      say("canaryctl has ended, or runs anew: open the address that it printed", true);
    }
  };
}

function route() {
  const wanted = location.hash.slice(1);
  const view = VIEWS.includes(wanted) ? wanted : VIEWS[0];
  for (const name of VIEWS) byId(name).hidden = name !== view;
  for (const anchor of byId("views").children) {
    const isIt = anchor.getAttribute("href") === `#${view}`;
    if (isIt) anchor.setAttribute("aria-current", "page");
    else anchor.removeAttribute("aria-current");
  }
  if (view === "playground") play.open();
  else graph.fit();
}

addEventListener("hashchange", () => {
  if (location.hash === "#main") return;
  route();
});
lanes.start(state);
graph.start(state);
flows.start(state);
play.start(state);
route();
listen();
