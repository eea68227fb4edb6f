// What goes from service to service: in words for the graph's arrows, and as a table.

import { byId, h, replace } from "./dom.js";

const LOCALE = "en";
/** Most rows of the table; the busiest come first. */
const ROWS_MAX = 100;

const number = (value) => value.toLocaleString(LOCALE, { maximumFractionDigits: value < 10 ? 1 : 0 });

/** `12/s`, `41 ms`, `0.5 % failed`. */
export function words(edge) {
  const took = edge.p95_ms !== null && `${number(edge.p95_ms)} ms`;
  const failed = edge.failed_percent > 0 && `${number(edge.failed_percent)} % failed`;
  return [`${number(edge.per_s)}/s`, took, failed].filter(Boolean);
}

export function show(state, part) {
  if (part !== "traffic") return;
  const { edges, lacks } = state.traffic;
  byId("traffic-lacks").hidden = !lacks;
  byId("traffic-lacks").textContent = lacks ?? "";
  byId("traffic").hidden = edges.length === 0 && !lacks;
  byId("traffic-table").hidden = edges.length === 0;
  const busiest = [...edges].sort((a, b) => b.per_s - a.per_s);
  const rest = busiest.length - ROWS_MAX;
  replace(byId("traffic-rows"), busiest.slice(0, ROWS_MAX).map((edge) =>
    h("tr", { class: edge.failed_percent > 0 ? "failing" : null },
      h("th", { scope: "row" }, `${edge.from} → ${edge.to}`),
      h("td", {}, number(edge.per_s)),
      h("td", {}, `${number(edge.failed_percent)} %`),
      h("td", {}, edge.p95_ms === null ? "–" : `${number(edge.p95_ms)} ms`))),
  rest > 0 && h("tr", {}, h("th", { scope: "row", colspan: 4 }, `and ${number(rest)} calls with less traffic`)));
}
