// The services as a graph, and over it the path of the chosen lane or flow.

import { byId, h, laneClass, replace, s } from "./dom.js";
import { layout } from "./layout.js";
import { words as inWords } from "./traffic.js";

const GATEWAY = "gateway";
const WIDTH = 156;
const HEAD = 26;
const ROW = 22;
const PAD = 8;
const MARGIN = 16;
/** Narrower than this the graph runs downwards, in pixels. */
const NARROW = 640;
const ZOOM_STEP = 1.25;
const ZOOM_MIN = 0.1;
const ZOOM_MAX = 2;
/** More arrows than this have their traffic in the table alone. */
const LABELS_MAX = 60;
/** From one line of it to the next, in pixels. */
const LINE = 12;

const drawn = { size: null, zoom: 1, fits: true, down: false, order: [], ways: [] };
let current;

export function start(state) {
  current = state;
  byId("zoom-in").onclick = () => zoom(drawn.zoom * ZOOM_STEP, false);
  byId("zoom-out").onclick = () => zoom(drawn.zoom / ZOOM_STEP, false);
  byId("zoom-fit").onclick = fit;
  new ResizeObserver(() => {
    if (!drawn.size) return;
    if (isNarrow() !== drawn.down) {
      draw();
      load();
      mark();
    } else if (drawn.fits) {
      fit();
    }
  }).observe(byId("graph"));
}

export function show(state, part) {
  current = state;
  if (part === "graph") draw();
  if (["graph", "traffic"].includes(part)) load();
  if (["graph", "lanes", "flows", "selection"].includes(part)) mark();
}

const isNarrow = () => byId("graph").clientWidth < NARROW;

function draw() {
  const { services, calls, entries } = current.graph;
  const nodes = services.map((service) => ({
    id: service.id, width: WIDTH, height: HEAD + Math.max(1, service.workloads.length) * ROW + PAD, service,
  }));
  const edges = calls.map((call) => ({ ...call }));
  if (entries.length > 0) {
    nodes.unshift({ id: GATEWAY, width: 92, height: 40 });
    entries.forEach((to) => edges.unshift({ from: GATEWAY, to }));
  }
  drawn.down = isNarrow();
  const laid = layout(nodes, edges, { down: drawn.down });
  drawn.size = { width: laid.width + 2 * MARGIN, height: laid.height + 2 * MARGIN };
  const way = drawn.down ? ["y", "x"] : ["x", "y"];
  const place = (service) => laid.places.get(service.id);
  drawn.order = [...services].sort((a, b) => place(a)[way[0]] - place(b)[way[0]] || place(a)[way[1]] - place(b)[way[1]]);
  drawn.ways = laid.ways;
  const isMany = new Set(services.map((service) => service.namespace)).size > 1;
  const svg = s("svg", {
    viewBox: `${-MARGIN} ${-MARGIN} ${drawn.size.width} ${drawn.size.height}`, role: "img",
    "aria-labelledby": "graph-words",
  },
  s("g", { class: "ways" }, laid.ways.map((way) =>
    s("path", { class: "way", d: curve(way.points), "data-from": way.from, "data-to": way.to }))),
  s("g", {}, nodes.map((node) => box(node, laid.places.get(node.id), isMany))),
  s("g", { class: "loads" }));
  byId("graph").replaceChildren(svg);
  fit();
}

function curve(points) {
  const [first, ...rest] = points;
  let path = `M${first.x} ${first.y}`;
  let last = first;
  for (const point of rest) {
    const bend = drawn.down
      ? `${last.x} ${(last.y + point.y) / 2} ${point.x} ${(last.y + point.y) / 2}`
      : `${(last.x + point.x) / 2} ${last.y} ${(last.x + point.x) / 2} ${point.y}`;
    path += `C${bend} ${point.x} ${point.y}`;
    last = point;
  }
  return path;
}

/** What goes over each arrow. */
function load() {
  const svg = byId("graph").firstElementChild;
  if (!svg) return;
  const loads = new Map(current.traffic.edges.map((edge) => [`${edge.from} ${edge.to}`, edge]));
  const of = ({ from, to }) => loads.get(`${from} ${to}`);
  for (const way of svg.querySelectorAll(".way")) {
    const edge = of(way.dataset);
    way.classList.toggle("failing", edge?.failed_percent > 0);
    way.replaceChildren(...(edge ? [s("title", {}, `${edge.from} → ${edge.to}: ${inWords(edge).join(" · ")}`)] : []));
  }
  const busy = drawn.ways.filter((way) => of(way) !== undefined);
  const shown = busy.length > LABELS_MAX ? [] : busy;
  svg.querySelector(".loads").replaceChildren(...shown.map((way) => {
    const edge = of(way);
    const [a, b] = [way.points[0], way.points[1]];
    const [x, y] = [(a.x + b.x) / 2 + (drawn.down ? LINE : 0), (a.y + b.y) / 2 - LINE / 2];
    // One line above an arrow to the right, the others below it; beside one that runs downwards.
    const further = (at) => (at === 1 && !drawn.down ? 1.5 * LINE : at > 0 && LINE);
    return s("text", {
      class: edge.failed_percent > 0 ? "load failing" : "load", "text-anchor": drawn.down ? "start" : "middle", y,
    }, inWords(edge).map((line, at) => s("tspan", { x, dy: further(at) }, line)));
  }));
}

function box(node, place, withNamespace) {
  const [left, top] = [place.x - node.width / 2, place.y - node.height / 2];
  const frame = s("rect", { class: "frame", width: node.width, height: node.height, rx: 8 });
  const at = `translate(${left} ${top})`;
  if (!node.service) {
    return s("g", { class: "node gateway", transform: at, "data-id": node.id }, frame,
      s("text", { class: "title", x: node.width / 2, y: 25, "text-anchor": "middle" }, "gateway"));
  }
  const { service } = node;
  const title = withNamespace ? `${service.namespace}/${service.name}` : service.name;
  const names = current.names();
  const rows = service.workloads.map((workload, row) =>
    s("g", {
      class: `workload ${laneClass(names, workload.lane)}`, "data-workload": workload.name,
      transform: `translate(${PAD} ${HEAD + row * ROW})`,
    },
    s("rect", { class: "pill", width: node.width - 2 * PAD, height: ROW - 3, rx: 5 }),
    s("circle", { class: "dot", cx: 10, cy: (ROW - 3) / 2, r: 3.5 }),
    s("text", { class: "version", x: 20, y: 13.5 }, clip(workload.version, 12)),
    s("text", { class: "of", x: node.width - 2 * PAD - 7, y: 13.5, "text-anchor": "end" }, clip(workload.lane ?? "", 11)),
    s("title", {}, `${workload.name}: ${workload.lane ? `lane ${workload.lane}` : "baseline"}`)));
  return s("g", { class: "node", transform: at, "data-id": service.id }, frame,
    s("text", { class: "title", x: PAD + 2, y: 18 }, clip(title, 22), s("title", {}, service.id)), rows);
}

const clip = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);

/** Per service the workloads that serve what is chosen, and how: `own`, `fallback`, `refused`. */
function serving() {
  const { graph, lane, flows, flow } = current;
  const sent = flows.find((one) => one.id === flow);
  const served = new Map();
  if (sent) {
    for (const hop of sent.hops) {
      const service = graph.services.find((one) => one.workloads.some((workload) => workload.name === hop.instance));
      if (service) served.set(service.id, { workloads: [hop.instance], how: lane && !hop.member ? "fallback" : "own" });
    }
    return served;
  }
  for (const service of graph.services) {
    const by = lane === null ? undefined : graph.paths[lane]?.[service.id];
    const baseline = service.workloads.filter((workload) => workload.lane === null).map((workload) => workload.name);
    if (by?.by === "nobody") served.set(service.id, { workloads: [], how: "refused" });
    else if (by) served.set(service.id, { workloads: by.workloads, how: by.lane === lane ? "own" : "fallback" });
    else served.set(service.id, { workloads: baseline, how: lane === null ? "own" : "fallback" });
  }
  return served;
}

function mark() {
  const svg = byId("graph").firstElementChild;
  if (!svg) return;
  const served = serving();
  const names = current.names();
  svg.setAttribute("class", laneClass(names, current.lane));
  for (const node of svg.querySelectorAll(".node")) {
    const found = served.get(node.dataset.id);
    const isGateway = node.dataset.id === GATEWAY;
    node.classList.toggle("on", isGateway || found !== undefined);
    for (const how of ["own", "fallback", "refused"]) node.classList.toggle(how, found?.how === how);
    for (const workload of node.querySelectorAll(".workload")) {
      workload.classList.toggle("serves", found?.workloads.includes(workload.dataset.workload) ?? false);
      const lane = current.graph.services.find((one) => one.id === node.dataset.id)
        ?.workloads.find((one) => one.name === workload.dataset.workload)?.lane ?? null;
      for (const name of [...workload.classList]) if (name.startsWith("lane-")) workload.classList.remove(name);
      workload.classList.add(laneClass(names, lane));
    }
  }
  for (const way of svg.querySelectorAll(".way")) {
    const { from, to } = way.dataset;
    way.classList.toggle("on", (from === GATEWAY || served.has(from)) && served.has(to));
  }
  words(served);
  legend();
}

function words(served) {
  const { graph, lane, flow } = current;
  const names = (how) => drawn.order.filter((one) => served.get(one.id)?.how === how).map((one) => one.name);
  const list = (all) => (all.length > 6 ? `${all.slice(0, 5).join(", ")} and ${all.length - 5} more` : all.join(", "));
  const what = flow === null ? `Lane ${lane}` : `Flow ${flow}${lane ? `, lane ${lane},` : ""}`;
  const [own, fallback, refused] = ["own", "fallback", "refused"].map(names);
  let text;
  if (graph.services.length === 0) text = "No service is known yet.";
  else if (lane === null && flow === null) text = `Requests of no lane are served by the baseline of ${graph.services.length} services.`;
  else if (lane === null) text = `Flow ${flow} of the baseline went through ${list(own)}.`;
  else if (graph.paths[lane] === undefined) text = `Lane ${lane} is off: the baseline serves everybody.`;
  else {
    text = own.length > 0 ? `${what} has its own version of ${list(own)}` : `${what} has no version of its own`;
    text += fallback.length > 0 ? ` and falls back at ${list(fallback)}.` : ".";
    if (refused.length > 0) text += ` It is refused at ${list(refused)}.`;
  }
  byId("graph-words").textContent = graph.calls_from ? `${text} ${graph.calls_from}` : text;
}

function legend() {
  const names = current.names();
  const entry = (lane, text) => h("li", { class: laneClass(names, lane) }, h("span", { class: "swatch", "aria-hidden": "true" }), text);
  const shape = (name, text) => h("li", {}, h("span", { class: `shape ${name}`, "aria-hidden": "true" }), text);
  replace(byId("legend"),
    entry(null, "baseline"),
    current.lanes.map((lane) => entry(lane.name, `lane ${lane.name}`)),
    current.lane !== null && [
      shape("solid", "served by the lane's own version"),
      shape("dashed", "falls back"),
    ]);
}

function zoom(wanted, fits) {
  if (!drawn.size) return;
  drawn.fits = fits;
  drawn.zoom = Math.min(ZOOM_MAX, Math.max(ZOOM_MIN, wanted));
  const svg = byId("graph").firstElementChild;
  svg.setAttribute("width", drawn.size.width * drawn.zoom);
  svg.setAttribute("height", drawn.size.height * drawn.zoom);
}

/** As large as it has room for, and no larger than it was drawn. */
export function fit() {
  if (!drawn.size) return;
  const room = byId("graph").clientWidth;
  if (room > 0) zoom(Math.min(1.15, Math.max(room / drawn.size.width, 0.3)), true);
}
