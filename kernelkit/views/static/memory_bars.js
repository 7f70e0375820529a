// The bars of memory: a line for each rank with its pieces and figures, and the limits.

import { hatch } from "./common_geometry.js";
import { COLOURS, formatBytes, svg } from "./kit.js";
import { BAR, LETTER, SWATCH, amounts, box, domain, layout, limitAt, names, pieces } from "./memory_geometry.js";
import { spoken } from "./memory_words.js";

const FILL = { weights: COLOURS.blue, kv: COLOURS.orange, used: COLOURS.grey };
const TITLES = { weights: ["weights"], kv: ["KV cache"], used: ["used by", "others"] };

/** An svg of all bars at `view.context`; looking at a line sets `view.chosen` and calls `view.show()`. */
export function drawBars(view) {
  const { scene } = view;
  const place = layout(scene, view.width);
  const most = domain(scene);
  const root = svg("svg", {
    class: "kk-bars",
    width: place.width,
    height: place.height,
    role: "group",
    "aria-label": view.alt,
  });
  if (!place.stacked) {
    root.append(svg("text", { x: 4, y: 26, "font-size": 11, class: "kk-soft" }, "rank"));
  }
  for (const { key, right } of place.columns) {
    const said = { free: scene.free_words, used: scene.used_words };
    const title = said[key] ?? TITLES[key];
    title.forEach((text, i) => {
      root.append(
        svg(
          "text",
          { x: right, y: 26 - 13 * (title.length - 1 - i), "text-anchor": "end", "font-size": 11 },
          text,
        ),
      );
    });
    root.append(swatch(key, right - Math.max(...title.map(({ length }) => LETTER * length)) - SWATCH, 17));
  }
  scene.groups.forEach((group, index) => root.append(...drawFrame(index, place)));
  for (const row of place.rows) {
    root.append(drawRow(view, row, place, most));
  }
  scene.groups.forEach((group, index) => root.append(...drawLimit(group, index, place, most)));
  return root;
}

/** Around the lines of ranks that share a limit. */
function drawFrame(index, place) {
  const mine = place.rows.filter((row) => row.group === index);
  if (mine.length === 1) {
    return [];
  }
  const [first, last] = [mine[0], mine.at(-1)];
  const frame = {
    x: 0.5,
    y: first.y + 0.5,
    width: place.width - 1,
    height: last.y + last.height - first.y + 2,
    rx: 4,
  };
  return [svg("rect", { class: "kk-shared", ...frame, style: { fill: "none", stroke: "var(--kk-line)" } })];
}

function swatch(key, x, y) {
  const style = key === "free" ? { fill: "none", stroke: "var(--kk-line)" } : { fill: FILL[key] };
  return svg("rect", { x, y, width: 10, height: 10, style });
}

function drawRow(view, row, place, most) {
  const { scene, context } = view;
  const group = scene.groups[row.group];
  const { top } = row;
  const line = svg("g", {
    class: "kk-bar",
    dataset: { rank: row.rank ?? "", host: group.host },
    tabindex: 0,
    role: "img",
    "aria-label": spoken(scene, row, context),
    onmouseenter: () => look(view, row),
    onfocus: () => look(view, row),
  });
  line.append(
    svg("rect", {
      class: "kk-back",
      x: 1,
      y: row.y + 1,
      width: place.width - 2,
      height: row.height,
      fill: "transparent",
    }),
  );
  line.append(...label(row, group, place, top + BAR / 2 + 4));
  const parts = pieces(group, row, context);
  if (row.shared) {
    line.append(...drawStep(parts, row, top, place, most));
  }
  for (const piece of parts) {
    line.append(...drawPiece(piece, { ...box(piece, most, place.bar), y: top, height: BAR }));
  }
  line.append(...numbers(scene, row, context, place, row.figures));
  return line;
}

/** From the end of the step above down to where this one begins. */
function drawStep(parts, row, top, place, most) {
  if (!parts.length || parts[0].start === 0 || parts[0].start > most) {
    return [];
  }
  const { x } = box(parts[0], most, place.bar);
  return [
    svg("line", {
      x1: x,
      x2: x,
      y1: place.stacked ? top - 7 : top - row.height + BAR, // figures stand between the bars
      y2: top,
      style: { stroke: "var(--kk-soft)", "stroke-dasharray": "2 2" },
    }),
  ];
}

/** What a line is called, from one drawing to the next. */
export function rowId(row) {
  return `${row.kind}-${row.rank ?? row.group}`;
}

function look(view, row) {
  view.chosen = rowId(row);
  view.show?.();
}

function label(row, group, place, y) {
  const host = place.names[row.group];
  const rank = svg(
    "text",
    { x: row.shared ? 16 : 6, y, "font-size": 12, "font-weight": 600, class: "kk-label" },
    row.kind === "host" ? host : String(row.rank),
  );
  const name = svg(
    "text",
    { x: 26, y, "font-size": 11, class: "kk-label kk-soft" },
    host,
    svg("title", {}, group.host),
  );
  return row.kind === "host" || row.shared ? [rank] : [rank, name];
}

function drawPiece(piece, { x, y, width, height, cut }) {
  const whole = { x, y, width, height };
  const kind = { class: "kk-piece", dataset: { kind: piece.kind, over: String(piece.over) } };
  if (piece.over) {
    const vermillion = { stroke: COLOURS.vermillion, "stroke-width": 1.5 };
    const beyond = svg(
      "text",
      { x: x + width + 4, y: y + height - 4, "font-size": 13, style: { fill: COLOURS.vermillion } },
      "»",
    );
    const shown = [
      svg("rect", { ...whole, ...kind, style: { ...vermillion, fill: "var(--kk-paper)" } }),
      svg("path", { d: hatch(whole), style: vermillion }),
    ];
    return [...(width > 0 ? shown : []), ...(cut ? [beyond] : [])];
  }
  if (piece.kind === "free") {
    return [svg("rect", { ...whole, ...kind, style: { fill: "none", stroke: "var(--kk-line)" } })];
  }
  return [svg("rect", { ...whole, ...kind, style: { fill: FILL[piece.kind] } })];
}

function numbers(scene, row, context, place, y) {
  const group = scene.groups[row.group];
  const { ranks, used, free } = amounts(group, context);
  const own = row.kind === "rank" ? ranks[row.nth] : null;
  const ofDevice = row.kind === "host" || !row.shared;
  const texts = {
    weights: own ? formatBytes(own.weights) : "",
    kv: own ? (own.kv === null ? "?" : formatBytes(own.kv)) : "",
    used: ofDevice ? (group.used_bytes === null ? "?" : formatBytes(used)) : "",
    free: ofDevice ? (free < 0 ? `lacks ${formatBytes(-free)}` : formatBytes(free)) : "",
  };
  return place.columns.map(({ key, right }) => {
    const short = key === "free" && free < 0;
    return svg(
      "text",
      {
        x: right,
        y,
        "text-anchor": "end",
        "font-size": 12,
        dataset: { column: key },
        class: "kk-number",
        "font-weight": short ? 700 : 400,
      },
      texts[key],
    );
  });
}

/** The limit: a line through all lines that share it, with its figure on top. */
function drawLimit(group, index, place, most) {
  const mine = place.rows.filter((row) => row.group === index);
  const ranks = group.ranks.map(({ rank }) => rank);
  const text = `limit ${formatBytes(group.limit_bytes)}${ranks.length > 1 ? `, shared by ${names(ranks)}` : ""}`;
  const { x, nameEnd } = limitAt(group, most, place.bar, text, place.width - 2);
  const top = mine[0].top - 3;
  // Through all bars at once, unless figures stand between them.
  const spans = place.stacked
    ? mine.map((row) => [row.top - 3, row.top + BAR + 2])
    : [[top, mine.at(-1).top + BAR + 3]];
  return [
    ...spans.map(([y1, y2]) =>
      svg("line", {
        class: "kk-limit",
        x1: x,
        x2: x,
        y1,
        y2,
        style: { stroke: "var(--kk-ink)", "stroke-width": 2 },
      }),
    ),
    svg(
      "text",
      { class: "kk-label kk-limit-name", x: nameEnd, y: top - 2, "text-anchor": "end", "font-size": 11 },
      text,
    ),
  ];
}
