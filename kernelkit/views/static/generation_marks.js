// The layers of a generation's chart: axes, dots and lines, the moments that have a name, and what they mean.

import { COLOURS, html, svg } from "./kit.js";
import { paths, placeFlag } from "./generation_geometry.js";

const MANY = 150; // with more dots than this the smoothed line is drawn over them
const BESIDE = 98; // what stands right of the plot has so many pixels
const UNIT = 56; // the words "tokens/s" over the axis end before it
const BRIGHT = { stroke: COLOURS.sky, fill: COLOURS.sky, opacity: 0.8 };
const EDGE = { stroke: "var(--kk-line)" };

/** A straight line; `style` as in kit.js. */
export function rule(x1, y1, x2, y2, style, attributes = {}) {
  return svg("line", { ...attributes, x1, y1, x2, y2, style });
}

/** Axes, and the time of the prompt. */
export function ground(scene, scale, box) {
  const { left, right, top, bottom } = box;
  const promptEnd = scale.x(scene.first?.time_s ?? scene.elapsed_s);
  const prompt = { x: left, y: top, width: Math.max(0, promptEnd - left), height: bottom - top };
  const drawn = [svg("rect", { class: "kk-prompt", ...prompt, style: { fill: COLOURS.sky, opacity: 0.22 } })];
  for (const rate of scale.yTicks) {
    const y = scale.y(rate);
    drawn.push(rule(left, y, right, y, { ...EDGE, opacity: 0.45 }));
    drawn.push(label(rate.toLocaleString("en-US"), { x: left - 6, y: y + 4, "text-anchor": "end" }));
  }
  for (const time of scale.xTicks) {
    const x = scale.x(time);
    drawn.push(rule(x, bottom, x, bottom + 4, EDGE));
    drawn.push(label(time.toLocaleString("en-US"), { x, y: bottom + 16, "text-anchor": "middle" }));
  }
  if (scale.yTicks.length) {
    drawn.push(label("tokens/s", { class: "kk-soft", x: 0, y: top - 10 }));
  }
  const below = { class: "kk-soft", x: (left + right) / 2, y: bottom + 31, "text-anchor": "middle" };
  return [...drawn, rule(left, bottom, right, bottom, EDGE), label("seconds since the call", below)];
}

/** Dots, lines, and the moments that have a name. */
export function marks(scene, scale, box) {
  const { dots, above, line } = paths(scene.points, scale);
  const seen = [
    svg("path", { class: "kk-dots", d: dots, style: { ...BRIGHT, "stroke-width": 5, "stroke-linecap": "round" } }),
    svg("path", { class: "kk-above", d: above, style: { ...BRIGHT, stroke: "none" } }),
  ];
  const smooth = svg("path", { class: "kk-smooth", d: line });
  // Over many dots it lies on a seam of the paper's colour, or it would drown among them.
  const many = scene.points.length > MANY;
  const drawn = many ? [...seen, svg("path", { class: "kk-seam", d: line }), smooth] : [smooth, ...seen];
  return [...drawn, ...mean(scene, scale, box), ...flags(scene, scale, box)];
}

function mean(scene, scale, box) {
  if (!scene.first || !scene.mean.tokens_per_s || scene.top_tokens_per_s === null) {
    return [];
  }
  const y = scale.y(scene.mean.tokens_per_s);
  const [word, ...figure] = scene.mean.words.split(" ");
  const dashed = { stroke: "var(--kk-ink)", "stroke-width": 1.5, "stroke-dasharray": "6 4" };
  return [
    rule(scale.x(scene.first.time_s), y, box.right, y, dashed, { class: "kk-mean" }),
    label(word, { class: "kk-soft", x: box.right + 6, y: y - 3 }),
    label(figure.join(" "), { class: "kk-label", x: box.right + 6, y: y + 11, "font-weight": 600 }),
  ];
}

function flags(scene, scale, box) {
  const drawn = [];
  const flag = (of, time, lines, least, most) => {
    const x = scale.x(time);
    const at = placeFlag(x, lines, least, most);
    drawn.push(rule(x, 4, x, box.bottom, { stroke: "var(--kk-ink)" }));
    lines.forEach((words, i) => {
      const look = i === 0 ? { class: "kk-label", "font-weight": 600 } : { class: "kk-label kk-soft" };
      drawn.push(label(words, { ...look, dataset: { of }, x: at.x, y: 13 + 14 * i, "text-anchor": at.anchor }));
    });
  };
  const { first, points, running } = scene;
  if (first) {
    flag("first", first.time_s, [first.words, first.prompt], UNIT, running ? box.right + BESIDE : box.right - 4);
  }
  if (points.length && !running && box.right - box.left > 300) {
    flag("finish", points.at(-1)[1], [scene.finish], 0, box.right + BESIDE);
  }
  return drawn;
}

/** What dots and lines mean; of a generation without a rate, that it has none. */
export function keys(scene) {
  const rated = scene.points.filter(([, , rate]) => rate !== null);
  if (!rated.length) {
    return scene.points.length && !scene.running ? [html("span", {}, scene.mean.words)] : [];
  }
  const sign = (...drawn) => svg("svg", { width: 26, height: 12, "aria-hidden": "true" }, ...drawn);
  const dot = (x) => svg("circle", { cx: x, cy: 6, r: 2.5, style: { ...BRIGHT, stroke: "none" } });
  const items = [[sign(dot(5), dot(13), dot(21)), scene.dots]];
  if (rated.some(([, , rate]) => rate > scene.top_tokens_per_s)) {
    const triangle = svg("path", { d: "M13 2l4 7h-8z", style: { ...BRIGHT, stroke: "none" } });
    items.push([sign(triangle), "faster than the axis"]);
  }
  items.push([sign(svg("path", { class: "kk-smooth", d: "M1 6H25" })), scene.line]);
  items.push([sign(svg("rect", { width: 26, height: 12, style: { fill: COLOURS.sky, opacity: 0.35 } })), "prompt"]);
  return items.map(([drawn, words]) => html("span", {}, drawn, words));
}

function label(text, attributes) {
  return svg("text", { "font-size": 11, ...attributes }, text);
}
