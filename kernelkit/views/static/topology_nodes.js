// A host as a box: its name, chip and memory, and a chip for each rank that says what the rank does.

import { COLOURS, pressable, set, svg } from "./kit.js";
import { PAD } from "./topology_geometry.js";
import { fit, fitName } from "./topology_text.js";

const BAR_HEIGHT = 6;
const WIDEST_BAR = 280;

// A shape for each state, around zero, 12 px across; the word stands beside it.
const GLYPHS = {
  idle: { d: "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0Z", stroke: "var(--kk-soft)", fill: "none" },
  running: { d: "M-4 -6L6 0L-4 6Z", stroke: COLOURS.green, fill: COLOURS.green },
  waiting: { d: "M-5 -6H5L-5 6H5Z", stroke: COLOURS.orange, fill: COLOURS.orange },
  silent: { d: "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0Z", stroke: "var(--kk-soft)", fill: "none", dash: "2 2.5" },
  gone: { d: "M-5 -5L5 5M5 -5L-5 5", stroke: COLOURS.vermillion, fill: "none" },
};

/** Gives `{node, update(host)}`; `update` changes texts and shapes and leaves the elements as they are. */
export function hostNode(host, box, rows, context) {
  const left = box.x + PAD;
  const room = box.w - 2 * PAD;
  const barRoom = Math.min(room, WIDEST_BAR);
  const text = (value, y, how) => svg("text", { x: left, y: box.y + y, ...how }, value);
  const frame = svg("rect", { class: "kk-box", x: box.x, y: box.y, width: box.w, height: box.h, rx: 8 });
  const memory = rows.memory ? memoryBar(left, box.y + rows.memoryAt, barRoom, context) : null;
  const ranks = host.ranks.map((rank, at) => rankChip(box.chips[at], context));
  const node = svg(
    "g",
    { class: "kk-node", dataset: { host: host.name }, role: "button" },
    frame,
    svg("title", {}, host.chip ? `${host.name}, ${host.chip}` : host.name),
    text(fitName(host.name, room, 14, true, context.measure), rows.nameAt, { "font-size": 14, "font-weight": 600 }),
    rows.chip
      ? text(fit(host.chip, room, 12, false, context.measure), rows.chipAt, { "font-size": 12, class: "kk-soft" })
      : null,
    memory?.node,
    ranks.map((rank) => rank.node),
  );
  pressable(node, () => context.choose({ host: host.name }));
  const update = (now) => {
    memory?.update(now);
    now.ranks.forEach((rank, at) => ranks[at].update(rank));
    set(node, "aria-label", spoken(now));
  };
  update(host);
  return { node, update };
}

function spoken(host) {
  const ranks = host.ranks.map(({ rank, state, line }) => [`rank ${rank} ${state}`, line].filter(Boolean).join(": "));
  return [host.name, host.chip, host.memory && `memory ${host.memory}`, ...ranks].filter(Boolean).join(", ");
}

function memoryBar(x, y, room, { measure }) {
  const words = svg("text", { x, y, "font-size": 11, class: "kk-soft" });
  const [ground, used] = ["kk-memory", "kk-memory-used"].map((name) =>
    svg("rect", { class: name, x, y: y + 5, width: room, height: BAR_HEIGHT, rx: 3 }),
  );
  const update = ({ memory, memory_bytes: total, used_bytes: taken }) => {
    words.textContent = fit(memory, room, 11, false, measure);
    const share = total && taken !== null ? Math.min(1, taken / total) : 0;
    set(used, "width", (share * room).toFixed(1));
    set(ground, "visibility", total && taken !== null ? null : "hidden");
  };
  return { node: svg("g", {}, words, ground, used), update };
}

function rankChip({ x, y, w, h, tall }, { measure, hatch }) {
  const [baseline, textAt] = [y + (tall ? 17 : h / 2 + 4), x + 24];
  const back = svg("rect", { class: "kk-chip", x, y, width: w, height: h, rx: 4 });
  const hatched = svg("rect", { x, y, width: w, height: h, rx: 4, fill: `url(#${hatch})`, "pointer-events": "none" });
  const glyph = svg("path", { transform: `translate(${x + 12} ${baseline - 4})`, "stroke-width": 2 });
  const name = svg("text", { x: textAt, y: baseline, "font-size": 12, "font-weight": 600 });
  const word = svg("text", { x: x + w - 8, y: baseline, "font-size": 11, "text-anchor": "end" });
  const line = svg("text", { y: tall ? y + 33 : baseline, "font-size": 11, class: "kk-soft" });
  const full = svg("title");
  const node = svg("g", { class: "kk-rank" }, back, hatched, glyph, name, word, line, full);
  // The word for the state matters more than the word "rank"; decided once, so that nothing jumps.
  const spelled = tall && w >= 40 + measure("rank 88", 12, true) + measure("waiting", 11);
  const update = (rank) => {
    const shape = GLYPHS[rank.state] ?? GLYPHS.silent;
    const title = spelled ? `rank ${rank.rank}` : String(rank.rank);
    set(node, "dataset", { rank: rank.rank, state: rank.state });
    set(glyph, "d", shape.d);
    set(glyph, "fill", shape.fill);
    set(glyph, "stroke", shape.stroke);
    set(glyph, "stroke-dasharray", shape.dash ?? null);
    set(hatched, "visibility", rank.state === "waiting" ? null : "hidden");
    say(name, title);
    const nameWidth = measure(title, 12, true) + 8;
    const wordRoom = w - 32 - nameWidth;
    const shown = measure(rank.state, 11) <= wordRoom ? rank.state : "";
    say(word, shown);
    set(line, "x", textAt + (tall ? 0 : nameWidth));
    say(line, fit(rank.line, tall ? w - 32 : wordRoom - measure(shown, 11) - 8, 11, false, measure));
    say(full, [`rank ${rank.rank}, ${rank.state}`, rank.line].filter(Boolean).join(": "));
  };
  return { node, update };
}

/** Text changes only where it differs: a page that is read out or selected is left in peace. */
function say(element, value) {
  if (element.textContent !== value) {
    element.textContent = value;
  }
}
