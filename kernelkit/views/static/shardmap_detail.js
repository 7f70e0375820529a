// The panel below: one matrix in full with its cuts, and in words what the chosen rank has of it and why.

import { formatBytes, grouped, html, svg } from "./kit.js";
import { patterns } from "./shardmap_paint.js";
import { shareOf } from "./shardmap_geometry.js";
import { isCut, shapeText, sizesOf, stripesOf } from "./shardmap_layer_geometry.js";
import { matrixParts } from "./shardmap_layer.js";
import { FONT } from "./shardmap_text.js";

const DRAWING = { width: 250, height: 150, left: 58, top: 20 };
const LONGEST = 8;

/** The panel's content for a matrix of `row` as `rank` holds it. */
export function detail(map, row, matrix, rank, prefix) {
  const share = shareOf(matrix, rank, row.owner);
  return html("div", { class: "kk-shards-detail" },
    figure(row, matrix, rank, prefix), facts(map, row, matrix, rank, share));
}

/** Where the detail's rectangle stands; its sides' lengths are true up to one to eight. Pure. */
export function detailBox(matrix) {
  const { across, down, stack } = sizesOf(matrix);
  const sides = [Math.min(across, LONGEST * (down ?? across)), Math.min(down ?? across / 12, LONGEST * across)];
  const scale = Math.min(DRAWING.width / sides[0], DRAWING.height / sides[1]);
  const box = { x: DRAWING.left, y: DRAWING.top, width: sides[0] * scale, height: Math.max(12, sides[1] * scale) };
  const shortened = down !== null && Math.max(across / down, down / across) > LONGEST;
  return { ...box, across, down, stack, shortened };
}

function figure(row, matrix, rank, prefix) {
  const box = detailBox(matrix);
  const block = { ...box, stripes: stripesOf(matrix, box, row.owner) };
  const label = `${matrix.name} in full, cut by ${matrix.cut}; rank ${rank}'s part stands out`;
  const width = box.x + Math.max(box.width, 110) + 12;
  const across = `${grouped(box.across)} ${matrix.across.name}`;
  const down = matrix.down ? [grouped(box.down), matrix.down.name] : [];
  return svg(
    "svg",
    { class: "kk-shards-matrix", width, height: box.y + box.height + 22, role: "img", "aria-label": label },
    patterns(prefix),
    svg("text", { class: "kk-label", x: box.x, y: 13, "font-size": FONT }, `${across} →`),
    ...down.map((text, index) =>
      svg("text", { class: "kk-label", x: box.x - 6, y: box.y + 11 + index * 14, "font-size": FONT,
        "text-anchor": "end" }, index ? `${text} ↓` : text)),
    ...matrixParts(block, matrix.cut, prefix, rank),
    box.shortened
      ? svg("text", { class: "kk-label kk-soft", x: box.x, y: box.y + box.height + 15, "font-size": FONT },
          "sides not to scale")
      : null,
  );
}

function facts(map, row, matrix, rank, share) {
  const entries = factsOf(map, row, matrix, rank, share);
  return html("div", { class: "kk-shards-facts" },
    html("div", { class: "kk-shards-path" }, matrix.path.replace("*", String(row.layer))),
    html("dl", {}, ...entries.flatMap(([name, value]) => [html("dt", {}, name), html("dd", {}, value)])));
}

/** What is said about a matrix on a rank, as pairs of a name and words. Pure. */
export function factsOf(map, row, matrix, rank, share) {
  const where = row.layer === null ? "" : ` of layer ${row.layer}`;
  if (!share) {
    const holder = row.owner === null ? "" : `; rank ${row.owner} has it`;
    return [["rank", `rank ${rank} holds nothing${where}${holder}`], ["shape", shapeText(matrix.shape)]];
  }
  const whole = !isCut(matrix);
  const added = ["padding", "repeated"].filter((what) => share[what])
    .map((what) => `, ${grouped(share[what])} of it ${what}`).join("");
  const total = matrix.share_of.reduce((sum, i) => sum + (i < 0 ? 0 : matrix.shares[i].size_bytes), 0);
  const groups = matrix.group_size ? ` in groups of ${matrix.group_size}` : "";
  const label = labelOf(map, row, matrix, rank);
  const stored = matrix.arrays.map((array, i) => `${array.name} ${shapeText(array.shape)}${
    whole ? "" : ` → ${shapeText(share.stored[i])}`} ${array.dtype}`);
  return [
    ["rank", label ? `${rank}, ${label}` : String(rank)],
    ["cut", matrix.cut === "column" || matrix.cut === "row" ? `by ${matrix.cut}` : matrix.cut],
    ["shape", whole ? shapeText(matrix.shape) : `${shapeText(matrix.shape)} → ${shapeText(share.shape)}${added}`],
    ["weights", matrix.bits ? `${matrix.bits}-bit${groups}` : matrix.dtype],
    ...(matrix.arrays.length > 1 || matrix.bits ? [["stored", stored.join("; ")]] : []),
    ["bytes", formatBytes(share.size_bytes) + (whole ? "" : ` of ${formatBytes(total)} on all ranks`)],
    ["then", matrix.collective || "no collective"],
    ["why", matrix.why],
  ];
}

/** The heads that a matrix belongs to, or the layers of the rank. */
function labelOf(map, row, matrix, rank) {
  const { label, kv_label: ofKeys } = map.ranks[rank];
  if (row.owner !== null) {
    return label;
  }
  const keys = /\b[kv]_proj$/.test(matrix.module);
  return matrix.group === "attention" && row.layer !== null ? (keys ? ofKeys : label) : "";
}
