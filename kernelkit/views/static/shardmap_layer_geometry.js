// One layer magnified: each matrix as a rectangle, inputs down and outputs across, with the cuts in it. Pure.

import { addedOf } from "./shardmap_geometry.js";
import { LINE, textWidth } from "./shardmap_text.js";

const LEFT = 6; // room for the frame around the chosen matrix
const GAP = 22; // between matrices: room for the arrow from one to the next
const MARK = 62; // the collective behind a matrix
const VECTOR_HEIGHT = 8;
const LEAST_HEIGHT = 56; // of the highest matrix: with many lines of labels the layer grows instead
const LONGEST = 12; // a longer side is drawn shortened to so many short ones
const HEADINGS = { attention: "attention", mlp: "MLP", other: "" };
const ORDER = ["attention", "small", "other", "mlp"];

/** `{across, down, stack}`: the sizes that are drawn, with the padding; a vector has no `down`. */
export function sizesOf(matrix) {
  const full = [...matrix.shape];
  const { across, down, axis } = matrix;
  if (isCut(matrix)) {
    const held = matrix.share_of.map((index) => matrix.shares[index]?.shape[axis] ?? 0);
    full[axis] = held.reduce((sum, size) => sum + size, 0);
  }
  let [wide, stack] = [full[across.axis], 1];
  full.forEach((size, i) => {
    if (i !== across.axis && i !== down?.axis) {
      // A cut between the matrices of a stack, such as one per head: these stand side by side.
      [wide, stack] = isCut(matrix) && i === axis ? [wide * size, stack] : [wide, stack * size];
    }
  });
  return { across: wide, down: down ? full[down.axis] : null, stack };
}

export function isCut(matrix) {
  return matrix.axis !== null && (matrix.cut === "column" || matrix.cut === "row");
}

/**
 * The ranks' parts of a matrix that is drawn in a box.
 *
 * @returns one entry per rank that holds any: `{rank, x, y, width, height, repeated, padding}`; the last two are the
 *   boxes at its end of what is repeated and of the zeros, or null.
 */
export function stripesOf(matrix, box, owner = null) {
  if (owner !== null) {
    return [{ rank: owner, ...box, repeated: null, padding: null }];
  }
  const holders = matrix.share_of.map((index, rank) => ({ rank, share: matrix.shares[index] })).filter((h) => h.share);
  if (!isCut(matrix)) {
    return holders.map(({ rank }) => ({ rank, ...box, repeated: null, padding: null }));
  }
  const down = matrix.axis === matrix.down?.axis;
  const total = holders.reduce((sum, { share }) => sum + share.shape[matrix.axis], 0);
  let from = 0;
  return holders.map(({ rank, share }) => {
    const to = from + share.shape[matrix.axis];
    const part = between(box, down, from / total, to / total);
    from = to;
    const long = down ? part.height : part.width;
    const { repeated, padding } = addedOf(share, long);
    const piece = (size, end) => (size ? between(part, down, 1 - (size + end) / long, 1 - end / long) : null);
    return { rank, ...part, repeated: piece(repeated, padding), padding: piece(padding, 0) };
  });
}

/** The part of a box from one fraction to another: from top to bottom, or from left to right. */
function between(box, down, from, to) {
  return down
    ? { x: box.x, y: box.y + from * box.height, width: box.width, height: (to - from) * box.height }
    : { x: box.x + from * box.width, y: box.y, width: (to - from) * box.width, height: box.height };
}

/** `(576, 1536)`, as MLX prints it. */
export function shapeText(shape) {
  return `(${shape.join(", ")}${shape.length === 1 ? "," : ""})`;
}

/**
 * All matrices of a layer to one scale, in the order in which a token meets them.
 *
 * @param options.width px there are; options.maxHeight to stay under, if not by tiny matrices; options.owner.
 * @returns `{width, height, headings, blocks, marks, arrows}`
 */
export function layerLayout(matrices, { width, maxHeight, owner = null }) {
  const items = matrices.map((matrix) => itemOf(matrix));
  const most = Math.max(1, ...items.map((item) => item.across));
  let scale = (width - 2 * LEFT) / most;
  let placed = place(items, width, scale, owner);
  const highest = () => Math.max(...placed.blocks.map((block) => block.height));
  while (placed.height > maxHeight && highest() > LEAST_HEIGHT) {
    scale *= 0.94;
    placed = place(items, width, scale, owner);
  }
  return { ...placed, width, scale };
}

/** A matrix with all that does not hang on the scale. */
function itemOf(matrix) {
  const { across, down, stack } = sizesOf(matrix);
  const shortened = down !== null && Math.max(across / down, down / across) > LONGEST;
  const name = stack > 1 ? `${matrix.name} ×${stack}` : matrix.name;
  const shape = shapeText(matrix.shape) + (shortened ? ", shortened" : "");
  const right = textWidth(name, 11.5) + 6;
  const bits = `${matrix.bits}-bit`;
  const badge = matrix.bits ? { text: bits, x: right, width: textWidth(bits) + 6 } : null;
  return {
    matrix,
    module: matrix.module,
    group: matrix.group,
    name,
    shape,
    badge,
    stack,
    textRight: Math.max(badge ? badge.x + badge.width : right, textWidth(shape)),
    across: down === null ? across : Math.min(across, LONGEST * down),
    down: down === null ? null : Math.min(down, LONGEST * across),
  };
}

function place(items, width, scale, owner) {
  const out = { headings: [], blocks: [], marks: [], arrows: [], height: 0 };
  let y = 3;
  let end = { x: LEFT, y: 0, lines: 0 };
  for (const group of ORDER) {
    const blocks = items.filter((item) => item.group === group).map((item) => blockOf(item, scale));
    if (blocks.length) {
      const needed = blocks.reduce((sum, block) => sum + block.slot + GAP, 0);
      // Vectors go beside the attention, where there is room.
      const beside = group === "small" && end.lines === 1 && end.x + GAP + needed <= width;
      const start = beside ? { x: end.x + GAP, y: end.y } : { x: LEFT, y };
      const placed = placeGroup(out, blocks, { group, ...start, width, owner });
      end = { x: placed.x, y: start.y, lines: placed.lines };
      y = Math.max(y, placed.y);
    }
  }
  out.height = y;
  return out;
}

/** A heading, then lines of blocks: gives where the last line ends, and how many lines there are. */
function placeGroup(out, blocks, { group, x: left, y, width, owner }) {
  const heading = HEADINGS[group] ?? (blocks.every((block) => block.name.includes("norm")) ? "norms" : "vectors");
  let top = y;
  if (heading) {
    out.headings.push({ text: heading, x: left, y: top + 11 });
    top += LINE + 3;
  }
  let x = left;
  let lines = 1;
  let high = 0;
  let before = null;
  for (const block of blocks) {
    if (x > left && x + block.slot > width) {
      top += high + 10;
      [x, high, before] = [left, 0, null];
      lines += 1;
    }
    const box = { x, y: top + block.labels, width: block.width, height: block.height };
    const placed = { ...block, ...box, top, stripes: stripesOf(block.matrix, box, owner) };
    if (before?.matrix.cut === "column" && block.matrix.cut === "row") {
      out.arrows.push({ x: x - GAP + 3, y: box.y + 10, width: GAP - 7 });
    }
    if (block.matrix.collective) {
      const [markX, markY] = [x + block.width, box.y + Math.max(12, Math.min(block.height / 2, 40))];
      out.marks.push({ text: block.matrix.collective, module: block.module, x: markX, y: markY, width: MARK });
    }
    out.blocks.push(placed);
    before = placed;
    x += block.slot + GAP;
    high = Math.max(high, block.labels + block.height + (block.stack > 1 ? 8 : 0), block.matrix.collective ? 70 : 0);
  }
  return { x: x - GAP, y: top + high + 12, lines };
}

function blockOf(item, scale) {
  const width = Math.max(2, item.across * scale);
  const height = item.down === null ? VECTOR_HEIGHT : Math.max(2, item.down * scale);
  const slot = Math.max(width + (item.matrix.collective ? MARK : 0), item.textRight);
  return { ...item, width, height, slot, labels: 2 * LINE + 4 };
}
