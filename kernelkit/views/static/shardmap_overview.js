// Draw the overview of one map: every layer of every rank, in few elements, so that 128 x 8 cells paint at once.

import { COLOURS, formatBytes, svg } from "./kit.js";
import { cellOf, heldBytes, runsOf } from "./shardmap_geometry.js";
import { LOOKS, THIN, fillOf, patterns } from "./shardmap_paint.js";
import { FONT, LINE } from "./shardmap_text.js";

/** An SVG of the layout of `overview`; `prefix` names its patterns. */
export function overviewSvg(layout, prefix, label) {
  return svg(
    "svg",
    { class: "kk-shards-overview", width: layout.width, height: layout.height, role: "group", "aria-label": label },
    patterns(prefix, { period: periodOf(layout.pitch), offset: layout.rows.find((row) => row.layer !== null)?.y ?? 0 }),
    tracks(layout),
    headers(layout),
    names(layout),
    fills(layout, prefix),
    badges(layout),
    bands(layout),
    bars(layout, prefix),
    cells(layout),
    svg("rect", { class: "kk-shards-chosen", "pointer-events": "none", fill: "none" }),
  );
}

/** Lines of a hatch so far apart that a whole number of them falls on each layer. */
function periodOf(pitch) {
  return [4, 5, 6, pitch].find((each) => pitch % each === 0);
}

/** The empty columns: where nothing is drawn, the rank holds nothing. */
function tracks(layout) {
  const top = layout.rows[0]?.y ?? layout.top;
  return svg("g", { class: "kk-shards-tracks" }, ...layout.columns.map((column) =>
    svg("rect", { x: column.x - 2, y: top - 2, width: column.width + 4, height: layout.bottom - top + 4, rx: 2 })));
}

function headers(layout) {
  return svg("g", { "text-anchor": "middle" }, ...layout.columns.flatMap((column) => {
    return column.lines.map((line, index) =>
      svg("text", { class: index ? "kk-label" : "kk-label kk-shards-rank", x: column.x + column.width / 2,
        y: (index + 1) * LINE - 2, "font-size": FONT }, line));
  }));
}

function names(layout) {
  return svg("g", { "text-anchor": "end" }, ...layout.names.map((name) =>
    svg("text", { class: "kk-label kk-soft", x: name.x, y: name.y + 4, "font-size": FONT }, name.text)));
}

const boxPath = (x, y, width, height) => `M${round(x)} ${round(y)}h${round(width)}v${round(height)}h${round(-width)}z`;

function round(number) {
  return Math.round(number * 100) / 100;
}

/** One path per look for all cells together; others part the matrices and the layers. */
function fills(layout, prefix) {
  const paths = { matrices: [], layers: [] };
  for (const run of runsOf(layout)) {
    for (const column of layout.columns) {
      const cell = cellOf(layout, run.rows[0], column.rank);
      if (cell) {
        addCell(paths, cell, { x: column.x, y: run.y, height: run.height });
        const end = Math.max(...cell.segments.map((part) => part.x + part.width));
        const line = (row) => `M${round(column.x)} ${round(row.y - layout.gap / 2)}h${round(end)}`;
        paths.layers.push(...run.rows.slice(1).map(line));
      }
    }
  }
  const shapes = Object.keys(LOOKS).flatMap((look) => [
    paths[look] ? svg("path", { class: `kk-shards-fill kk-shards-${look}`, d: paths[look].join(""),
      fill: fillOf(prefix, look), stroke: look === "replicated" ? LOOKS.replicated.colour : null, "stroke-width": 0.6 })
      : null,
    paths[`thin ${look}`] ? svg("path", { d: paths[`thin ${look}`].join(""), fill: LOOKS[look].colour }) : null,
  ]);
  return svg("g", { "pointer-events": "none" }, ...shapes,
    svg("path", { class: "kk-shards-matrices", d: paths.matrices.join("") }),
    svg("path", { class: "kk-shards-layers", d: paths.layers.join(""), "stroke-width": layout.gap }),
    ...breaks(layout));
}

function addCell(paths, cell, { x, y, height }) {
  const add = (look, path) => (paths[look] ??= []).push(path);
  for (const part of cell.segments) {
    let left = x + part.x;
    const own = part.width - part.repeated - part.padding;
    for (const [look, width] of [[part.cut, own], ["repeated", part.repeated], ["padding", part.padding]]) {
      if (width > 1e-6) {
        add(look === part.cut || width >= THIN ? look : `thin ${look}`, boxPath(left, y, width, height));
      }
      left += width;
    }
    if (part.width > 3 && !part.small) {
      add("matrices", `M${round(x + part.x + part.width)} ${round(y)}v${round(height)}`);
    }
  }
}

/** A zigzag across cells that hold more than is drawn. */
function breaks(layout) {
  const isBroken = (row) => (column) => cellOf(layout, row, column.rank)?.broken;
  return layout.rows.flatMap((row) => layout.columns.filter(isBroken(row)).map((column) => {
    const middle = column.x + layout.cellWidth / 2;
    const teeth = [...Array(Math.ceil(row.height / 8)).keys()].map((i) => `l${i % 2 ? -5 : 5} 8`).join("");
    return svg("svg", { x: middle - 8, y: row.y, width: 16, height: row.height },
      svg("path", { class: "kk-shards-break", d: `M6 0${teeth}` }));
  }));
}

function badges(layout) {
  return svg("g", {}, ...layout.badges.flatMap((badge) => [
    svg("path", { class: "kk-shards-bracket", d: `M${badge.x - 4} ${badge.y + 0.5}h4v${badge.height - 1}h-4` }),
    badge.labelled
      ? svg("text", { class: "kk-label kk-soft", x: badge.x + 5, y: badge.y + badge.height / 2 + 4, "font-size": FONT },
          badge.text)
      : null,
  ]));
}

/** What can be pointed at and reached by keyboard: one transparent box per rank and row. */
function cells(layout) {
  // Many and alike: copies are made faster than each for itself.
  const first = svg("rect", { class: "kk-cell", tabindex: -1, role: "img", width: layout.columns[0].width + 4 });
  const group = svg("g");
  const held = {}; // words by content and rank
  layout.rows.forEach((row, index) => {
    first.setAttribute("data-layer", row.id);
    first.setAttribute("data-row", index);
    first.setAttribute("y", row.y - 0.5);
    first.setAttribute("height", row.height + 1);
    for (const { rank, x } of layout.columns) {
      const words = (held[`${row.content} ${row.owner} ${rank}`] ??= heldWords(row, rank));
      const box = first.cloneNode(false);
      box.setAttribute("data-rank", rank);
      box.setAttribute("x", x - 2);
      box.setAttribute("aria-label", `${row.name}, rank ${rank}: ${words}`);
      group.append(box);
    }
  });
  return group;
}

function heldWords(row, rank) {
  const bytes = heldBytes(row, rank);
  return bytes ? formatBytes(bytes) : "nothing";
}

/** `"layer 3, rank 1: 1.2 MB"`. */
export function cellLabel(row, rank) {
  return `${row.name}, rank ${rank}: ${heldWords(row, rank)}`;
}

/** The numbers of a band's layers on it, and the way from band to band; the bytes of the rows at the ends. */
function bands(layout) {
  const ways = layout.bands.filter((band) => band.next !== null).map((band) => {
    const next = layout.columns[band.next];
    const end = band.y + band.height;
    const [from, to] = next.x < layout.columns[band.rank].x ? [band.x - 3, next.x + next.width - 12]
      : [band.x + band.width + 9, next.x + 8];
    return svg("path", { class: "kk-shards-way", d: `M${from} ${end - 6}H${to}v6m-3 -4l3 4l3 -4` });
  });
  const labels = layout.bands.filter((band) => band.labelled).map((band) => ({ text: band.text,
    x: band.x + band.width / 2, y: band.y + band.height / 2 }));
  const texts = [...labels, ...layout.sizes].map((label) =>
    svg("text", { class: "kk-label kk-shards-on", x: label.x, y: label.y + 4, "font-size": FONT }, label.text));
  return svg("g", { "text-anchor": "middle" }, ...ways, ...texts);
}

function bars(layout, prefix) {
  const all = layout.bars.flatMap((bar) => [
    ...bar.parts.map((part) =>
      svg("rect", { class: "kk-shards-bar", x: part.x, y: part.y, width: part.width, height: part.height,
        fill: `url(#${prefix}-${part.cut})`, stroke: LOOKS[part.cut].colour, "stroke-width": 0.6 })),
    svg("text", { class: "kk-label", x: bar.x + bar.width / 2, y: bar.y - 4, "font-size": FONT },
      formatBytes(bar.bytes)),
    ...bar.notes.map((note, index) =>
      svg("text", { class: "kk-label kk-soft", x: bar.x + bar.width / 2, y: layout.baseline + (index + 1) * LINE,
        "font-size": FONT }, note)),
  ]);
  const { x: last, width } = layout.columns[layout.columns.length - 1];
  const end = last + width + 4;
  const line = svg("line", { x1: layout.columns[0].x - 4, x2: end, y1: layout.baseline, y2: layout.baseline,
    stroke: COLOURS.grey });
  const name = svg("text", { class: "kk-label kk-soft", x: layout.columns[0].x - 8, y: layout.baseline - 2,
    "font-size": FONT, "text-anchor": "end" }, "bytes");
  return svg("g", { "text-anchor": "middle" }, line, name, ...all);
}
