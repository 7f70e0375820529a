// Where the overview's labels, badges, bands and bars stand around its cells. Pure.

import { formatBytes } from "./kit.js";
import { FONT, LINE, fitted, textWidth, wrapped } from "./shardmap_text.js";
import { BITS_WIDTH, NAMES_WIDTH, cellOf, gridOf, heldBytes } from "./shardmap_geometry.js";

const BAR_HEIGHT = 54;
const STEPS = [1, 2, 4, 5, 8, 10, 16, 20, 32, 40, 64];

/**
 * The whole overview of one map: the grid, and all that stands around it.
 *
 * @param options.most bytes, the highest bar; options.floor the lowest row's y in the maps beside it, so that all bars
 *   stand on one line; and what `gridOf` takes.
 */
export function overview(map, { most, floor = 0, ...options }) {
  const grid = gridOf(map, options);
  const baseline = Math.max(grid.bottom, floor) + 14 + LINE + BAR_HEIGHT;
  const bars = barsOf(map, grid, most, baseline);
  const notes = Math.max(0, ...bars.map((bar) => bar.notes.length));
  return {
    ...grid,
    names: namesOf(grid),
    sizes: sizesOf(grid),
    badges: map.quantization ? badgesOf(grid) : [],
    bands: map.owners ? bandsOf(grid) : [],
    bars,
    baseline,
    height: baseline + 6 + notes * LINE,
  };
}

/** The rows' names: the ends, and as many layer numbers as have room; the last one always. */
function namesOf(grid) {
  const step = STEPS.find((each) => each * grid.pitch >= LINE) ?? STEPS[STEPS.length - 1];
  const last = grid.rows.filter((row) => row.layer !== null).length - 1;
  const shown = grid.rows.filter(
    ({ layer }) => layer === null || layer === last || (layer % step === 0 && last - layer >= step),
  );
  return shown.map((row) => {
    const text = row.layer === null ? fitted(row.name, NAMES_WIDTH - 8) : String(row.layer);
    return { text, x: NAMES_WIDTH - 8, y: row.y + row.height / 2, row: row.id };
  });
}

/** How many bytes stand before and after the layers, where there is room in the cell. */
function sizesOf(grid) {
  const ends = grid.rows.filter((row) => row.layer === null && row.height >= LINE);
  return ends.flatMap((row) =>
    grid.columns.flatMap((column) => {
      const large = (cellOf(grid, row, column.rank)?.segments ?? []).filter((segment) => !segment.small);
      const text = formatBytes(heldBytes(row, column.rank));
      const right = Math.max(0, ...large.map((segment) => segment.x + segment.width));
      const fits = large.length > 0 && textWidth(text) + 6 <= right;
      return fits ? [{ text, x: column.x + right / 2, y: row.y + row.height / 2 }] : [];
    }),
  );
}

/** Bits of each run of rows that have the same: `{text, x, y, height, labelled}`. */
function badgesOf(grid) {
  const runs = [];
  for (const row of grid.rows) {
    const bits = [...new Set(row.matrices.filter((m) => m.bits).map((m) => m.bits))].sort((a, b) => a - b);
    const text = bits.length ? `${bits.join("+")}-bit` : "";
    const last = runs[runs.length - 1];
    if (last && last.text === text && last.inLayers === (row.layer !== null)) {
      last.height = row.y + row.height - last.y;
    } else {
      runs.push({ text, y: row.y, height: row.height, inLayers: row.layer !== null });
    }
  }
  const x = grid.width - BITS_WIDTH + 2;
  return runs.filter((run) => run.text).map((run) => ({ ...run, x, labelled: run.height >= FONT + 2 }));
}

/** Bands of layers of one owner in a row, each with the rank that goes on. */
function bandsOf(grid) {
  const bands = [];
  for (const row of grid.rows.filter((each) => each.owner !== null)) {
    const last = bands[bands.length - 1];
    if (last && last.rank === row.owner) {
      last.last = row.layer;
      last.height = row.y + row.height - last.y;
    } else {
      const { x } = grid.columns[row.owner];
      bands.push({ rank: row.owner, first: row.layer, last: row.layer, x, y: row.y, height: row.height });
    }
  }
  return bands.map((band, index) => {
    const text = band.first === band.last ? `${band.first}` : `${band.first}–${band.last}`;
    const labelled = band.height >= LINE + 4 && grid.cellWidth >= textWidth(text) + 6;
    return { ...band, width: grid.cellWidth, text, labelled, next: bands[index + 1]?.rank ?? null };
  });
}

/** Each rank's bytes as a bar on the baseline, with the words below: `{rank, x, y, width, height, parts, notes}`. */
function barsOf(map, grid, most, baseline) {
  return map.ranks.map((rank, index) => {
    const column = grid.columns[index];
    const width = Math.min(56, column.width * 0.7);
    const x = column.x + (column.width - width) / 2;
    const added = { padding: rank.padding_bytes, repeated: rank.repeated_bytes };
    const amounts = Object.entries({ ...rank.cut_bytes, ...added }).filter(([, bytes]) => bytes);
    let y = baseline;
    const parts = amounts.map(([cut, bytes]) => {
      const height = (bytes / most) * BAR_HEIGHT;
      y -= height;
      return { cut, bytes, x, y, width, height };
    });
    const told = amounts.filter(([cut]) => cut === "replicated" || cut in added);
    const notes = told.flatMap(([cut, bytes]) => wrapped(`${formatBytes(bytes)} ${cut}`, column.width + 2));
    return { rank: rank.rank, x, y, width, height: baseline - y, bytes: rank.size_bytes, parts, notes };
  });
}
