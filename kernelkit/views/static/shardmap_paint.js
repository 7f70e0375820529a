// How each way to hold a part looks: a colour and a hatch of its own, the same in overview, layer, detail and legend.

import { COLOURS, html, svg } from "./kit.js";

/** Every look, in the order of the legend. */
export const LOOKS = {
  column: { words: "cut by column", colour: COLOURS.blue },
  row: { words: "cut by row", colour: COLOURS.orange },
  whole: { words: "whole, on one rank", colour: COLOURS.green },
  replicated: { words: "replicated: all of it on every rank", colour: COLOURS.grey },
  padding: { words: "padding with zeros", colour: COLOURS.purple },
  repeated: { words: "KV heads repeated", colour: COLOURS.sky },
};
export const THIN = 3; // px: thinner parts are too thin for a hatch

let drawings = 0;

/** A name for one drawing's patterns that no other drawing on the page has, from whatever copy of this module. */
export function patternPrefix() {
  drawings += 1;
  return `kk-shards-${Math.random().toString(36).slice(2, 8)}-${drawings}`;
}

/**
 * The hatches, to be named `url(#prefix-look)`.
 *
 * @param period of the horizontal lines, in px, and `offset` where one begins: thin rows get one line each.
 */
export function patterns(prefix, { period = 5, offset = 0 } = {}) {
  const paper = { fill: "var(--kk-paper)" };
  const light = { stroke: "var(--kk-paper)", opacity: "0.5" };
  const made = (look, size, attributes, ...children) =>
    svg("pattern", { id: `${prefix}-${look}`, patternUnits: "userSpaceOnUse", ...size, ...attributes }, ...children);
  const filled = (look, size) => svg("rect", { ...size, fill: LOOKS[look].colour });
  const rows = { width: 8, height: period };
  const squares = { width: 5, height: 5 };
  return svg(
    "defs",
    {},
    made("column", squares, {}, filled("column", squares),
      svg("line", { x1: 2.5, x2: 2.5, y1: 0, y2: 5, "stroke-width": 1, style: light })),
    made("row", rows, { y: offset }, filled("row", rows),
      svg("line", { x1: 0, x2: 8, y1: 1.5, y2: 1.5, "stroke-width": 1, style: light })),
    made("whole", squares, {}, filled("whole", squares)),
    made("replicated", { width: 4, height: 4 }, {}, svg("rect", { width: 4, height: 4, style: paper }),
      svg("rect", { width: 4, height: 4, fill: LOOKS.replicated.colour, opacity: 0.28 }),
      svg("circle", { cx: 2, cy: 2, r: 0.9, fill: LOOKS.replicated.colour })),
    made("padding", squares, { patternTransform: "rotate(45)" }, svg("rect", { ...squares, style: paper }),
      svg("line", { x1: 1.5, x2: 1.5, y1: 0, y2: 5, "stroke-width": 2.2, stroke: LOOKS.padding.colour })),
    made("repeated", squares, { patternTransform: "rotate(45)" }, filled("repeated", squares),
      svg("path", { d: "M2.5 0v5M0 2.5h5", "stroke-width": 1, fill: "none", style: { ...light, opacity: "0.8" } })),
  );
}

/** What fills a part whose shorter side is `size` px. */
export function fillOf(prefix, look, size = THIN) {
  return size < THIN ? LOOKS[look].colour : `url(#${prefix}-${look})`;
}

/** The legend of what occurs in these maps, and of the scale. */
export function legend(maps, prefix) {
  const used = new Set(maps.flatMap((map) => [...map.kinds.flat(), ...map.before, ...map.after].map((m) => m.cut)));
  maps.flatMap((map) => map.added ?? []).forEach((what) => used.add(what));
  const looks = Object.keys(LOOKS).filter((look) => used.has(look));
  const swatch = (look) =>
    svg("svg", { width: 26, height: 14, "aria-hidden": "true" },
      svg("rect", { x: 0.5, y: 0.5, width: 25, height: 13, fill: `url(#${prefix}-${look})`,
        stroke: LOOKS[look].colour, "stroke-dasharray": look === "replicated" ? "3 2" : null }));
  return html("div", { class: "kk-shards-legend" },
    ...looks.map((look) => html("span", {}, swatch(look), LOOKS[look].words)));
}
