// The link matrix: a heat map of what links carry and, of the chosen direction, the curve behind its figure.

import { COLOURS, html, onWidth } from "./kit.js";
import { drawCurve } from "./links_curve.js";
import { isPair, layout } from "./links_geometry.js";
import { drawMatrix } from "./links_matrix.js";

export function draw(el, scene, options = {}) {
  const view = {
    scene,
    alt: options.alt ?? scene.title,
    show: scene.show,
    by: scene.by[0] ?? "mlx",
    pair: first(scene),
  };
  const bar = html("div", { class: "kk-bar", style: { ...ROW, "margin-bottom": "10px" } });
  const body = html("div", { style: { ...ROW, "align-items": "flex-start", gap: "28px" } });
  const under = html("div");
  const said = html("ul", {
    class: "kk-sentences",
    "aria-label": "what stands out",
    style: { margin: "8px 0 0", padding: "0", "list-style": "none" },
  });
  el.classList.add("kk-links");
  el.append(html("style", {}, STYLE), bar, body, under, said);
  view.width = 0;
  view.redraw = (focus = false) => {
    drawBar(bar, view);
    drawBody(body, under, view);
    drawSentences(said, view);
    if (focus) {
      body.querySelector('.kk-cell[tabindex="0"]')?.focus();
    }
  };
  const stop = onWidth(el, (width) => {
    view.width = Math.max(320, width - 8); // less what kit.js pads
    view.redraw();
  });
  return {
    update(next, alt) {
      view.alt = alt ?? view.alt;
      Object.assign(view, { scene: next, pair: hasPair(next, view.pair) ? view.pair : first(next) });
      view.by = next.by.includes(view.by) ? view.by : (next.by[0] ?? "mlx");
      view.redraw();
    },
    destroy() {
      stop();
      el.replaceChildren();
    },
  };
}

function first(scene) {
  return scene.slowest ?? (scene.cells.length ? [scene.cells[0].sender, scene.cells[0].receiver] : null);
}

function hasPair(scene, pair) {
  return pair !== null && scene.cells.some((cell) => isPair(cell, pair));
}

function drawBar(bar, view) {
  const { scene } = view;
  const choose = (field, value, label, known) =>
    html(
      "button",
      {
        type: "button",
        "aria-pressed": String(view[field] === value),
        disabled: known ? null : "",
        dataset: { [field]: value },
        onclick: () => {
          view[field] = value;
          view.redraw();
          bar.querySelector(`[data-${field}="${value}"]`).focus();
        },
      },
      label,
    );
  const group = (label, ...buttons) =>
    html(
      "span",
      { role: "group", "aria-label": label, style: { display: "inline-flex", gap: "4px" } },
      ...buttons,
    );
  bar.replaceChildren(
    html(
      "div",
      { class: "kk-title", style: { width: "100%" } },
      scene.title,
      html("span", { class: "kk-soft kk-when" }, `  ${scene.when}`),
    ),
    group(
      "what the cells show",
      choose("show", "bandwidth", "Bandwidth", "bandwidth" in scene.scales),
      choose("show", "latency", "Latency", "latency" in scene.scales),
    ),
    group(
      "measured by",
      choose("by", "mlx", `MLX (${scene.backend})`, scene.by.includes("mlx")),
      choose("by", "tcp", "Plain TCP", scene.by.includes("tcp")),
    ),
  );
}

function drawBody(body, under, view) {
  const place = layout(view.scene.ranks, view.width);
  const matrix = drawMatrix(view, place);
  body.style.setProperty("flex-direction", place.beside ? "row" : "column");
  const plot = html("div", { class: "kk-plot", style: { width: `${place.plot.width}px`, "min-width": "0" } });
  const legend = html("div", { class: "kk-detail" });
  if (view.pair) {
    drawCurve(plot, legend, view, place.plot);
  }
  // The key needs more width than a narrow plot has: it then takes the whole.
  const wide = place.plot.width > 620;
  under.replaceChildren();
  (wide ? plot : under).append(legend);
  body.replaceChildren(matrix, plot);
}

function drawSentences(list, view) {
  const cell = view.scene.cells.find((entry) => isPair(entry, view.pair));
  const mine = new Set(cell?.words ?? []);
  const others = [...mine].filter((text) => !view.scene.sentences.includes(text));
  list.replaceChildren(
    ...[...others, ...view.scene.sentences].map((text) =>
      html("li", { class: "kk-sentence", dataset: { mine: String(mine.has(text)) } }, text),
    ),
  );
}

const ROW = { display: "flex", "flex-wrap": "wrap", gap: "4px 16px", "align-items": "baseline" };

const STYLE = `
.kk-links .kk-cell { cursor: pointer; }
.kk-links .kk-key { min-width: 36px; }
.kk-links .kk-name, .kk-links .kk-fit, .kk-links th { white-space: nowrap; }
.kk-links .kk-none {
  border: 1px dashed var(--kk-line); border-radius: 4px; color: var(--kk-soft); margin-top: 8px; padding: 48px 0;
  text-align: center;
}
.kk-links .kk-when { font-weight: 400; white-space: pre; }
.kk-links .kk-sentence { border-left: 3px solid var(--kk-line); margin: 2px 0; padding: 0 0 0 8px; }
.kk-links .kk-sentence[data-mine="true"] { border-left-color: ${COLOURS.vermillion}; font-weight: 600; }
`;
