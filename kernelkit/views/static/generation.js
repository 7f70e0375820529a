// One generation: tokens per second over time, the time to the first token, memory and communication per rank.

import { COLOURS, formatRate, formatSeconds, grouped, html, onWidth, set, svg } from "./kit.js";
import { drawPanels } from "./generation_panels.js";
import { layout, nearest, scales, step } from "./generation_geometry.js";
import { ground, keys, marks, rule } from "./generation_marks.js";

export function draw(el, scene, options = {}) {
  const view = { scene, alt: options.alt, at: -1, width: 0 };
  const title = html("div", { class: "kk-title" });
  const chart = html("div", { class: "kk-chart", style: { flex: "none" } });
  const panels = html("div", { class: "kk-panels", style: { flex: "none", display: "flex" } });
  const detail = html("div", { class: "kk-detail" });
  const body = html("div", { style: { display: "flex" } }, chart, panels);
  el.classList.add("kk-generation");
  el.append(html("style", {}, STYLE), title, body, detail);
  const parts = skeleton(view, detail);
  chart.append(parts.root, parts.legend);

  const redraw = () => {
    const place = layout(view.width, view.scene.ranks.length);
    body.style.setProperty("flex-direction", place.beside ? "row" : "column");
    body.style.setProperty("gap", place.beside ? `${place.gap}px` : "12px");
    panels.style.setProperty("flex-direction", place.beside || place.stacked ? "column" : "row");
    panels.style.setProperty("gap", place.beside || place.stacked ? "14px" : `${place.gap}px`);
    title.textContent = view.scene.title;
    drawChart(parts, view, place);
    drawPanels(panels, view.scene, place.panel.width);
  };
  const stop = onWidth(el, (width) => {
    view.width = Math.max(300, width - 8); // less what kit.js pads
    redraw();
  });
  return {
    update(next, alt) {
      view.alt = alt ?? view.alt;
      view.scene = next;
      view.at = Math.min(view.at, next.points.length - 1);
      redraw();
    },
    destroy() {
      stop();
      el.replaceChildren();
    },
  };
}

/** What stays while scenes come and go, so that the focus does too. */
function skeleton(view, detail) {
  const layers = ["kk-ground", "kk-marks", "kk-looked-at"].map((name) => svg("g", { class: name }));
  const slider = svg("rect", { class: "kk-slider", tabindex: 0, role: "slider", style: { fill: "transparent" } });
  const root = svg("svg", { class: "kk-course", role: "group" }, ...layers, slider);
  const parts = { root, layers, slider, detail, legend: html("div", { class: "kk-legend kk-soft" }) };
  const look = (at) => {
    view.at = at;
    drawLook(parts, view);
  };
  slider.onkeydown = (event) => {
    const at = event.key === "Escape" ? -1 : step(event.key, view.at, view.scene.points.length);
    if (at !== null) {
      event.preventDefault();
      event.stopPropagation(); // the notebook would move to another cell
      look(at);
    }
  };
  slider.onpointermove = (event) => {
    look(nearest(view.scene.points, event.clientX - root.getBoundingClientRect().left, parts.scale.x));
  };
  slider.onpointerleave = () => look(-1);
  return parts;
}

function drawChart(parts, view, place) {
  const { scene } = view;
  const { box } = place;
  const scale = scales(scene, box);
  Object.assign(parts, { scale, box });
  const { root, layers, slider, legend } = parts;
  setAll(root, { ...place.chart, "aria-label": view.alt ?? scene.title });
  layers[0].replaceChildren(...ground(scene, scale, box));
  layers[1].replaceChildren(...marks(scene, scale, box));
  setAll(slider, { x: box.left, y: box.top, width: box.right - box.left, height: box.bottom - box.top });
  legend.style.setProperty("padding-left", `${box.left}px`);
  legend.replaceChildren(...keys(scene));
  drawLook(parts, view);
}

/** The token that is looked at: ringed, and told in the panel below and to a screen reader. */
function drawLook({ layers, slider, scale, box, detail }, view) {
  const { points } = view.scene;
  const point = points[view.at];
  const words = point ? spoken(points, view.at, view.scene) : HINT;
  detail.textContent = points.length ? words : "";
  detail.classList.toggle("kk-soft", !point);
  const [tokens, time, rate] = point ?? [0, 0, null];
  setAll(slider, {
    "aria-label": "token by token",
    "aria-valuemin": points[0]?.[0] ?? 0,
    "aria-valuemax": points.at(-1)?.[0] ?? 0,
    "aria-valuenow": tokens,
    "aria-valuetext": words,
  });
  if (!point) {
    layers[2].replaceChildren();
    return;
  }
  const x = scale.x(time);
  const thin = { stroke: "var(--kk-ink)", "stroke-width": 1, opacity: 0.5 };
  layers[2].replaceChildren(rule(x, box.top, x, box.bottom, thin));
  if (rate !== null) {
    const ring = { fill: "var(--kk-paper)", stroke: COLOURS.vermillion, "stroke-width": 2.5 };
    layers[2].append(svg("circle", { class: "kk-ring", cx: x, cy: scale.y(rate), r: 5.5, style: ring }));
  }
}

function spoken(points, at, scene) {
  const [tokens, time, rate, smooth] = points[at];
  const [own, all] = [tokens, scene.tokens].map(grouped);
  const after = time.toLocaleString("en-US", { maximumFractionDigits: 3 }); // in seconds, as the axis has it
  const place = `token ${own} of ${all}, ${after} s after the call`;
  if (at === 0 || rate === null) {
    return at === 0 ? `${place}: the first` : place;
  }
  const count = tokens - points[at - 1][0];
  const since = `${formatSeconds(count / rate)} ${count === 1 ? "after the one before" : `for ${count} tokens`}`;
  return `${place}: ${since}, ${formatRate(rate, "tokens")}; ${formatRate(smooth, "tokens")} around it`;
}

function setAll(element, attributes) {
  Object.entries(attributes).forEach(([name, value]) => set(element, name, value));
}

const HINT = "Point at the curve for a token's time and rate, or focus it and use the arrow keys.";

const STYLE = `
.kk-generation .kk-slider { cursor: crosshair; }
.kk-generation .kk-smooth, .kk-generation .kk-seam { fill: none; stroke-linejoin: round; }
.kk-generation .kk-smooth { stroke: ${COLOURS.blue}; stroke-width: 2.2; }
.kk-generation .kk-smooth { stroke: color-mix(in srgb, ${COLOURS.blue} 55%, var(--kk-ink)); }
.kk-generation .kk-seam { stroke: var(--kk-paper); stroke-width: 4; }
.kk-generation .kk-legend { display: flex; flex-wrap: wrap; gap: 0 18px; }
.kk-generation .kk-legend span { align-items: center; display: inline-flex; gap: 5px; }
.kk-generation .kk-head { font-weight: 600; margin-bottom: 2px; }
`;
