// Draw the chosen layer magnified: its matrices to scale, every rank's part, what is sent after which.

import { svg } from "./kit.js";
import { LOOKS, fillOf, patterns } from "./shardmap_paint.js";
import { FONT } from "./shardmap_text.js";

const ADDED = ["repeated", "padding"];

/**
 * An SVG of the layout of `layerLayout`.
 *
 * @param chosen `{rank, module}`: that rank's parts are drawn in full colour, that matrix is framed.
 */
export function layerSvg(layout, prefix, chosen, label) {
  return svg(
    "svg",
    { class: "kk-shards-layer", width: layout.width, height: layout.height, role: "group", "aria-label": label },
    patterns(prefix),
    ...layout.headings.map((heading) =>
      svg("text", { class: "kk-label kk-soft kk-shards-heading", x: heading.x, y: heading.y, "font-size": FONT },
        heading.text)),
    ...layout.blocks.map((block) => blockGroup(block, prefix, chosen)),
    ...layout.arrows.map((arrow) =>
      svg("path", { class: "kk-shards-way", d: `M${arrow.x} ${arrow.y}h${arrow.width}m-4 -3l4 3l-4 3` })),
    ...layout.marks.map((mark) => markGroup(mark)),
  );
}

function blockGroup(block, prefix, chosen) {
  const current = block.module === chosen.module;
  return svg(
    "g",
    { class: "kk-segment", "data-module": block.module, "data-cut": block.matrix.cut, tabindex: current ? 0 : -1,
      role: "img", "aria-label": `${block.name}, ${block.shape}, ${LOOKS[block.matrix.cut].words}` },
    // The whole slot answers to the pointer: a thin matrix would be hard to hit.
    svg("rect", { class: "kk-shards-slot", x: block.x - 5, y: block.top - 2, rx: 3,
      width: Math.max(block.width, block.textRight) + 10,
      height: block.labels + block.height + 7 }),
    svg("text", { class: "kk-label kk-shards-name", x: block.x, y: block.top + 11, "font-size": FONT }, block.name),
    block.badge ? badge(block) : null,
    svg("text", { class: "kk-label kk-soft", x: block.x, y: block.top + 25, "font-size": FONT }, block.shape),
    ...matrixParts(block, block.matrix.cut, prefix, chosen.rank),
  );
}

function badge(block) {
  const x = block.x + block.badge.x;
  return svg("g", { class: "kk-shards-badge" },
    svg("rect", { x, y: block.top - 0.5, width: block.badge.width, height: 14, rx: 3 }),
    svg("text", { x: x + block.badge.width / 2, y: block.top + 10.5, "font-size": FONT, "text-anchor": "middle" },
      block.badge.text));
}

/** A matrix: the ranks' parts, the chosen rank's in full colour, what was added in its looks, cuts, a frame. */
export function matrixParts(block, cut, prefix, rank) {
  const mine = block.stripes.some((stripe) => stripe.rank === rank);
  const whole = cut === "replicated" || cut === "whole";
  const parts = [];
  for (let i = Math.min(block.stack, 3) - 1; i > 0; i -= 1) {
    parts.push(svg("rect", { class: "kk-shards-behind", x: block.x + i * 3, y: block.y + i * 3, width: block.width,
      height: block.height }));
  }
  parts.push(svg("rect", { class: "kk-shards-paper", ...box(block) }));
  for (const stripe of whole ? block.stripes.slice(0, 1) : block.stripes) {
    const full = whole ? mine : stripe.rank === rank;
    parts.push(svg("rect", { class: full ? "kk-shards-mine" : "kk-shards-other", "data-rank": stripe.rank,
      ...(full ? visible(stripe, block) : box(stripe)),
      fill: `url(#${prefix}-${cut})`, opacity: full ? 1 : 0.22 }));
    for (const look of ADDED.filter((each) => stripe[each])) {
      const added = box(stripe[look]);
      parts.push(svg("rect", { class: `kk-shards-${look}`, ...added, opacity: full ? 1 : 0.45,
        fill: fillOf(prefix, look, Math.min(added.width, added.height)) }));
    }
  }
  for (const stripe of whole ? [] : block.stripes.slice(1)) {
    const across = stripe.height < block.height;
    const d = across ? `M${block.x} ${stripe.y}h${block.width}` : `M${stripe.x} ${block.y}v${block.height}`;
    const size = across ? stripe.height : stripe.width;
    if (size >= 3) {
      parts.push(svg("path", { class: size < 6 ? "kk-shards-cut kk-shards-thin" : "kk-shards-cut", d }));
    }
  }
  parts.push(svg("rect", { class: "kk-shards-frame", ...box(block), stroke: LOOKS[cut].colour,
    "stroke-dasharray": cut === "replicated" ? "4 2" : null }));
  const own = whole ? undefined : block.stripes.find((stripe) => stripe.rank === rank);
  if (own && Math.min(own.width, own.height) >= 4) {
    parts.push(svg("rect", { class: "kk-shards-own", ...box(own) }));
  }
  return [...parts, ...numbers(block, whole)];
}

/** The ranks' numbers in their stripes, beside what was added, where there is room. */
function numbers(block, whole) {
  if (whole || block.stripes.some((stripe) => stripe.width < 14 || stripe.height < 13)) {
    return [];
  }
  return block.stripes.map((stripe) => {
    const down = stripe.height < block.height;
    const added = (side) => ADDED.reduce((sum, look) => sum + (stripe[look]?.[side] ?? 0), 0);
    const width = stripe.width - (down ? 0 : added("width"));
    const height = stripe.height - (down ? added("height") : 0);
    const middle = width >= 12 && height >= 12 ? [width, height] : [stripe.width, stripe.height];
    return svg("text", { class: "kk-label kk-shards-on", x: stripe.x + middle[0] / 2, y: stripe.y + middle[1] / 2 + 4,
      "font-size": FONT, "text-anchor": "middle" }, String(stripe.rank));
  });
}

/** A stripe too thin to be seen, widened a little inside its matrix. */
function visible(stripe, block) {
  const width = Math.max(stripe.width, Math.min(2.5, block.width));
  const height = Math.max(stripe.height, Math.min(2.5, block.height));
  const x = Math.min(stripe.x, block.x + block.width - width);
  return { x, y: Math.min(stripe.y, block.y + block.height - height), width, height };
}

function box({ x, y, width, height }) {
  return { x, y, width, height };
}

/** The collective: a sum sign in a circle, and its name. */
function markGroup(mark) {
  const x = mark.x + 18;
  return svg("g", { class: "kk-shards-mark", "data-module": mark.module, "text-anchor": "middle" },
    svg("path", { class: "kk-shards-way", d: `M${mark.x + 2} ${mark.y}h5` }),
    svg("circle", { cx: x, cy: mark.y, r: 10 }),
    svg("text", { x, y: mark.y + 4, "font-size": 13 }, mark.text === "all_sum" ? "Σ" : "∪"),
    svg("text", { class: "kk-label", x: x + 6, y: mark.y + 24, "font-size": FONT }, mark.text));
}
