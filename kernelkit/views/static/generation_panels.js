// Bars per rank beside a generation's chart: the most memory at once, and the time inside collectives.

import { COLOURS, html, svg } from "./kit.js";
import { bars } from "./generation_geometry.js";

const REST = { fill: COLOURS.grey, opacity: 0.35 };

/** Fill `place` with the panels of the scene; a generation that still runs has none. */
export function drawPanels(place, scene, width) {
  if (!scene.ranks.length) {
    place.replaceChildren();
    return;
  }
  place.replaceChildren(memory(scene.ranks, width), communication(scene, width));
}

function memory(ranks, width) {
  const drawn = bars(ranks.map((one) => [one.peak_memory_bytes]), ranks.map((one) => one.peak), width);
  return panel("kk-memory", "Peak memory per rank", width, [
    chart("Peak memory", ranks, drawn, width, (one) => one.peak, ({ parts: [bar], y, height }) => [
      svg("rect", { x: bar.x, y, width: bar.width, height, style: { fill: COLOURS.green } }),
    ]),
  ]);
}

function communication(scene, width) {
  const head = "Time in communication per rank";
  if (!scene.recorded) {
    return panel("kk-communication", head, width, [html("div", { class: "kk-soft" }, scene.communication)]);
  }
  const { ranks } = scene;
  const words = (one) => one.share_words;
  const drawn = bars(ranks.map((one) => [one.share, 1 - one.share]), ranks.map(words), width);
  const told = chart("Time in communication", ranks, drawn, width, words, ({ parts: [inside, rest], y, height }) => [
    svg("rect", { x: rest.x, y, width: rest.width, height, style: REST }),
    ...striped({ x: inside.x, y, width: inside.width, height }),
  ]);
  const legend = html("div", { class: "kk-legend kk-soft" },
    key(striped({ x: 0, y: 0, width: 22, height: 11 }), "in collectives, waiting for others included"),
    key([svg("rect", { width: 22, height: 11, style: REST })], "computing, and all else"),
  );
  return panel("kk-communication", head, width, [told, legend]);
}

function panel(name, head, width, children) {
  const title = html("div", { class: "kk-head" }, head);
  return html("div", { class: name, style: { width: `${width}px` } }, title, ...children);
}

function chart(what, ranks, { height, rows }, width, words, drawRow) {
  const alt = `${what}: ${ranks.map((one) => `rank ${one.rank} ${words(one)}`).join("; ")}`;
  const root = svg("svg", { width, height, role: "img", "aria-label": alt });
  rows.forEach((row, i) => {
    const one = ranks[i];
    root.append(
      svg("g", { class: "kk-bar", dataset: { rank: one.rank } },
        text(`rank ${one.rank}`, { x: 0, y: row.middle + 4 }),
        ...drawRow(row),
        text(words(one), { class: "kk-label", x: row.label, y: row.middle + 4 }),
      ),
    );
  });
  return root;
}

/** Orange with strokes across, so that it is known without its colour. */
function striped({ x, y, width, height }) {
  let strokes = "";
  for (let at = -height; at < width; at += 5) {
    const from = Math.max(0, at);
    const to = Math.min(width, at + height);
    if (to > from) {
      strokes += `M${x + from} ${y + height - (from - at)}L${x + to} ${y + height - (to - at)}`;
    }
  }
  return [
    svg("rect", { class: "kk-inside", x, y, width, height, style: { fill: COLOURS.orange } }),
    svg("path", { d: strokes, style: { stroke: "var(--kk-paper)", "stroke-width": 1, opacity: 0.7 } }),
  ];
}

function key(drawn, words) {
  return html("span", {}, svg("svg", { width: 22, height: 11, "aria-hidden": "true" }, ...drawn), words);
}

function text(words, attributes) {
  return svg("text", { "font-size": 11, ...attributes }, words);
}
