// Places the nodes of a directed graph in layers. Pure: sizes and edges in, places out.
//
// Cycles are cut where a walk comes back; where there are very many edges, a walk goes astray, and those are turned that
// lead back in an order of all nodes. A node's layer is the longest way to it; edges over several layers
// get a way-point in each; the order within a layer follows the neighbours' (barycentres), then places do. Where there
// are very many edges, way-points would take more room than nodes: `direct` has none.

const SWEEPS = 8;
const GAP = 18;
const LAYER_GAP = 64;
const GRID_GAP = 16;

/**
 * Nodes `{id, width, height}`, edges `{from, to}`. With `down` layers follow each other downwards, else to the right.
 * Returns `{places: Map(id → {x, y}), ways: [{from, to, points}], width, height}`; a way's points run from
 * `from` to `to`.
 */
export function layout(nodes, edges, { down = false, aspect = 1.6, direct = false } = {}) {
  const known = new Map(nodes.map((node) => [node.id, node]));
  const sound = edges.filter((edge) => edge.from !== edge.to && known.has(edge.from) && known.has(edge.to));
  const linked = new Set(sound.flatMap((edge) => [edge.from, edge.to]));
  const inGraph = nodes.filter((node) => linked.has(node.id));
  const alone = nodes.filter((node) => !linked.has(node.id));
  const main = layered(inGraph, sound, { down, direct });
  const below = grid(alone, main, aspect);
  for (const [id, place] of below.places) main.places.set(id, place);
  return {
    places: main.places,
    ways: main.ways,
    width: Math.max(main.width, below.width),
    height: below.height,
  };
}

function layered(nodes, edges, { down, direct }) {
  if (nodes.length === 0) return { places: new Map(), ways: [], width: 0, height: 0 };
  const forward = turned(edges, direct ? againstOrder(nodes, edges) : comingBack(nodes, edges));
  const depth = depths(nodes, forward);
  const items = new Map(nodes.map((node) => [node.id, item(node, depth.get(node.id), down)]));
  const chains = forward.map((edge) => chain(edge, direct ? undefined : depth, items));
  const layers = order([...items.values()], chains);
  spread(layers, items);
  return placed(layers, items, chains, down);
}

/** What is placed: `size` along the layer, `thick` across it. */
function item(node, depth, down) {
  const [size, thick] = down ? [node.width, node.height] : [node.height, node.width];
  return { id: node.id, depth, size, thick, at: 0, before: [], after: [] };
}

const keyOf = (edge) => `${edge.from}\n${edge.to}`;

/** The edges with these of them turned round. */
const turned = (edges, back) =>
  edges.map((edge) => (back.has(keyOf(edge)) ? { from: edge.to, to: edge.from, turned: true } : { ...edge, turned: false }));

/** Those that lead back in an order of nodes in which few do. Source: Eades, Lin and Smyth, 1993. */
function againstOrder(nodes, edges) {
  const left = new Map(nodes.map((node) => [node.id, { callers: [], called: [], in: 0, out: 0 }]));
  for (const { from, to } of edges) {
    left.get(from).called.push(to);
    left.get(from).out += 1;
    left.get(to).callers.push(from);
    left.get(to).in += 1;
  }
  const [first, last] = [[], []];
  while (left.size > 0) {
    let best;
    for (const [id, one] of left) {
      const score = one.in === 0 || one.out === 0 ? Infinity : one.out - one.in;
      if (best === undefined || score > best.score) best = { id, one, score };
    }
    const { id, one } = best;
    left.delete(id);
    for (const to of one.called) if (left.has(to)) left.get(to).in -= 1;
    for (const from of one.callers) if (left.has(from)) left.get(from).out -= 1;
    if (one.out === 0) last.unshift(id);
    else first.push(id);
  }
  const rank = new Map([...first, ...last].map((id, at) => [id, at]));
  return new Set(edges.filter(({ from, to }) => rank.get(from) > rank.get(to)).map(keyOf));
}

/** Those that close a cycle on a walk. */
function comingBack(nodes, edges) {
  const next = new Map(nodes.map((node) => [node.id, []]));
  for (const edge of edges) next.get(edge.from).push(edge.to);
  const seen = new Map();
  const back = new Set();
  for (const node of nodes) {
    if (seen.has(node.id)) continue;
    seen.set(node.id, "open");
    const walk = [[node.id, 0]];
    while (walk.length > 0) {
      const top = walk[walk.length - 1];
      const to = next.get(top[0])[top[1]++];
      if (to === undefined) {
        seen.set(top[0], "done");
        walk.pop();
      } else if (!seen.has(to)) {
        seen.set(to, "open");
        walk.push([to, 0]);
      } else if (seen.get(to) === "open") {
        back.add(keyOf({ from: top[0], to }));
      }
    }
  }
  return back;
}

function depths(nodes, edges) {
  const incoming = new Map(nodes.map((node) => [node.id, 0]));
  const next = new Map(nodes.map((node) => [node.id, []]));
  for (const edge of edges) {
    incoming.set(edge.to, incoming.get(edge.to) + 1);
    next.get(edge.from).push(edge.to);
  }
  const depth = new Map(nodes.map((node) => [node.id, 0]));
  const ready = nodes.filter((node) => incoming.get(node.id) === 0).map((node) => node.id);
  for (let at = 0; at < ready.length; at += 1) {
    for (const to of next.get(ready[at])) {
      depth.set(to, Math.max(depth.get(to), depth.get(ready[at]) + 1));
      incoming.set(to, incoming.get(to) - 1);
      if (incoming.get(to) === 0) ready.push(to);
    }
  }
  return depth;
}

/** An edge as the items it runs through, way-points made where it passes a layer; none without depths. */
function chain(edge, depth, items) {
  const ids = [edge.from];
  for (let at = depth?.get(edge.from) + 1; at < depth?.get(edge.to); at += 1) {
    const id = `${edge.from}\n${edge.to}\n${at}`;
    if (!items.has(id)) items.set(id, { id, depth: at, size: 4, thick: 0, at: 0, before: [], after: [] });
    ids.push(id);
  }
  ids.push(edge.to);
  for (let at = 1; at < ids.length; at += 1) {
    items.get(ids[at - 1]).after.push(ids[at]);
    items.get(ids[at]).before.push(ids[at - 1]);
  }
  return { edge, ids };
}

function order(all) {
  const layers = [];
  for (const one of all) (layers[one.depth] ??= []).push(one);
  const rank = new Map();
  const renumber = (layer) => layer.forEach((one, at) => rank.set(one.id, at));
  layers.forEach(renumber);
  const mean = (ids, otherwise) =>
    (ids.length === 0 ? otherwise : ids.reduce((sum, id) => sum + rank.get(id), 0) / ids.length);
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    const isDown = sweep % 2 === 0;
    for (const layer of isDown ? layers : [...layers].reverse()) {
      const wanted = new Map(layer.map((one, at) => [one.id, mean(isDown ? one.before : one.after, at)]));
      layer.sort((a, b) => wanted.get(a.id) - wanted.get(b.id));
      renumber(layer);
    }
  }
  return layers;
}

/** Gives every item its middle along its layer: near its neighbours, none over another. */
function spread(layers, items) {
  for (const layer of layers) {
    let at = 0;
    for (const one of layer) {
      one.at = at + one.size / 2;
      at += one.size + GAP;
    }
  }
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    for (const layer of sweep % 2 === 0 ? layers : [...layers].reverse()) {
      const wanted = layer.map((one) => {
        const near = [...one.before, ...one.after];
        return near.length === 0 ? one.at : near.reduce((sum, id) => sum + items.get(id).at, 0) / near.length;
      });
      settle(layer, wanted);
    }
  }
}

/** Puts a layer's items as near as may be to where they are wanted: blocks that touch move as one. */
function settle(layer, wanted) {
  const blocks = [];
  layer.forEach((one, at) => {
    // Within a block every item has its distance from the block's start.
    let block = { items: [{ one, offset: 0 }], sum: wanted[at], start: wanted[at], length: 0 };
    while (blocks.length > 0) {
      const last = blocks[blocks.length - 1];
      const lastItem = last.items[last.items.length - 1];
      const room = (lastItem.one.size + block.items[0].one.size) / 2 + GAP;
      if (last.start + lastItem.offset + room <= block.start) break;
      const shift = lastItem.offset + room;
      const items = [...last.items, ...block.items.map((entry) => ({ one: entry.one, offset: entry.offset + shift }))];
      const sum = last.sum + block.sum - shift * block.items.length;
      block = { items, sum, start: sum / items.length };
      blocks.pop();
    }
    blocks.push(block);
  });
  for (const block of blocks) for (const { one, offset } of block.items) one.at = block.start + offset;
}

function placed(layers, items, chains, down) {
  const all = [...items.values()];
  const first = Math.min(...all.map((one) => one.at - one.size / 2));
  const last = Math.max(...all.map((one) => one.at + one.size / 2));
  let across = 0;
  for (const layer of layers) {
    const thick = Math.max(...layer.map((one) => one.thick));
    for (const one of layer) one.across = across + thick / 2;
    across += thick + LAYER_GAP;
  }
  const point = (along, over) => (down ? { x: along - first, y: over } : { x: over, y: along - first });
  const places = new Map(all.map((one) => [one.id, point(one.at, one.across)]));
  const ways = chains.map(({ edge, ids }) => {
    const middle = ids.slice(1, -1).map((id) => places.get(id));
    const [start, end] = [items.get(ids[0]), items.get(ids[ids.length - 1])];
    const points = [
      point(start.at, start.across + start.thick / 2), ...middle, point(end.at, end.across - end.thick / 2),
    ];
    return edge.turned ? { from: edge.to, to: edge.from, points: points.reverse() } : { ...edge, points };
  });
  const [along, over] = [last - first, across - LAYER_GAP];
  return { places, ways, width: down ? along : over, height: down ? over : along };
}

/** Nodes without any edge, in rows below the rest. */
function grid(nodes, main, aspect) {
  const top = main.height === 0 ? 0 : main.height + LAYER_GAP;
  const area = nodes.reduce((sum, node) => sum + (node.width + GRID_GAP) * (node.height + GRID_GAP), 0);
  const limit = Math.max(main.width, Math.sqrt(area * aspect));
  const places = new Map();
  let [x, y, tall, width] = [0, top, 0, 0];
  for (const node of nodes) {
    if (x > 0 && x + node.width > limit) {
      [x, y, tall] = [0, y + tall + GRID_GAP, 0];
    }
    places.set(node.id, { x: x + node.width / 2, y: y + node.height / 2 });
    width = Math.max(width, x + node.width);
    tall = Math.max(tall, node.height);
    x += node.width + GRID_GAP;
  }
  return { places, width, height: nodes.length === 0 ? main.height : y + tall };
}
