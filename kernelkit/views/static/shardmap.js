// The shard map: an overview of every layer of every rank, the chosen layer magnified, and a matrix in detail.

import { html, onWidth, set, svg } from "./kit.js";
import { legend, patternPrefix, patterns } from "./shardmap_paint.js";
import { allHeights, cellOf, columnsOf, fullBytes } from "./shardmap_geometry.js";
import { overview } from "./shardmap_marks.js";
import { layerLayout } from "./shardmap_layer_geometry.js";
import { cellLabel, overviewSvg } from "./shardmap_overview.js";
import { layerSvg } from "./shardmap_layer.js";
import { detail } from "./shardmap_detail.js";
import { placesFor } from "./shardmap_places.js";
import { STYLE } from "./shardmap_style.js";

const LEAST_WIDTH = 320;
// By key: rows down, ranks to the right.
const STEPS = {
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
  PageUp: [-8, 0],
  PageDown: [8, 0],
};

/** Fill `el`; see `mount.js`. What was chosen stays chosen when it is drawn anew. */
export function draw(el, scene, options = {}) {
  const view = new View(el, scene, options.alt ?? "");
  const stop = onWidth(el, (width) => view.lay(width));
  return {
    update: (next, alt) => view.show(next, alt),
    destroy: () => {
      stop();
      el.replaceChildren();
    },
  };
}

class View {
  constructor(el, scene, alt) {
    this.el = el;
    this.alt = alt;
    this.scene = scene;
    this.prefix = patternPrefix();
    this.pinned = firstChoice(scene.maps[0]);
    this.width = 0;
  }

  show(scene, alt) {
    this.alt = alt ?? this.alt;
    this.el.querySelector(".kk-shards")?.setAttribute("aria-label", this.alt);
    const changed = JSON.stringify(scene) !== JSON.stringify(this.scene);
    this.scene = scene;
    if (!scene.maps[this.pinned.map]) {
      this.pinned = firstChoice(scene.maps[0]);
    }
    if (changed && this.width) {
      this.lay(this.width);
    }
  }

  /** Draw everything for this width. */
  lay(width) {
    this.width = Math.max(width, LEAST_WIDTH);
    const { maps } = this.scene;
    const places = placesFor(maps.length, this.width - 10);
    const heights = allHeights(maps);
    const most = Math.max(...maps.flatMap((map) => map.ranks.map((rank) => rank.size_bytes)), 1);
    const headerLines = Math.max(...maps.flatMap((map) => columnsOf(map, places.map).map((c) => c.lines.length)));
    this.places = places;
    const layouts = (floor) => maps.map((map, i) => overview(map, { width: places.map, heights: heights[i],
      full: fullBytes(maps, map.strategy), headerLines, most, floor }));
    this.layouts = layouts(0);
    if (places.across > 1) {
      this.layouts = layouts(Math.max(...this.layouts.map((layout) => layout.bottom)));
    }
    this.overviews = maps.map((map, index) => this.overviewOf(map, index));
    this.layer = html("div", { class: "kk-shards-magnified", style: { width: `${places.layer}px` } });
    this.panel = html("div", { class: "kk-detail", "aria-live": "polite", style: { width: `${places.panel}px` } });
    this.el.replaceChildren(
      html("style", {}, STYLE),
      html("div", { class: `kk-shards kk-shards-${places.way}`, role: "group", "aria-label": this.alt },
        html("div", { class: "kk-shards-maps" }, ...this.overviews.map((each) => each.box),
          legend(maps, `${this.prefix}-legend`)),
        html("div", { class: "kk-shards-chosen-layer" }, this.layer, this.panel)),
      svg("svg", { width: 0, height: 0, "aria-hidden": "true", style: { position: "absolute" } },
        patterns(`${this.prefix}-legend`)),
    );
    this.choose(this.pinned);
  }

  overviewOf(map, index) {
    const layout = this.layouts[index];
    const drawing = overviewSvg(layout, `${this.prefix}-${index}`, `${map.title}: layers down, ranks across`);
    const at = (event) => this.choiceAt(index, event);
    drawing.onpointermove = (event) => {
      const choice = at(event);
      if (choice) {
        this.choose(choice);
      }
    };
    drawing.onpointerleave = () => this.choose(this.pinned);
    drawing.onclick = (event) => this.pin(at(event));
    drawing.onkeydown = (event) => this.step(index, event);
    drawing.addEventListener("focusin", (event) => this.pin(at(event))); // there is no onfocusin
    const notes = [map.planned ? "planned" : "real", map.quantization, map.dtype].filter(Boolean);
    const title = html("div", { class: "kk-title" }, map.title,
      ...notes.map((note) => html("span", { class: "kk-shards-note" }, note)));
    return { drawing, box: html("div", { class: "kk-shards-map", "data-map": index }, title, drawing) };
  }

  /** What a pointer or the focus is on: a cell, and under a pointer the matrix there. */
  choiceAt(index, event) {
    const cell = event.target.closest?.(".kk-cell");
    if (!cell) {
      return null;
    }
    const [row, rank] = [Number(cell.dataset.row), Number(cell.dataset.rank)];
    const layout = this.layouts[index];
    const x = event.clientX === undefined ? -1
      : event.clientX - this.overviews[index].drawing.getBoundingClientRect().left - layout.columns[rank].x;
    const under = cellOf(layout, layout.rows[row], rank)?.segments.find((s) => s.x <= x && x < s.x + s.width);
    return { map: index, row, rank, module: under?.module ?? this.chosen?.module ?? null };
  }

  step(index, event) {
    const cell = event.target.closest?.(".kk-cell");
    const edge = { Home: 0, End: this.scene.maps[index].ranks.length - 1 }[event.key];
    const move = STEPS[event.key];
    if (!cell || (!move && edge === undefined)) {
      return;
    }
    event.preventDefault();
    event.stopPropagation(); // the notebook has its own meaning for arrows
    const { rows, columns } = this.layouts[index];
    const within = (number, count) => Math.max(0, Math.min(count - 1, number));
    const row = within(Number(cell.dataset.row) + (move ? move[0] : 0), rows.length);
    const rank = edge ?? within(Number(cell.dataset.rank) + move[1], columns.length);
    this.cell({ map: index, row, rank }).focus();
  }

  cell({ map, row, rank }) {
    return this.overviews[map].drawing.querySelector(`.kk-cell[data-row="${row}"][data-rank="${rank}"]`);
  }

  pin(choice) {
    if (choice) {
      this.pinned = choice;
      this.choose(choice);
    }
  }

  /** Show a choice: its frame in the overview, its layer magnified, its matrix in the panel. */
  choose(choice) {
    const layout = this.layouts[choice.map];
    const row = layout.rows[Math.min(choice.row, layout.rows.length - 1)];
    const rank = Math.min(choice.rank, layout.columns.length - 1);
    const matrix = row.matrices.find((each) => each.module === choice.module)
      ?? row.matrices.find((each) => each.group !== "small") ?? row.matrices[0];
    const next = { map: choice.map, row: row.id, rank, module: matrix?.module, layout };
    const same = this.chosen && Object.keys(next).every((name) => next[name] === this.chosen[name]);
    if (same || !matrix) {
      return;
    }
    this.chosen = next;
    this.frame(choice.map, row, rank);
    this.magnify(choice.map, row, rank, matrix);
  }

  frame(index, row, rank) {
    this.overviews.forEach(({ drawing }, i) => {
      const column = this.layouts[i].columns[rank];
      const box = drawing.querySelector(".kk-shards-chosen");
      set(box, "visibility", i === index ? "visible" : "hidden");
      if (i === index) {
        const sides = { x: column.x - 3, y: row.y - 2, width: column.width + 6, height: row.height + 4 };
        Object.entries(sides).forEach(([name, value]) => set(box, name, value));
      }
      drawing.querySelector('.kk-cell[tabindex="0"]')?.setAttribute("tabindex", "-1");
    });
    const current = this.layouts[index].rows.indexOf(row);
    this.overviews.forEach((_, i) => this.cell({ map: i, row: i === index ? current : 0, rank: i === index ? rank : 0 })
      .setAttribute("tabindex", "0"));
  }

  magnify(index, row, rank, matrix) {
    const map = this.scene.maps[index];
    const { layer: width, layerHeight: maxHeight } = this.places;
    const layout = layerLayout(row.matrices, { width, maxHeight, owner: row.owner });
    const label = cellLabel(row, rank);
    const drawing = layerSvg(layout, `${this.prefix}-layer`, { rank, module: matrix.module }, label);
    const change = (event, focus) => {
      const module = event.target.closest?.(".kk-segment")?.dataset.module;
      if (module && module !== this.chosen.module) {
        this.pinned = { map: index, row: this.layouts[index].rows.indexOf(row), rank, module };
        this.choose(this.pinned);
        if (focus) {
          this.layer.querySelector('.kk-segment[tabindex="0"]')?.focus();
        }
      }
    };
    drawing.onclick = (event) => change(event, false);
    drawing.onpointerover = (event) => change(event, false);
    drawing.onkeydown = (event) => this.stepMatrix(event, layout, change);
    const several = this.scene.maps.length > 1 ? `${map.title}: ` : "";
    const way = " y = x W: inputs down, outputs across";
    const title = html("div", { class: "kk-title" }, `${several}${label}`,
      row.layer === null ? null : html("span", { class: "kk-shards-way-of-drawing" }, way));
    this.layer.replaceChildren(title, drawing);
    this.panel.replaceChildren(detail(map, row, matrix, rank, `${this.prefix}-detail`));
  }

  stepMatrix(event, layout, change) {
    const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (step) {
      event.preventDefault();
      event.stopPropagation();
      const now = layout.blocks.findIndex((block) => block.module === this.chosen.module);
      const next = layout.blocks[(now + step + layout.blocks.length) % layout.blocks.length];
      const target = this.layer.querySelector(`.kk-segment[data-module="${CSS.escape(next.module)}"]`);
      change({ target }, true);
    }
  }
}

/** A layer in the middle, on the last rank: where the padding is, if there is any. */
function firstChoice(map) {
  const rank = map.owners ? map.owners[Math.floor(map.layers.length / 2)] ?? 0 : map.ranks.length - 1;
  return { map: 0, row: Math.floor(map.layers.length / 2) + (map.before.length ? 1 : 0), rank, module: null };
}
