// The curve of one direction: times or rates over message size, the model fitted to them, nominal rates.

import { formatBytes, formatSeconds, html, svg } from "./kit.js";
import { axes, curve, formatSize, linksOf, modelAt } from "./links_geometry.js";
import { nominalAt, nominalsOf, pointOf, seriesOf } from "./links_geometry.js";
import { key, means, over } from "./links_key.js";
import { lineOf, marker, nominalLine } from "./links_marks.js";

const HINT =
  "Bars: from the fastest to nine of ten. Point at a mark, or use the arrow keys, for its figures.";
const MARGIN = { left: 62, right: 14, top: 20, bottom: 40 };

/** Fill `place` with the plot of the direction `view.pair` and `legend` with its key. */
export function drawCurve(place, legend, view, { width, height }) {
  const { scene, show } = view;
  const [sender, receiver] = view.pair;
  const host = (rank) => scene.ranks.find((one) => one.rank === rank)?.host ?? "";
  const series = seriesOf(scene, sender, receiver);
  const links = linksOf(scene, sender, receiver).map(({ link }) => link);
  const nominals = nominalsOf(links);
  const box = {
    left: MARGIN.left,
    top: MARGIN.top,
    width: width - MARGIN.left - MARGIN.right,
    height: height - MARGIN.top - MARGIN.bottom,
  };
  const scales = axes(series, nominals, show, box);
  const title = `rank ${sender} → rank ${receiver}`;
  const what = show === "latency" ? "time of one message" : "bandwidth";
  place.append(
    html(
      "div",
      { class: "kk-pair" },
      html("b", {}, title),
      html("span", { class: "kk-soft" }, `  ${host(sender)} → ${host(receiver)}`),
    ),
  );
  const readout = html("div", { class: "kk-readout kk-soft", "aria-live": "polite" }, HINT);
  if (scales) {
    const plot = frame(scales, box, { width, height, show, title, what });
    place.append(plot.root, readout);
    nominals.forEach((one, i) => drawNominal(plot.inside, one, i, scales, view));
    // Plain TCP below, so that MLX's smaller marks show inside its hollow ones.
    [...series]
      .sort((one, other) => Number(other.tcp) - Number(one.tcp))
      .forEach((one) => drawSeries(plot.inside, one, scales, show));
    follow(plot, series, scales, view, readout);
    legend.append(...key(series, nominals, view));
  } else {
    place.append(html("div", { class: "kk-none" }, "not measured"));
  }
}

function frame(scales, box, { width, height, show, title, what }) {
  const spoken = `${title}: ${what} over message size. Arrow keys go from point to point.`;
  const root = svg("svg", {
    class: "kk-curve",
    width,
    height,
    role: "group",
    tabindex: 0,
    "aria-label": spoken,
  });
  const { left, top } = box;
  const [right, bottom] = [left + box.width, top + box.height];
  const rule = { stroke: "var(--kk-line)", "stroke-width": 1, opacity: 0.5 };
  for (const size of scales.xTicks) {
    const x = scales.x(size);
    root.append(svg("line", { x1: x, x2: x, y1: top, y2: bottom, style: rule }));
    root.append(
      svg("text", { x, y: bottom + 15, "text-anchor": "middle", "font-size": 11 }, formatSize(size)),
    );
  }
  for (const value of scales.yTicks) {
    const y = scales.y(value);
    root.append(svg("line", { x1: left, x2: right, y1: y, y2: y, style: rule }));
    const text = show === "latency" ? formatSeconds(value) : `${formatBytes(value)}/s`;
    root.append(svg("text", { x: left - 6, y: y + 4, "text-anchor": "end", "font-size": 11 }, text));
  }
  root.append(
    svg("rect", {
      x: left,
      y: top,
      width: box.width,
      height: box.height,
      style: { fill: "none", stroke: "var(--kk-line)" },
    }),
  );
  root.append(
    svg(
      "text",
      { x: left + box.width / 2, y: bottom + 33, "text-anchor": "middle", "font-size": 11, class: "kk-soft" },
      "size of one message",
    ),
  );
  root.append(svg("text", { x: left, y: top - 7, "font-size": 11, class: "kk-soft" }, what));
  // An inner svg shows nothing outside itself, so lines may run on.
  const clip = svg("svg", {
    x: left,
    y: top,
    width: box.width,
    height: box.height,
    viewBox: `${left} ${top} ${box.width} ${box.height}`,
  });
  root.append(clip);
  return { root, inside: clip, box };
}

function drawSeries(inside, one, scales, show) {
  const style = lineOf(one);
  const group = svg("g", { class: "kk-series", dataset: { by: one.flow.by, link: one.nth } });
  group.append(line((size) => modelAt(one.flow, size, show), scales, style));
  for (const sample of one.flow.samples) {
    const point = pointOf(sample, show);
    const x = scales.x(point.size);
    const [y1, y2] = [scales.y(point.best), scales.y(point.worst)];
    group.append(
      svg("path", {
        class: "kk-bar90",
        d: `M${x} ${y1}V${y2}M${x - 3} ${y2}h6`,
        style: { stroke: style.stroke, "stroke-width": 1.5, fill: "none" },
      }),
    );
    group.append(marker(x, scales.y(point.value), one));
  }
  inside.append(group);
}

/** Dashed, each rate in its own way; where it lies flat it is named on the spot. */
function drawNominal(inside, { rate }, nth, scales, { show }) {
  inside.append(line((size) => nominalAt(rate, size, show), scales, nominalLine(nth)));
  if (show !== "latency") {
    const attributes = {
      class: "kk-soft",
      "font-size": 11,
      x: scales.x(scales.sizes[0]) + 8,
      y: scales.y(rate) + 13,
    };
    inside.append(svg("text", attributes, `nominal ${formatBytes(rate)}/s`));
  }
}

function line(valueAt, scales, style) {
  const points = curve(valueAt, scales).map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`);
  return svg("polyline", { points: points.join(" "), style: { fill: "none", ...style } });
}

/** The pointer's nearest point, or the one that arrow keys lead to, is ringed and read out. */
function follow({ root, inside }, series, scales, view, readout) {
  const ring = svg("circle", {
    r: 8,
    style: { fill: "none", stroke: "var(--kk-ink)", "stroke-width": 2, display: "none" },
  });
  inside.append(ring);
  const points = series.map((one) =>
    one.flow.samples.map((sample) => ({ one, ...pointOf(sample, view.show) })),
  );
  const at = { row: 0, column: -1 };
  const showPoint = () => {
    const point = points[at.row][at.column];
    ring.setAttribute("cx", scales.x(point.size));
    ring.setAttribute("cy", scales.y(point.value));
    ring.style.setProperty("display", "inline");
    readout.textContent = words(point, view);
  };
  root.onkeydown = (event) => {
    const [down, right] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[
      event.key
    ] ?? [0, 0];
    if (down || right) {
      event.preventDefault();
      event.stopPropagation();
      at.row = (at.row + down + points.length) % points.length;
      at.column = Math.max(0, Math.min(points[at.row].length - 1, at.column + right));
      showPoint();
    }
  };
  root.onpointermove = (event) => {
    const frame = root.getBoundingClientRect();
    const [x, y] = [event.clientX - frame.left, event.clientY - frame.top];
    let least = 40 ** 2;
    points.forEach((row, i) =>
      row.forEach((point, j) => {
        const distance = (scales.x(point.size) - x) ** 2 + (scales.y(point.value) - y) ** 2;
        if (distance < least) {
          least = distance;
          Object.assign(at, { row: i, column: j });
        }
      }),
    );
    if (least < 40 ** 2) {
      showPoint();
    }
  };
}

function words(point, view) {
  const rate = `${formatBytes(point.size / point.seconds)}/s`;
  const [best, worst] = [point.best, point.worst].map((value) =>
    formatSeconds(view.show === "latency" ? value : point.size / value),
  );
  return (
    `${formatSize(point.size)} by ${means(point.one, view)} over ${over(point.one.link, view)}: ` +
    `${formatSeconds(point.seconds)} (${rate}); the fastest ${best}, nine of ten within ${worst}`
  );
}
