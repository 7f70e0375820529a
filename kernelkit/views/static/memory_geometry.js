// How much of each device is taken at a context, and where bars, columns and slider steps go. No DOM here.

import { grouped } from "./kit.js";
import { shortNames } from "./links_names.js";

const GAP = 14;
const EDGE = 6;
const COLUMNS = [
  { key: "weights", width: 74 },
  { key: "kv", width: 80 },
  { key: "used", width: 78 },
  { key: "free", width: 106 },
];
// The limit's name stands above the first line that it holds for.
const ROW = { host: 38, shared: 24, alone: 38 };
const BETWEEN = 8;
const HEAD = 34;
const MOST_BAR = 900;
// Where the columns leave a bar less than this, the figures stand under it.
const LEAST_BAR = 100;
const UNDER = 18;
export const BAR = 17;
// Of a column's head: at most so much for a letter, and so much for the swatch before it.
export const LETTER = 6.9;
export const SWATCH = 13;
// Beyond its limit a bar is shown for so much more of it; what is cut off there is said in words.
const BEYOND = 1.2;

/** Contexts that the slider stops at: about two in each octave, and those that matter. */
export function contextSteps(scene) {
  const longest = scene.longest_context;
  const steps = new Set([0, longest, scene.context]);
  for (let power = 128; power <= longest; power *= 2) {
    steps.add(power);
    steps.add(power * 1.5);
  }
  if (scene.largest_context !== null) {
    steps.add(scene.largest_context);
  }
  return [...steps].filter((step) => step >= 0 && step <= longest).sort((one, other) => one - other);
}

/** A rank's KV cache: what grows with every token, windows up to their size, states; null where it is not known. */
export function kvBytes({ kv_bytes_per_token, kv_windows = [], kv_state_bytes = 0 }, context) {
  if (kv_bytes_per_token === null) {
    return null;
  }
  const windows = kv_windows.reduce((sum, [tokens, size]) => sum + Math.min(context, tokens) * size, 0);
  return kv_bytes_per_token * context + windows + (context > 0 ? kv_state_bytes : 0);
}

/** What a group of ranks that share a limit needs at a context, in bytes; `free` is below 0 where it is too much. */
export function amounts(group, context) {
  const ranks = group.ranks.map((one) => ({
    rank: one.rank,
    weights: one.weight_bytes,
    kv: kvBytes(one, context),
  }));
  const used = group.used_bytes ?? 0;
  const need = ranks.reduce((sum, one) => sum + one.weights + (one.kv ?? 0), used);
  return { ranks, used, need, free: group.limit_bytes - need };
}

/** Bytes at the right end of all bars: the same at every context, so that only the KV cache moves. */
export function domain(scene) {
  const context = scene.kv_known ? scene.longest_context : 0;
  const ends = scene.groups.map((group) => {
    const { need } = amounts(group, context);
    return Math.max(group.limit_bytes, Math.min(need, BEYOND * group.limit_bytes));
  });
  return Math.max(1, ...ends) * 1.01;
}

/** The lines of the picture: a head for each host whose ranks share a limit, then one for each rank. */
export function rows(scene) {
  return scene.groups.flatMap((group, index) => {
    const shared = group.ranks.length > 1;
    const head = shared ? [{ kind: "host", group: index }] : [];
    return [
      ...head,
      ...group.ranks.map(({ rank }, nth) => ({ kind: "rank", group: index, rank, nth, shared })),
    ];
  });
}

/** What a head takes that the scene names itself, with its swatch and a gap before it; of those that are known, nothing. */
function headWidth(scene, { key }) {
  const words = (key === "used" && scene.used_words) || [];
  return words.length ? Math.max(...words.map(({ length }) => LETTER * length)) + SWATCH + GAP : 0;
}

/**
 * Where all goes, in pixels: figures beside the bars, or under them where there is no room (`stacked`).
 *
 * @returns `{names, stacked, bar: {left, width}, columns: [{key, right, wide}], rows: [{..., y, height, top, figures}],
 * height, width}`; `top` is the bar's, `figures` the baseline of what stands beside or under it.
 */
export function layout(scene, width) {
  const most = width < 640 ? 8 : width < 900 ? 12 : 24;
  const names = shortNames(
    scene.groups.map(({ host }) => host),
    (name) => name.length <= most,
  );
  const label = 34 + 6.8 * Math.max(3, ...names.map(({ length }) => length));
  const sized = COLUMNS.map((column) => ({ ...column, width: Math.max(column.width, headWidth(scene, column)) }));
  const numbers = sized.reduce((sum, column) => sum + column.width, 0);
  const beside = width - label - numbers - GAP - EDGE;
  const stacked = beside < LEAST_BAR;
  const bar = { left: label, width: stacked ? width - label - EDGE : Math.min(MOST_BAR, beside) };
  let right = stacked ? 0 : bar.left + bar.width + GAP;
  const stretch = stacked ? (width - EDGE) / numbers : 1;
  const columns = sized.map(({ key, width: wide }) => ({
    key,
    right: (right += wide * stretch),
    wide: wide * stretch,
  }));
  let y = HEAD;
  const placed = rows(scene).map((row) => {
    const own = ROW[row.kind === "host" ? "host" : row.shared ? "shared" : "alone"];
    const height = own + (stacked ? UNDER : 0);
    const top = y + own - BAR - 4;
    const at = { ...row, y, height, top, figures: stacked ? top + BAR + 15 : top + BAR / 2 + 4 };
    y += height + (row.shared && row.nth === scene.groups[row.group].ranks.length - 1 ? BETWEEN : 0);
    return at;
  });
  return { names, stacked, bar, columns, rows: placed, height: y + 6, width: right + EDGE };
}

/**
 * The pieces of one line's bar, in bytes from its left end.
 *
 * Ranks that share a limit stand on each other like stairs: each begins where the one before it ends, and others' use
 * is the first step, in the host's line. What lies beyond the limit is a piece of its own.
 *
 * @returns `[{kind, start, end, over}]`; kinds: used, weights, kv, free.
 */
export function pieces(group, row, context) {
  const { ranks, used, free } = amounts(group, context);
  const parts = [];
  let at = 0;
  const add = (kind, size, shown) => {
    if (shown && size > 0) {
      parts.push(...split(kind, at, at + size, group.limit_bytes));
    }
    at += size;
  };
  const alone = group.ranks.length === 1;
  add("used", used, alone || row.kind === "host");
  ranks.forEach((one, nth) => {
    add("weights", one.weights, row.kind === "rank" && nth === row.nth);
    add("kv", one.kv ?? 0, row.kind === "rank" && nth === row.nth);
  });
  if (row.kind === "rank" && row.nth === ranks.length - 1) {
    add("free", Math.max(0, free), true);
  }
  return parts;
}

function split(kind, start, end, limit) {
  const inside = { kind, start, end: Math.min(end, limit), over: false };
  const beyond = { kind, start: Math.max(start, limit), end, over: true };
  return [inside, beyond].filter((piece) => piece.end > piece.start);
}

/** A piece as a box on the line, a pixel wide at least; `cut` where it ends beyond the picture. */
export function box(piece, most, bar) {
  const scale = bar.width / most;
  const x = bar.left + Math.min(piece.start, most) * scale;
  const end = bar.left + Math.min(piece.end, most) * scale;
  return { x, width: piece.start < most ? Math.max(1, end - x) : 0, cut: piece.end > most };
}

/**
 * Where the limit's line stands, and where its name ends: on the line, unless it would begin left of the bars, but
 * never beyond `right`.
 */
export function limitAt(group, most, bar, text, right = Infinity) {
  const x = bar.left + (group.limit_bytes / most) * bar.width;
  return { x, nameEnd: Math.min(right, Math.max(x + 1, bar.left + 6.2 * text.length)) };
}

/** `rank 2`, `ranks 0 and 1`, `ranks 0-3 and 6`, as kernelkit/views/memory.py. */
export function names(ranks) {
  const runs = [];
  for (const rank of ranks) {
    const last = runs.at(-1);
    if (last && rank === last.at(-1) + 1) {
      last.push(rank);
    } else {
      runs.push([rank]);
    }
  }
  const parts = runs.flatMap((run) => (run.length > 2 ? [`${run[0]}-${run.at(-1)}`] : run.map(String)));
  const listed = [parts.slice(0, -1).join(", "), parts.at(-1)].filter(Boolean).join(" and ");
  return `rank${ranks.length > 1 ? "s" : ""} ${listed}`;
}

/** Where on the slider's track a context lies, 0 to 1, between the steps around it. */
export function trackPart(steps, context) {
  const above = steps.findIndex((step) => step >= context);
  if (above <= 0) {
    return above === 0 ? 0 : 1;
  }
  const [low, high] = [steps[above - 1], steps[above]];
  return (above - 1 + (context - low) / (high - low)) / (steps.length - 1);
}

/**
 * Powers of two along the track that have room for their names, and always both ends: `[{context, x, name}]`, where
 * `name` is the middle of the name: of the last it lies further in, where the name would not end by `right`.
 */
export function trackTicks(steps, at, right = Infinity, apart = 42) {
  const longest = steps.at(-1);
  const ticks = [{ context: 0, x: at(0), name: at(0) }];
  const half = 3.4 * shortContext(longest).length;
  const last = { context: longest, x: at(longest), name: Math.min(at(longest), right - half) };
  const free = Math.min(at(longest) - apart, last.name - half - 24);
  for (const context of steps) {
    const x = at(context);
    const clear = x - ticks.at(-1).x >= apart && x <= free;
    if (clear && Number.isInteger(Math.log2(context))) {
      ticks.push({ context, x, name: x });
    }
  }
  return longest > 0 ? [...ticks, last] : ticks;
}

/** `4096 -> "4K"`, as contexts are called where they are powers of two, or nearly; beyond 16M three digits do. */
export function shortContext(context) {
  if (context >= 2 ** 24) {
    const giga = context >= 2 ** 30;
    return `${Number((context / (giga ? 2 ** 30 : 2 ** 20)).toPrecision(giga ? 3 : 4))}${giga ? "G" : "M"}`;
  }
  for (const [unit, name] of [
    [2 ** 20, "M"],
    [2 ** 10, "K"],
  ]) {
    if (context >= unit && context < 1024 * unit && Number.isInteger((4 * context) / unit)) {
      return `${context / unit}${name}`;
    }
  }
  return grouped(context);
}
