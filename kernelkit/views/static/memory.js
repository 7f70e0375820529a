// The memory of each rank: a bar of weights, KV cache, others' use and what is free, and a slider.

import { COLOURS, html, onWidth } from "./kit.js";
import { layout } from "./memory_geometry.js";
import { drawBars, rowId } from "./memory_bars.js";
import { THUMB, drawSlider } from "./memory_slider.js";
import { beyond, lacking, limitWords, spoken } from "./memory_words.js";

export function draw(el, scene, options = {}) {
  const view = { scene, context: scene.context, width: 0, chosen: null, alt: options.alt ?? scene.title };
  const head = html("div", { class: "kk-title" });
  const slider = html("div", { class: "kk-slider" });
  const drawing = html("div", { style: { "overflow-x": "auto" } });
  const words = html("div", { class: "kk-words", "aria-live": "polite" });
  const detail = html("div", { class: "kk-detail" });
  el.classList.add("kk-memory");
  el.append(html("style", {}, STYLE), head, slider, drawing, words, detail);
  view.bars = () => {
    drawing.replaceChildren(drawBars(view));
    drawWords(words, view);
    drawDetail(detail, view);
  };
  view.all = () => {
    head.textContent = view.scene.title;
    drawSlider(slider, view);
    view.bars();
  };
  const stop = onWidth(el, (width) => {
    view.width = Math.max(320, width - 8); // less what kit.js pads
    view.all();
  });
  return {
    update(next, alt) {
      view.alt = alt ?? view.alt;
      const same = sliderOf(next) === sliderOf(view.scene) && next.title === view.scene.title;
      view.scene = next;
      view.context = Math.min(view.context, next.longest_context);
      // A slider that somebody holds stays.
      (same ? view.bars : view.all)();
    },
    destroy() {
      stop();
      el.replaceChildren();
    },
  };
}

function sliderOf({ kv_known, kv_words, longest_context, largest_context, fits_words, batch }) {
  return JSON.stringify([kv_known, kv_words, longest_context, largest_context, fits_words, batch]);
}

function drawWords(place, view) {
  const said = [...lacking(view.scene.groups, view.context), beyond(view.scene, view.context)];
  const lacks = said.filter(Boolean).map((text) => html("div", { class: "kk-lacks" }, text));
  place.replaceChildren(...lacks, html("div", { class: "kk-soft" }, limitWords(view.scene.groups)));
}

function drawDetail(place, view) {
  view.show = () => {
    const row = layout(view.scene, view.width).rows.find((one) => rowId(one) === view.chosen);
    place.textContent = row ? spoken(view.scene, row, view.context) : "";
  };
  view.show();
}

const STYLE = `
.kk-memory .kk-row { align-items: baseline; display: flex; flex-wrap: wrap; gap: 4px 16px; margin-bottom: 2px; }
.kk-memory .kk-slider { margin-bottom: 6px; }
.kk-memory .kk-rail { height: 40px; position: relative; }
.kk-memory .kk-rail input {
  appearance: none; background: none; height: ${THUMB}px; left: 0; margin: 0; padding: 0; position: absolute; top: 1px;
}
.kk-memory .kk-rail input::-webkit-slider-thumb {
  appearance: none; background: var(--kk-ink); border: 2px solid var(--kk-paper); border-radius: 50%;
  box-sizing: border-box; cursor: grab; height: ${THUMB}px; width: ${THUMB}px;
}
.kk-memory .kk-rail input::-moz-range-thumb {
  background: var(--kk-ink); border: 2px solid var(--kk-paper); border-radius: 50%;
  box-sizing: border-box; cursor: grab; height: ${THUMB}px; width: ${THUMB}px;
}
.kk-memory .kk-rail input:focus-visible { border-radius: 8px; outline: 2px solid ${COLOURS.blue}; outline-offset: 1px; }
.kk-memory .kk-context { display: inline-block; font-variant-numeric: tabular-nums; font-weight: 600; min-width: 7em; }
.kk-memory .kk-limit, .kk-memory .kk-limit-name { pointer-events: none; }
.kk-memory .kk-bar:focus-visible { outline-offset: -2px; }
.kk-memory .kk-bar:hover .kk-back, .kk-memory .kk-bar:focus-visible .kk-back { fill: var(--kk-panel); }
.kk-memory .kk-lacks { border-left: 3px solid ${COLOURS.vermillion}; font-weight: 600; padding-left: 8px; }
`;
