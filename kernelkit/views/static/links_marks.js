// How lines and points look: a colour and a shape for each link, filled or hollow by what measured it.

import { COLOURS, svg } from "./kit.js";

const INKS = ["blue", "orange", "green", "purple", "vermillion", "sky"].map((name) => COLOURS[name]);
const DOTTED = { "stroke-dasharray": "1 5", "stroke-linecap": "round" };

/** The style of the line of a series: dotted for plain TCP. */
export function lineOf({ nth, tcp }) {
  return { stroke: INKS[nth % INKS.length], "stroke-width": 2, ...(tcp ? DOTTED : {}) };
}

/** The style of the line of the `nth` nominal rate: dashed, each in its own way. */
export function nominalLine(nth) {
  return {
    stroke: "var(--kk-soft)",
    "stroke-width": 1.5,
    "stroke-dasharray": ["7 5", "14 4", "3 3"][nth % 3],
  };
}

/** A shape for each link, filled for MLX and hollow for plain TCP: neither needs the colour. */
export function marker(x, y, { nth, tcp }) {
  const r = tcp ? 4.5 : 3.5;
  const shapes = [
    `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0z`,
    `M${x} ${y - r - 1}l${r + 1} ${r + 1}l${-r - 1} ${r + 1}l${-r - 1} ${-r - 1}z`,
    `M${x} ${y - r - 1}l${r + 1} ${2 * r}h${-2 * r - 2}z`,
    `M${x - r} ${y - r}h${2 * r}v${2 * r}h${-2 * r}z`,
  ];
  const ink = INKS[nth % INKS.length];
  return svg("path", {
    class: "kk-point",
    d: shapes[nth % shapes.length],
    style: { fill: tcp ? "var(--kk-paper)" : ink, stroke: ink, "stroke-width": 1.5 },
  });
}

/** The line and the marker of a series, or of the nominal rate, as its key in the table. */
export function sign(one, nth = 0) {
  const style = one ? lineOf(one) : nominalLine(nth);
  return svg(
    "svg",
    { width: 34, height: 12, "aria-hidden": "true" },
    svg("line", { x1: 0, x2: 34, y1: 6, y2: 6, style }),
    one ? marker(17, 6, one) : null,
  );
}
