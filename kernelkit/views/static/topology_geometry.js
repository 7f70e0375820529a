// Where hosts, their ranks and the links between them stand: pure geometry, all lengths in px.

import { busLines, columnLines, ringLines } from "./topology_lines.js";
import { labelForms, placeLabels } from "./topology_labels.js";
import { column, ring } from "./topology_places.js";
import { estimate } from "./topology_text.js";

export const PAD = 12;
const MARGIN = 10;
const CHIP = { tall: 42, compact: 24, gap: 6, rail: 22 };
// Above this a host's ranks have one line each.
const MANY_RANKS = 4;
const BETWEEN_ROWS = 64;
// Where few hosts are joined across, their labels need the room; more stand far enough apart.
const BETWEEN_FEW = 96;
const FEW_HOSTS = 5;
// The least room between two boxes beside each other, whatever their label needs.
const BETWEEN_BOXES = 40;
// Ranks inside one host, joined in their middle.
const BETWEEN_RANKS = 48;
const CHIP_WIDTHS = [230, 200, 180, 160, 140];
const BOX_WIDTHS = [240, 220, 200, 180, 164, 150, 140, 130];

/**
 * Lay a scene out.
 *
 * @param room the width that there is; the drawing may need less.
 * @param measure `(text, size, bold) -> px`.
 * @returns `{width, height, rows, boxes, lines, labels}`: a box per host with its `chips`, one per rank; a line and
 *   a label per link, in the scene's order, null for a link that joins nothing drawn. `labels[i].shown` is false
 *   where there is no room for it.
 */
export function layout(scene, room, measure = estimate) {
  const rows = headRows(scene);
  const forms = scene.links.map((link) => labelForms(link, scene.live, measure));
  const placed = (scene.hosts.length === 1 ? single : several)(scene, room, rows, forms);
  const { boxes, width, height, way } = placed;
  const lines = Array(scene.links.length).fill(null);
  const between = linksBetween(scene);
  const pairs = between.map(({ pair }) => pair);
  const found = way === "ring" ? ringLines(boxes, pairs) : columnLines(boxes, pairs, width - MARGIN);
  between.forEach(({ index }, at) => {
    lines[index] = found[at];
  });
  boxes.forEach((box, host) => {
    const own = linksInside(scene, host);
    busLines(box, own.length).forEach((line, at) => {
      lines[own[at]] = { ...line, inside: host };
    });
  });
  const labels = placeLabels(scene.links, lines, boxes, forms, { width, height }, rows.end);
  return { width, height, rows, boxes, lines, labels };
}

/** Line width for a rate: 1.25 px at 100 MB/s, and 2 px more for each factor of ten; 2 px where it is not known. */
export function lineWidth(bytesPerSecond) {
  return bytesPerSecond ? Math.min(10, Math.max(1, 1.25 + 2 * (Math.log10(bytesPerSecond) - 8))) : 2;
}

/** Which lines the head of every box has, and where; the same for all, so that boxes compare. */
function headRows(scene) {
  const chip = scene.hosts.some((host) => host.chip);
  const memory = scene.hosts.some((host) => host.memory);
  const nameAt = PAD + 12;
  const chipAt = nameAt + (chip ? 16 : 0);
  const memoryAt = chipAt + (memory ? 18 : 0);
  return { chip, memory, nameAt, chipAt, memoryAt, end: memoryAt + (memory ? 22 : 12) };
}

/** One host: its ranks stand inside it as hosts stand on the page. */
function single(scene, width, rows, forms) {
  const count = scene.hosts[0].ranks.length;
  const own = linksInside(scene, 0).map((index) => forms[index]);
  const inner = Math.min(width - 2 * MARGIN - 2 * PAD, 1100);
  const inside = count > 1 ? ranksApart(count, inner, own) : ranksBelow(count, Math.min(inner, 300), []);
  const box = { x: MARGIN, y: MARGIN, w: inside.width + 2 * PAD, h: rows.end + inside.height + (count ? PAD : 0), way: inside.way };
  box.chips = inside.boxes.map((chip) => ({ ...chip, x: box.x + PAD + chip.x, y: box.y + rows.end + chip.y }));
  return { boxes: [box], width: box.w + 2 * MARGIN, height: box.h + 2 * MARGIN, way: "ring" };
}

function ranksApart(count, inner, forms) {
  const sizes = (w) => Array.from({ length: count }, () => ({ w, h: CHIP.tall, tall: true }));
  const tallest = Math.max(0, ...forms.map((form) => form.at(-1).h));
  // Two have their label between them; of more, the labels stand in the middle of all.
  const gaps = count === 2 ? [widest(forms, 0) + 36, widest(forms, -1) + 10] : [24];
  const found = ring(sizes, inner, gaps, Math.max(BETWEEN_RANKS, tallest + 30), [], CHIP_WIDTHS);
  return found ?? ranksBelow(count, Math.min(inner, 300), forms);
}

/** Ranks below each other; a link between two of them stands in the gap, one that joins more is a rail beside them. */
function ranksBelow(count, w, forms) {
  const tall = count <= MANY_RANKS;
  const tallest = forms.reduce((sum, form) => sum + Math.max(...form.map(({ h }) => h)) + 20, 0);
  const rail = count > 2 && tallest > 0;
  const gap = count === 2 && tallest ? tallest : CHIP.gap;
  const h = tall ? CHIP.tall : CHIP.compact;
  const boxes = Array.from({ length: count }, (_, at) => ({
    x: 0,
    y: at * (h + gap),
    w: w - (rail ? CHIP.rail : 0),
    h,
    tall,
  }));
  return { boxes, width: w, height: Math.max(0, count * (h + gap) - gap) + (rail ? tallest : 0), way: "column" };
}

function several(scene, width, rows, forms) {
  const sizes = (w) =>
    scene.hosts.map((host, index) => {
      const own = linksInside(scene, index).map((link) => forms[link]);
      const { boxes, height } = ranksBelow(host.ranks.length, w - 2 * PAD, own);
      const chips = boxes.map((chip) => ({ ...chip, x: chip.x + PAD, y: chip.y + rows.end }));
      return { w, h: rows.end + height + (chips.length ? PAD : 0), chips, way: "column" };
    });
  const links = linksBetween(scene);
  const own = links.map(({ index }) => forms[index]);
  const pairs = links.map(({ pair }) => pair);
  const widths = [...({ 2: [300, 270], 3: [270], 4: [270] }[scene.hosts.length] ?? []), ...BOX_WIDTHS];
  const gaps = [widest(own, 0) + 36, widest(own, -1) + 10, BETWEEN_BOXES];
  const between = pairs.length > scene.hosts.length && scene.hosts.length <= FEW_HOSTS ? BETWEEN_FEW : BETWEEN_ROWS;
  const inner = width - 2 * MARGIN;
  const placed = ring(sizes, inner, gaps, between, pairs, widths) ?? beside(sizes, inner, own);
  placed.boxes.forEach((box) => move(box, MARGIN, MARGIN));
  return { ...placed, width: placed.width + 2 * MARGIN, height: placed.height + 2 * MARGIN };
}

/** Below each other, for narrow places, with room on the right for the links that skip a host. */
function beside(sizes, width, forms) {
  const gutter = Math.min(widest(forms, -1) + 40, 0.42 * width);
  const w = Math.max(60, Math.min(300, width - gutter));
  const between = Math.max(BETWEEN_ROWS, ...forms.map((form) => form[0].h + 30));
  return { ...column(sizes(w), between), width: w + gutter };
}

function widest(forms, which) {
  return Math.max(30, ...forms.map((form) => form.at(which).w));
}

function move(box, dx, dy) {
  box.x += dx;
  box.y += dy;
  box.chips?.forEach((chip) => move(chip, dx, dy));
}

function linksBetween(scene) {
  return scene.links.flatMap(({ ends }, index) => (ends[0] === ends[1] ? [] : [{ index, pair: ends }]));
}

function linksInside(scene, host) {
  return scene.links.flatMap(({ ends }, index) => (ends[0] === host && ends[1] === host ? [index] : []));
}
