// Where the cells of the shard map's overview stand, and what fills them: layers down, ranks across. Pure.

import { formatBytes } from "./kit.js";
import { LINE, wrapped } from "./shardmap_text.js";

export const NAMES_WIDTH = 54; // the rows' names, left
export const BITS_WIDTH = 46; // the badges of quantization, right
const GOAL_HEIGHT = 460; // of all rows together
// A layer's height with its gap: such that the lines of a hatch fall on whole pixels in every row.
const PITCHES = [4, 5, 6, 8, 10, 12, 15, 16, 20, 24, 28];
const END_ROW = [16, 84]; // the rows before and after the layers, least and most
const END_MARGIN = 6;
const SMALL_WIDTH = 4; // norms and other vectors: a marker, not to scale
const GROUP_GAP = 3;
const BETWEEN = 8; // from one header to the next, at least
const LEAST_PITCH = 15; // of a column: in less there would be no room for a cell
const LEAST_ADDED = 2.5; // px: a little padding is seen too, beside lines and frames

/** What `rank` holds of a matrix; null where nothing. `owner` is the rank of a whole layer, else null. */
export function shareOf(matrix, rank, owner) {
  if (owner !== null) {
    return rank === owner ? matrix.shares[matrix.share_of[0]] : null;
  }
  return matrix.shares[matrix.share_of[rank]] ?? null;
}

/** How much is padding, and how much repeated, of a share that is drawn `size` px long: `{repeated, padding}`. */
export function addedOf(share, size) {
  const part = (bytes) => (bytes ? Math.max(Math.min(LEAST_ADDED, size / 4), (size * bytes) / share.size_bytes) : 0);
  return { repeated: part(share.repeated_bytes), padding: part(share.padding_bytes) };
}

/** Bytes that a rank holds of a row, vectors included. */
export function heldBytes(row, rank) {
  return row.matrices.reduce((sum, matrix) => sum + (shareOf(matrix, rank, row.owner)?.size_bytes ?? 0), 0);
}

const isSmall = (matrix) => matrix.group === "small";

function drawnBytes(matrices, rank, owner) {
  return heldBytes({ matrices: matrices.filter((matrix) => !isSmall(matrix)), owner }, rank);
}

/** The rows of a map from top to bottom: those before the layers, the layers, those after. */
export function rowsOf(map) {
  const layers = map.layers.map((kind, layer) => {
    const owner = map.owners ? map.owners[layer] : null;
    return { id: String(layer), layer, name: `layer ${layer}`, matrices: map.kinds[kind], owner,
      content: owner === null ? `${kind}` : `${kind} whole` };
  });
  const end = (id) => {
    const large = map[id].filter((matrix) => !isSmall(matrix));
    const name = (large.length ? large : map[id]).map((matrix) => matrix.name).join(", ");
    return { id, layer: null, name, matrices: map[id], owner: null, content: id };
  };
  return [...(map.before.length ? [end("before")] : []), ...layers, ...(map.after.length ? [end("after")] : [])];
}

/** The bytes that fill a layer's cell from side to side. Maps of one strategy share it, to be compared. */
export function fullBytes(maps, strategy) {
  const kinds = maps.filter((map) => map.strategy === strategy).flatMap((map) => map.kinds);
  return Math.max(1, ...kinds.flatMap((kind) => mostBytes(kind)));
}

/** The most bytes that one rank holds of some matrices, vectors aside. */
function mostBytes(matrices) {
  const ranks = matrices[0]?.share_of.length ?? 0;
  return Math.max(0, ...[...Array(ranks).keys()].map((rank) => drawnBytes(matrices, rank, null)));
}

/** Heights of the rows in px, so that all rows reach about the goal: `{pitch, gap, before, after}`. */
export function rowHeights(map, full) {
  const ends = [mostBytes(map.before) / full, mostBytes(map.after) / full];
  const goal = GOAL_HEIGHT - ends.length * (END_ROW[0] + END_MARGIN);
  const units = map.layers.length + ends.reduce((sum, end) => sum + Math.min(end, map.layers.length / 4), 0);
  const pitch = PITCHES.filter((each) => each * units <= goal).pop() ?? PITCHES[0];
  const gap = gapOf(pitch);
  const height = (end) => Math.round(Math.max(END_ROW[0], Math.min(END_ROW[1], end * (pitch - gap))));
  return { pitch, gap, before: height(ends[0]), after: height(ends[1]) };
}

/** The space between two layers; thin ones all but touch, or the gaps would be all that one sees. */
function gapOf(pitch) {
  return pitch >= 15 ? 2 : pitch >= 8 ? 1 : 0.3;
}

/** For each map its heights; maps of equally many layers share them, so that these stand side by side. */
export function allHeights(maps) {
  const own = maps.map((map) => rowHeights(map, fullBytes(maps, map.strategy)));
  return maps.map((map) => {
    const alike = own.filter((_, i) => maps[i].layers.length === map.layers.length);
    const pick = (name, choose) => choose(...alike.map((heights) => heights[name]));
    const pitch = pick("pitch", Math.min);
    return { pitch, gap: gapOf(pitch), before: pick("before", Math.max), after: pick("after", Math.max) };
  });
}

const rightOf = (map) => (map.quantization ? BITS_WIDTH : 4);

/** `width`, or what the columns of very many ranks take at least. */
function gridWidth(map, width) {
  return Math.max(width, NAMES_WIDTH + rightOf(map) + map.ranks.length * LEAST_PITCH);
}

/** Where the columns stand and what is written above them. */
export function columnsOf(map, width) {
  const right = rightOf(map);
  const pitch = (gridWidth(map, width) - NAMES_WIDTH - right) / map.ranks.length;
  const gap = Math.min(14, Math.max(4, pitch * 0.08));
  return map.ranks.map((rank, index) => ({
    rank: rank.rank,
    x: NAMES_WIDTH + index * pitch,
    width: pitch - gap,
    lines: [
      `rank ${rank.rank}`,
      ...wrapped(rank.label, pitch - BETWEEN),
      ...wrapped(formatBytes(rank.size_bytes), pitch - BETWEEN),
    ],
  }));
}

/**
 * The cells of one map.
 *
 * @param options.width px there are; options.heights of `allHeights`; options.full of `fullBytes`;
 *   options.headerLines that all maps reserve.
 * @returns `{width, top, bottom, pitch, gap, cellWidth, columns, rows, contents}`; see `cellOf` and `runsOf`.
 */
export function gridOf(map, { width: given, heights, full, headerLines }) {
  const width = gridWidth(map, given);
  const columns = columnsOf(map, width);
  const top = headerLines * LINE + 10;
  let y = top;
  const rows = rowsOf(map).map((row) => {
    if (row.layer !== null) {
      y += heights.pitch;
      return { ...row, y: y - heights.pitch, height: heights.pitch - heights.gap };
    }
    const above = row.id === "after" ? END_MARGIN : 0;
    y += heights[row.id] + END_MARGIN;
    return { ...row, y: y - heights[row.id] - END_MARGIN + above, height: heights[row.id] };
  });
  const cellWidth = columns[0].width - SMALL_WIDTH - 2;
  const contents = {};
  for (const row of rows) {
    const scale = ((cellWidth - GROUP_GAP) * (heights.pitch - heights.gap)) / (full * row.height);
    contents[row.content] ??= contentOf(row, map.ranks.length, scale, cellWidth);
  }
  return { width, top, bottom: y, pitch: heights.pitch, gap: heights.gap, cellWidth, columns, rows, contents };
}

/** By rank, or once for a layer of one owner: `{segments, broken}`, x from the cell's left. */
function contentOf(row, ranks, scale, cellWidth) {
  const holders = row.owner !== null ? [row.owner] : [...Array(ranks).keys()];
  return holders.map((rank) => {
    const held = row.matrices.filter((matrix) => shareOf(matrix, rank, row.owner));
    const segments = [];
    let x = 0;
    held.filter((matrix) => !isSmall(matrix)).forEach((matrix, index, large) => {
      const share = shareOf(matrix, rank, row.owner);
      x += index && large[index - 1].group !== matrix.group ? GROUP_GAP : 0;
      const width = share.size_bytes * scale;
      const { module, cut } = matrix;
      segments.push({ module, cut, bytes: share.size_bytes, x, width, share, small: false });
      x += width;
    });
    // Too much for the row's greatest height: filled, with a sign that it is shortened.
    const broken = x > cellWidth + 0.01;
    const shrink = broken ? cellWidth / x : 1;
    for (const segment of segments) {
      const [left, width] = [segment.x * shrink, segment.width * shrink];
      Object.assign(segment, { x: left, width, ...addedOf(segment.share, width) });
    }
    const vectors = held.filter(isSmall);
    if (vectors.length) {
      const cut = vectors.every((vector) => vector.cut === "replicated") ? "replicated" : vectors[0].cut;
      const place = { x: cellWidth + 2, width: SMALL_WIDTH, repeated: 0, padding: 0, small: true };
      segments.push({ module: vectors[0].module, cut, bytes: 0, ...place });
    }
    return { segments, broken };
  });
}

/** What a cell shows, relative to its left edge; null where the rank holds nothing of the row. */
export function cellOf(grid, row, rank) {
  if (row.owner !== null) {
    return rank === row.owner ? grid.contents[row.content][0] : null;
  }
  const cell = grid.contents[row.content][rank];
  return cell.segments.length ? cell : null;
}

/**
 * Rows in a row that hold the same, to be painted at once: `{rows, y, height}`.
 *
 * 128 equal layers are one run, so that the number of shapes does not grow with the number of layers.
 */
export function runsOf(grid) {
  const runs = [];
  for (const row of grid.rows) {
    const last = runs[runs.length - 1];
    const alike = last && last.rows[0].content === row.content && last.rows[0].owner === row.owner;
    if (alike) {
      last.rows.push(row);
      last.height = row.y + row.height - last.y;
    } else {
      runs.push({ rows: [row], y: row.y, height: row.height });
    }
  }
  return runs;
}
