// Where the parts of a link matrix go, and how a link's curve runs. No DOM here.

import { shortNames } from "./links_names.js";

const GAP = 28;
const LEAST_PLOT = 380;
const CELL = { least: 44, most: 68, mostWide: 80 };
const HEAD = 60; // what is shown, "to rank", and the numbers above the columns
const FOOT = 60; // the scale and its words below the rows

/** About as wide as the text will be, in pixels; a little more rather than less. */
export function textWidth(text, size = 12) {
  return 0.6 * size * text.length;
}

/**
 * The heat map and the plot: side by side where both have room, else one under the other.
 *
 * @param ranks `[{rank, host}]`.
 * @param width of all, in pixels.
 * @returns `{beside, cell, left, top, size, matrix: {width, height}, plot: {width, height}, names}`.
 */
export function layout(ranks, width) {
  const count = Math.max(1, ranks.length);
  const most = width < 400 ? 6 : width < 560 ? 10 : 18;
  const names = shortNames(
    ranks.map(({ host }) => host),
    (name) => name.length <= most,
  );
  const left = 34 + Math.max(24, ...names.map((name) => textWidth(name, 11)));
  const besideAt = Math.floor((width - GAP - LEAST_PLOT - left - 2) / count);
  const beside = besideAt >= CELL.least;
  const room = Math.floor((width - left - 2) / count);
  const cell = Math.max(
    30,
    Math.min(width > 1200 ? CELL.mostWide : CELL.most, beside ? Math.max(besideAt, CELL.least) : room),
  );
  const size = cell * count;
  // The scale under the cells needs a width of its own, however few they are.
  const matrix = { width: left + Math.max(size, 170) + 2, height: HEAD + size + FOOT };
  const plotWidth = beside ? Math.min(1000, width - matrix.width - GAP) : width;
  const plotHeight = Math.min(440, Math.max(300, beside ? matrix.height - 40 : 0, 0.4 * plotWidth));
  return {
    beside,
    cell,
    left,
    top: HEAD,
    size,
    matrix,
    names,
    plot: { width: plotWidth, height: plotHeight },
  };
}

/**
 * The cell that an arrow key leads to from `[row, column]`. The diagonal holds none and is stepped over; where nothing
 * lies beyond it, the key leads to the other way between the same two ranks.
 */
export function neighbour(count, [row, column], key) {
  const [down, right] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[
    key
  ] ?? [0, 0];
  const inside = (cell) => cell.every((i) => i >= 0 && i < count);
  const next = [row + down, column + right];
  if (!inside(next) || next[0] !== next[1]) {
    return inside(next) ? next : [row, column];
  }
  const beyond = [row + 2 * down, column + 2 * right];
  return inside(beyond) ? beyond : [column, row];
}

/**
 * What the plot of one direction shows: a series for each link of the pair and each means.
 *
 * @returns `[{flow, link, nth, tcp}]`; `nth` counts the pair's links, for colour and marker.
 */
export function seriesOf(scene, sender, receiver) {
  const mine = scene.flows.filter((flow) => flow.sender === sender && flow.receiver === receiver);
  const links = [...new Set(linksOf(scene, sender, receiver).map(({ index }) => index))];
  return mine.map((flow) => ({
    flow,
    link: scene.links[flow.link],
    nth: links.indexOf(flow.link),
    tcp: flow.by === "tcp",
  }));
}

/** Whether a cell is that of the pair, `[sender, receiver]` or null. */
export function isPair(cell, pair) {
  return pair !== null && cell.sender === pair[0] && cell.receiver === pair[1];
}

/** The links between two ranks, those in use first: `[{link, index}]`. */
export function linksOf(scene, sender, receiver) {
  return scene.links
    .map((link, index) => ({ link, index }))
    .filter(({ link }) => link.ranks.includes(sender) && link.ranks.includes(receiver))
    .sort((one, other) => Number(other.link.in_use) - Number(one.link.in_use));
}

/** Different nominal rates of the links: `[{rate, titles}]`. */
export function nominalsOf(links) {
  const found = new Map();
  for (const { nominal_bytes_per_s: rate, title } of links.filter((link) => link.nominal_bytes_per_s)) {
    found.set(rate, [...new Set([...(found.get(rate) ?? []), title])]);
  }
  return [...found].map(([rate, titles]) => ({ rate, titles }));
}

/** A sample's `{size, value, best, worst}` as the plot shows it: seconds, or bytes per second. */
export function pointOf([size, seconds, low, p90], show) {
  const at = (time) => (show === "latency" ? time : size / time);
  return { size, seconds, value: at(seconds), best: at(low), worst: at(p90) };
}

/** The model of a link, `time = latency + size / bandwidth`, as the plot shows it; null where a figure lacks. */
export function modelAt(flow, size, show) {
  if (!flow.latency_s || !flow.bandwidth_bytes_per_s) {
    return null;
  }
  const time = flow.latency_s + size / flow.bandwidth_bytes_per_s;
  return show === "latency" ? time : size / time;
}

/** A nominal rate as the plot shows it. */
export function nominalAt(rate, size, show) {
  return show === "latency" ? size / rate : rate;
}

/**
 * Logarithmic axes that hold every measured point; in a plot of bandwidth the nominal rates as well.
 *
 * @param box `{left, top, width, height}` of the plot's inside, in pixels.
 * @returns `{x(size), y(value), sizes: [low, high], values: [low, high], xTicks, yTicks}`, or null without points.
 */
export function axes(series, nominals, show, box) {
  const points = series.flatMap(({ flow }) => flow.samples.map((sample) => pointOf(sample, show)));
  if (!points.length) {
    return null;
  }
  const all = points.flatMap(({ value, best, worst }) => [value, best, worst]);
  if (show !== "latency") {
    all.push(...nominals.map(({ rate }) => rate));
  }
  const sizes = [Math.min(...points.map((p) => p.size)) / 1.6, Math.max(...points.map((p) => p.size)) * 1.6];
  const values = [Math.min(...all) / 1.5, Math.max(...all) * 1.5];
  return {
    sizes,
    values,
    x: (size) => box.left + box.width * part(size, sizes),
    y: (value) => box.top + box.height * (1 - part(value, values)),
    xTicks: sizeTicks(sizes, box.width),
    yTicks: decades(values, box.height),
  };
}

function part(value, [low, high]) {
  return Math.log(value / low) / Math.log(high / low);
}

/** Powers of two as far apart as their labels need. */
function sizeTicks([low, high], width) {
  const room = Math.max(2, Math.floor(width / 58));
  const octaves = Math.log2(high / low);
  const step = [2, 4, 8, 12].find((every) => octaves / every <= room) ?? 16;
  const ticks = [];
  for (let size = 4; size <= high; size *= 2 ** step) {
    if (size >= low) {
      ticks.push(size);
    }
  }
  return ticks;
}

/** Powers of ten; where there is hardly one, twos and fives as well. */
function decades([low, high], height) {
  const span = Math.log10(high / low);
  const every = Math.max(1, Math.ceil(span / Math.max(2, height / 36)));
  const multiples = span < 1.5 ? [1, 2, 5] : [1];
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += every) {
    for (const multiple of multiples) {
      const value = Number(`${multiple}e${power}`);
      if (value >= low && value <= high) {
        ticks.push(value);
      }
    }
  }
  return ticks;
}

/** A curve `[[x, y], ...]` over all sizes of the plot; what draws it cuts it to the plot's inside. */
export function curve(valueAt, scales, steps = 48) {
  const [low, high] = scales.sizes;
  return Array.from({ length: steps + 1 }, (_, i) => low * (high / low) ** (i / steps))
    .map((size) => [size, valueAt(size)])
    .filter(([, value]) => value !== null)
    .map(([size, value]) => [scales.x(size), scales.y(value)]);
}

/** Message sizes are powers of two: `4 B`, `16 KiB`, `64 MiB`. */
export function formatSize(size) {
  for (const [unit, name] of [
    [2 ** 20, "MiB"],
    [2 ** 10, "KiB"],
  ]) {
    if (size >= unit) {
      return `${Number((size / unit).toPrecision(3))} ${name}`;
    }
  }
  return `${size} B`;
}
