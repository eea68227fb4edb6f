// Arrows: the curves of some, and bundles of very many, at which nobody can point.

import { s } from "./dom.js";

/** More arrows than this are drawn in bundles. */
export const EACH_MAX = 300;
/** How many are in one: few enough that a part of the graph is drawn without the rest. */
const BUNDLE = 48;

/** A curve through points. */
export function curve(points, down) {
  const [first, ...rest] = points;
  let path = `M${first.x} ${first.y}`;
  let last = first;
  for (const point of rest) {
    const bend = down
      ? `${last.x} ${(last.y + point.y) / 2} ${point.x} ${(last.y + point.y) / 2}`
      : `${(last.x + point.x) / 2} ${last.y} ${(last.x + point.x) / 2} ${point.y}`;
    path += `C${bend} ${point.x} ${point.y}`;
    last = point;
  }
  return path;
}

/** Ways from side to side, whatever is between. Nodes by their ids. */
export function straight(edges, nodes, places, down) {
  const [along, size] = down ? ["y", "height"] : ["x", "width"];
  const known = edges.filter(({ from, to }) => from !== to && nodes.has(from) && nodes.has(to));
  return known.map(({ from, to }) => {
    const [a, b] = [places.get(from), places.get(to)];
    const sign = a[along] <= b[along] ? 1 : -1;
    const side = (place, id, towards) => ({ ...place, [along]: place[along] + (towards * nodes.get(id)[size]) / 2 });
    return { from, to, points: [side(a, from, sign), side(b, to, -sign)] };
  });
}

/** Neighbours in a bundle. */
export function bundles(ways, down) {
  const [along, across] = down ? ["y", "x"] : ["x", "y"];
  const near = (way) => way.points[0][across] + way.points[1][across];
  const sorted = [...ways].sort((a, b) => a.points[0][along] - b.points[0][along] || near(a) - near(b));
  const paths = [];
  for (let at = 0; at < sorted.length; at += BUNDLE) {
    const d = sorted.slice(at, at + BUNDLE).map((way) => curve(way.points, down)).join("");
    paths.push(s("path", { class: "bundle", d }));
  }
  return paths;
}
