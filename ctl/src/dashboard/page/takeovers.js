// Who has which service on their machine.

import { byId, h, replace } from "./dom.js";

export function show(state, part) {
  if (part !== "takeovers") return;
  byId("takeovers").hidden = state.takeovers.length === 0;
  replace(byId("takeover-list"), state.takeovers.map((one) => {
    const since = one.since_unix_s !== null && new Date(one.since_unix_s * 1000).toLocaleString([], { hour12: false });
    return h("li", {},
      h("b", {}, one.service), h("span", { class: `state state-${one.state}` }, one.state),
      h("span", { class: "dim" }, one.what),
      h("span", { class: "dim" }, one.owner, since && [" since ", h("time", {}, since)]),
      one.message && h("span", { class: "message" }, one.message));
  }));
}
