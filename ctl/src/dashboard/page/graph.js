// The services as a graph, and over it the path of the chosen lane or flow.

import { byId, h, laneClass, replace, s } from "./dom.js";
import { layout } from "./layout.js";
import { words as inWords } from "./traffic.js";
import { EACH_MAX, bundles, curve, straight } from "./ways.js";

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
/** What fits is no smaller than this; of very many services names can still be read. */
const FIT_MIN = 0.3;
const FIT_MIN_MANY = 0.5;
/** Smaller than this, names alone are large enough to be read, and long ones are cut. */
const FAR = 0.65;
const NAME_MAX = 22;
const FAR_NAME_MAX = 13;
/** More arrows than this have their traffic in the table alone. */
const LABELS_MAX = 60;
/** From one line of it to the next, in pixels. */
const LINE = 12;
/** Of very many arrows most that are drawn by themselves, in front of the others. */
const FRONT_MAX = 150;
/** Nothing moves until so large a part of very many arrows is another one. */
const MOVES_AT = 0.1;
/** More services than this are looked for by name. */
const FIND_FROM = 40;

const drawn = {
  size: null, zoom: 1, fits: true, far: false, down: false, order: [], ways: [], laid: null,
  /** Whether arrows are in bundles, then the service whose own are in front, and the one that was looked for. */
  many: false, pointed: null, found: null,
  /** What is drawn of each node, by its id, and the elements of all. */
  boxes: new Map(), elements: [],
};
let current;

export function start(state) {
  current = state;
  const graph = byId("graph");
  graph.onpointerover = (event) => point(event.target.closest(".node")?.dataset.id ?? drawn.found);
  graph.onpointerleave = () => point(drawn.found);
  byId("find").oninput = find;
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
  drawn.many = edges.length > EACH_MAX;
  const laid = place(nodes, edges);
  drawn.size = { width: laid.width + 2 * MARGIN, height: laid.height + 2 * MARGIN };
  const way = drawn.down ? ["y", "x"] : ["x", "y"];
  const at = (service) => laid.places.get(service.id);
  drawn.order = [...services].sort((a, b) => at(a)[way[0]] - at(b)[way[0]] || at(a)[way[1]] - at(b)[way[1]]);
  drawn.ways = laid.ways;
  const elements = boxes(nodes, laid.places);
  for (const what of ["pointed", "found"]) if (!drawn.boxes.has(drawn[what])) drawn[what] = null;
  ring();
  const old = byId("graph").querySelector("svg.back");
  // What is in front stays as it is, if only arrows behind it have changed.
  if (drawn.many && old && isSame(elements, drawn.elements)) {
    old.replaceChildren(...bundles(drawn.ways, drawn.down));
    return;
  }
  drawn.elements = elements;
  const viewBox = `${-MARGIN} ${-MARGIN} ${drawn.size.width} ${drawn.size.height}`;
  const svg = s("svg", { class: "front", viewBox, role: "img", "aria-labelledby": "graph-words" },
    s("g", { class: "ways" }, drawn.many ? [] : drawn.ways.map(arrow)),
    s("g", {}, elements),
    s("g", { class: "loads" }));
  const back = drawn.many
    && s("svg", { class: "back", viewBox, "aria-hidden": "true" }, bundles(drawn.ways, drawn.down));
  const graph = byId("graph");
  const { scrollLeft, scrollTop } = graph;
  graph.replaceChildren(h("div", { class: "sheet" }, back, svg));
  byId("finder").hidden = services.length <= FIND_FROM;
  byId("services").replaceChildren(...services.map((service) => h("option", { value: service.id })));
  if (drawn.fits) fit();
  else zoom(drawn.zoom, false);
  // Whoever looks at a part of it still does.
  graph.scrollTo(scrollLeft, scrollTop);
}

const isSame = (these, those) => these.length === those.length && these.every((one, at) => one === those[at]);

/** Where all is; as it was, where only some of very many arrows are other ones. */
function place(nodes, edges) {
  const { down, many, laid } = drawn;
  const shape = [down, ...nodes.map((node) => `${node.id} ${node.height}`)].join();
  const stays = many && laid?.shape === shape && Math.abs(edges.length - laid.count) <= laid.count * MOVES_AT;
  if (!stays) drawn.laid = { ...layout(nodes, edges, { down, direct: many }), shape, count: edges.length };
  if (many) drawn.laid.ways = straight(edges, new Map(nodes.map((node) => [node.id, node])), drawn.laid.places, down);
  return drawn.laid;
}

const arrow = (way) =>
  s("path", { class: "way", d: curve(way.points, drawn.down), "data-from": way.from, "data-to": way.to });

/** Each node's box: the one that there is, if it shows the same. */
function boxes(nodes, places) {
  const isMany = new Set(current.graph.services.map((service) => service.namespace)).size > 1;
  const before = drawn.boxes;
  drawn.boxes = new Map(nodes.map((node) => {
    const key = JSON.stringify([node.service, places.get(node.id), isMany]);
    const known = before.get(node.id);
    return [node.id, known?.key === key ? known : box(node, places.get(node.id), isMany, key)];
  }));
  return [...drawn.boxes.values()].map(({ element }) => element);
}

/** What goes over each arrow. */
function load() {
  const svg = drawing();
  if (!svg) return;
  const loads = new Map(current.traffic.edges.map((edge) => [`${edge.from} ${edge.to}`, edge]));
  const of = ({ from, to }) => loads.get(`${from} ${to}`);
  const shown = drawn.many ? front(svg, of) : drawn.ways;
  for (const way of svg.querySelectorAll(".way")) {
    const edge = of(way.dataset);
    way.classList.toggle("failing", edge?.failed_percent > 0);
    way.replaceChildren(...(edge ? [s("title", {}, `${edge.from} → ${edge.to}: ${inWords(edge).join(" · ")}`)] : []));
  }
  const busy = shown.filter((way) => of(way) !== undefined);
  const labelled = busy.length > LABELS_MAX || drawn.far ? [] : busy;
  svg.querySelector(".loads").replaceChildren(...labelled.map((way) => {
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

/**
 * Draws some of very many arrows by themselves: those of the service that is pointed at, else of the flow that is
 * chosen, else those that fail most.
 */
function front(svg, of) {
  const { pointed } = drawn;
  const { from, to } = { from: (way) => way.from === pointed, to: (way) => way.to === pointed };
  let shown;
  if (pointed !== null) shown = drawn.ways.filter((way) => from(way) || to(way));
  else if (current.flow !== null) {
    const served = serving();
    shown = drawn.ways.filter((way) => served.has(way.to) && (way.from === GATEWAY || served.has(way.from)));
  } else {
    const failed = (way) => of(way)?.failed_percent ?? 0;
    shown = drawn.ways.filter((way) => failed(way) > 0).sort((a, b) => failed(b) - failed(a));
  }
  shown = shown.slice(0, FRONT_MAX);
  svg.querySelector(".ways").replaceChildren(...shown.map((way) => {
    const drawnWay = arrow(way);
    drawnWay.classList.add("on");
    return drawnWay;
  }));
  const near = new Set(pointed === null ? [] : [pointed, ...shown.flatMap((way) => [way.from, way.to])]);
  for (const [id, { element }] of drawn.boxes) element.classList.toggle("near", near.has(id));
  svg.parentElement.classList.toggle("picked", pointed !== null || current.flow !== null);
  return pointed === null ? [] : shown;
}

/** Has the arrows of a service in front of all others. */
function point(id) {
  if (!drawn.many || drawn.pointed === id) return;
  drawn.pointed = id;
  load();
}

/** Points at the service whose name is typed, and shows where it is. */
function find() {
  const wanted = byId("find").value.trim();
  const { services } = current.graph;
  const found = wanted === "" ? undefined
    : services.find((one) => one.id === wanted || one.name === wanted) ?? services.find((one) => one.id.includes(wanted));
  drawn.found = found?.id ?? null;
  ring();
  point(drawn.found);
  if (found) drawn.boxes.get(found.id).element.scrollIntoView({ block: "nearest", inline: "nearest" });
}

/** Shows the box of the service that was looked for, a box that is drawn anew too. */
function ring() {
  for (const [id, { element }] of drawn.boxes) element.classList.toggle("found", id === drawn.found);
}

const drawing = () => byId("graph").querySelector("svg.front");

function box(node, place, withNamespace, key) {
  const [left, top] = [place.x - node.width / 2, place.y - node.height / 2];
  const frame = s("rect", { class: "frame", width: node.width, height: node.height, rx: 8 });
  const at = `translate(${left} ${top})`;
  if (!node.service) {
    const element = s("g", { class: "node gateway", transform: at, "data-id": node.id }, frame,
      s("text", { class: "title", x: node.width / 2, y: 25, "text-anchor": "middle" }, GATEWAY));
    return { element, key, workloads: [] };
  }
  const { service } = node;
  const title = withNamespace ? `${service.namespace}/${service.name}` : service.name;
  const name = s("text", { class: "title", x: PAD + 2, y: 18 }, title, s("title", {}, service.id));
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
  const element = s("g", { class: "node", transform: at, "data-id": service.id }, frame, name, rows);
  const workloads = service.workloads.map((workload, row) => ({ ...workload, element: rows[row] }));
  const made = { element, key, workloads, title, short: service.name, name: name.firstChild };
  named(made);
  return made;
}

/** Gives a box the name that there is room for. */
function named({ name, title, short }) {
  if (name) name.data = drawn.far ? clip(short, FAR_NAME_MAX) : clip(title, NAME_MAX);
}

const clip = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);

/** Per service the workloads that serve what is chosen, and how: `own`, `fallback`, `refused`. */
function serving() {
  const { graph, lane, flows, flow } = current;
  const sent = flows.find((one) => one.id === flow);
  const served = new Map();
  if (sent?.calls) {
    passedBy(sent.calls, served);
    return served;
  }
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

/** Who served the calls of a watched flow: pods are called after their workload. */
function passedBy(calls, served) {
  const { services } = current.graph;
  for (const hop of calls) {
    const namespace = hop.service.split(".")[1];
    const ofPod = (workload) => hop.name.startsWith(`${workload.name}-`);
    const service = services.find((one) => one.namespace === namespace && one.workloads.some(ofPod));
    if (service) {
      const longest = service.workloads.filter(ofPod).sort((a, b) => b.name.length - a.name.length)[0];
      const how = hop.tag && longest.lane !== hop.tag ? "fallback" : "own";
      served.set(service.id, { workloads: [longest.name], how });
    }
    passedBy(hop.calls, served);
  }
}

function mark() {
  const svg = drawing();
  if (!svg) return;
  const served = serving();
  const names = current.names();
  svg.setAttribute("class", `front ${laneClass(names, current.lane)}`);
  for (const [id, { element, workloads }] of drawn.boxes) {
    const found = served.get(id);
    element.classList.toggle("on", id === GATEWAY || found !== undefined);
    for (const how of ["own", "fallback", "refused"]) element.classList.toggle(how, found?.how === how);
    for (const workload of workloads) {
      const serves = found?.workloads.includes(workload.name) ?? false;
      workload.element.setAttribute("class", `workload ${laneClass(names, workload.lane)}${serves ? " serves" : ""}`);
    }
  }
  if (drawn.many) load();
  else for (const way of svg.querySelectorAll(".way")) {
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
  const besides = [graph.calls_from, drawn.many && "Point at a service, or find it by its name, to see its own arrows."];
  byId("graph-words").textContent = [text, ...besides].filter(Boolean).join(" ");
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
  for (const svg of byId("graph").querySelectorAll("svg")) {
    svg.setAttribute("width", drawn.size.width * drawn.zoom);
    svg.setAttribute("height", drawn.size.height * drawn.zoom);
  }
  const isFar = drawn.many && drawn.zoom < FAR;
  byId("graph").classList.toggle("far", isFar);
  if (isFar === drawn.far) return;
  drawn.far = isFar;
  drawn.boxes.forEach(named);
  load();
}

/** As large as it has room for, and no larger than it was drawn. */
export function fit() {
  if (!drawn.size) return;
  const room = byId("graph").clientWidth;
  const least = drawn.many ? FIT_MIN_MANY : FIT_MIN;
  if (room > 0) zoom(Math.min(1.15, Math.max(room / drawn.size.width, least)), true);
}
