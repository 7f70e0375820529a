// The heat map: a cell for each direction between two ranks, its scale, and what hatching and the sign mean.

import { hatch } from "./common_geometry.js";
import { svg } from "./kit.js";
import { isPair, neighbour } from "./links_geometry.js";
import { inkOn, ramp } from "./ramp.js";

const ARROWS = ["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"];

/** An svg of the matrix; choosing a cell sets `view.pair` and has the whole drawn anew. */
export function drawMatrix(view, place) {
  const { scene } = view;
  const { left, top, size, cell } = place;
  const scale = scene.scales[view.show];
  const shown = view.show === "latency" ? "Latency" : "Bandwidth";
  const root = svg("svg", {
    class: "kk-matrix",
    width: place.matrix.width,
    height: place.matrix.height,
    role: "group",
    "aria-label": view.alt,
    style: { flex: "none" },
  });
  root.append(
    label(scale ? `${shown}, ${scale.unit}` : shown, { class: "kk-unit", x: 0, y: 13, "font-weight": 600 }),
    label("to rank", { x: left + size / 2, y: top - 28, "text-anchor": "middle", class: "kk-soft" }),
    label("from rank", { x: 0, y: top - 9, class: "kk-soft" }),
  );
  scene.ranks.forEach(({ rank, host }, i) => {
    const middle = i * cell + cell / 2;
    root.append(
      label(String(rank), {
        x: left + middle,
        y: top - 9,
        "text-anchor": "middle",
        class: "kk-label",
        "font-weight": 600,
      }),
      label(String(rank), { x: 2, y: top + middle + 4, class: "kk-label", "font-weight": 600 }),
      svg(
        "text",
        { x: 20, y: top + middle + 4, class: "kk-label kk-soft", "font-size": 11 },
        place.names[i],
        svg("title", {}, host),
      ),
    );
  });
  const order = scene.ranks.map(({ rank }) => rank);
  for (const entry of scene.cells) {
    const at = [order.indexOf(entry.sender), order.indexOf(entry.receiver)];
    root.append(
      drawCell(
        view,
        entry,
        { x: left + at[1] * cell, y: top + at[0] * cell, width: cell, height: cell },
        at,
        order,
      ),
    );
  }
  root.append(...drawScale(scale, view, { left, top: top + size + 14, width: Math.max(size, 170) }));
  // The chosen one lies above its neighbours, or they would cover its frame.
  const chosen = root.querySelector('.kk-cell[aria-pressed="true"]');
  if (chosen) {
    root.append(chosen);
  }
  return root;
}

function drawCell(view, entry, box, at, order) {
  const chosen = isPair(entry, view.pair);
  const figure = entry.figures[view.by]?.[view.show];
  const colour = figure ? ramp(figure.shade) : null;
  const ink = figure ? inkOn(colour) : "var(--kk-ink)";
  const choose = (sender, receiver, focus) => {
    view.pair = [sender, receiver];
    view.redraw(focus);
  };
  const cell = svg("g", {
    class: "kk-cell",
    dataset: { from: entry.sender, to: entry.receiver, ranks: `${entry.sender}-${entry.receiver}` },
    tabindex: chosen ? 0 : -1,
    role: "button",
    "aria-pressed": String(chosen),
    "aria-label": spoken(view, entry, figure),
    onclick: () => choose(entry.sender, entry.receiver, true),
    onkeydown: (event) => {
      if (ARROWS.includes(event.key)) {
        event.preventDefault();
        event.stopPropagation(); // the notebook would move to another cell
        const [row, column] = neighbour(order.length, at, event.key);
        choose(order[row], order[column], true);
      }
    },
  });
  cell.append(svg("title", {}, spoken(view, entry, figure)));
  const inner = { x: box.x + 1, y: box.y + 1, width: box.width - 2, height: box.height - 2 };
  cell.append(
    svg("rect", {
      ...inner,
      rx: 2,
      style: { fill: colour ?? "var(--kk-paper)", stroke: figure ? "none" : "var(--kk-line)" },
    }),
  );
  if (!figure) {
    cell.append(svg("path", { d: hatch(inner), style: { stroke: "var(--kk-line)", "stroke-width": 1 } }));
  } else {
    const small = figure.text.length * 7.4 > box.width - 4;
    cell.append(
      label(figure.text, {
        x: box.x + box.width / 2,
        y: box.y + box.height / 2 + 4,
        "text-anchor": "middle",
        "font-size": small ? 11 : 12.5,
        style: { fill: ink },
      }),
    );
    if (figure.low) {
      cell.append(lowSign(box.x + box.width - 9, box.y + 9, ink));
    }
  }
  if (chosen) {
    cell.append(
      svg("rect", { ...inner, rx: 2, style: { fill: "none", stroke: "var(--kk-ink)", "stroke-width": 3 } }),
      svg("rect", {
        x: box.x + 3.5,
        y: box.y + 3.5,
        width: box.width - 7,
        height: box.height - 7,
        style: { fill: "none", stroke: "var(--kk-paper)", "stroke-width": 1.5 },
      }),
    );
  }
  return cell;
}

function spoken(view, entry, figure) {
  const host = (rank) => view.scene.ranks.find((one) => one.rank === rank)?.host ?? "";
  const [from, to] = [entry.sender, entry.receiver].map((rank) => `rank ${rank} (${host(rank)})`);
  const value = figure ? `${view.show} ${figure.text} ${view.scene.scales[view.show].unit}` : "not measured";
  return [`${from} to ${to}: ${value}${figure?.low ? ", low" : ""}`, ...entry.words].join(". ");
}

/** The scale, slow at the left; then what hatching and the sign mean. */
function drawScale(scale, view, { left, top, width }) {
  const parts = [];
  if (scale) {
    const steps = 48;
    for (let i = 0; i < steps; i += 1) {
      parts.push(
        svg("rect", {
          x: left + (i * width) / steps,
          y: top,
          width: width / steps + 0.6,
          height: 9,
          style: { fill: ramp((i + 0.5) / steps) },
        }),
      );
    }
    const anchors = { 0: "start", 0.5: "middle", 1: "end" };
    for (const { shade, text } of scale.ticks) {
      const words = { 0: `${text} slow`, 0.5: text, 1: `fast ${text}` }[shade];
      parts.push(
        label(words, {
          x: left + shade * width,
          y: top + 21,
          "text-anchor": anchors[shade],
          "font-size": 11,
        }),
      );
    }
  }
  const row = top + 38;
  let at = left;
  const shown = (entry) => entry.figures[view.by]?.[view.show];
  if (view.scene.cells.some((entry) => !shown(entry))) {
    const box = { x: at, y: row - 9, width: 14, height: 11 };
    parts.push(svg("rect", { ...box, style: { fill: "none", stroke: "var(--kk-line)" } }));
    parts.push(svg("path", { d: hatch(box, 5), style: { stroke: "var(--kk-line)" } }));
    parts.push(label("not measured", { x: at + 19, y: row, "font-size": 11 }));
    at += 104;
  }
  if (view.scene.cells.some((entry) => shown(entry)?.low)) {
    parts.push(
      lowSign(at + 5, row - 4, "var(--kk-ink)"),
      label("low, see below", { x: at + 14, y: row, "font-size": 11 }),
    );
  }
  return parts;
}

function lowSign(x, y, ink) {
  return svg("path", { class: "kk-low", d: `M${x - 5} ${y - 4}h10l-5 8z`, style: { fill: ink } });
}

function label(text, attributes) {
  return svg("text", { "font-size": 12, ...attributes }, text);
}
