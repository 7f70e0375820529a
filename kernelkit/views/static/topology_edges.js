// A link as a line with its label: width by bandwidth, dashes and signs by state.

import { COLOURS, pressable, set, svg } from "./kit.js";
import { lineWidth } from "./topology_geometry.js";
import { LABEL } from "./topology_labels.js";
import { pointAt } from "./topology_lines.js";

const DASHES = { nominal: "8 5", failed: "3 4" };

/** The line. Gives `{node, update(link)}`. */
export function edgeNode(link, index, line, halo, context) {
  const width = lineWidth(link.state === "failed" ? null : link.rate_bytes_per_s);
  const common = { d: line.d, fill: "none" };
  const node = svg(
    "g",
    {
      class: ["kk-edge", `kk-${link.state}`, link.in_use ? "kk-used" : "kk-spare"].join(" "),
      dataset: { ranks: link.ranks.join("-"), link: index, state: link.state, used: link.in_use },
      role: "button",
    },
    halo ? svg("path", { ...common, class: "kk-halo", "stroke-width": width + 10 }) : null,
    svg("path", { ...common, class: "kk-line", "stroke-width": width, "stroke-dasharray": DASHES[link.state] ?? null }),
    svg("path", { ...common, class: "kk-hit", "stroke-width": Math.max(12, width + 6) }),
  );
  pressable(node, () => context.choose({ link: index }));
  const update = (now) => {
    const said = [now.title, ...now.label, now.sent, now.in_use ? "" : "not in use", now.note];
    set(node, "aria-label", said.filter(Boolean).join(", "));
  };
  update(link);
  return { node, update };
}

/** The label on its plate; hidden until it matters where there is no room for it. Gives `{node, update(link)}`. */
export function labelNode(link, index, label, context) {
  const bad = link.state === "low" || link.state === "failed";
  const middle = label.x + label.w / 2 + (bad ? LABEL.sign / 2 : 0);
  const first = label.y + LABEL.padY + LABEL.line - 3;
  const texts = [...label.lines, ...(label.counted ? [""] : [])].map((value, at) =>
    svg("text", { x: middle, y: first + at * LABEL.line, "font-size": LABEL.size, "text-anchor": "middle" }, value),
  );
  const node = svg(
    "g",
    {
      class: `kk-label${label.shown ? "" : " kk-tucked"}${link.in_use ? "" : " kk-spare"}`,
      dataset: { link: index, ranks: link.ranks.join("-") },
      "aria-hidden": "true",
      onclick: () => context.choose({ link: index }),
    },
    svg("rect", { class: "kk-plate", x: label.x, y: label.y, width: label.w, height: label.h, rx: 4 }),
    bad ? warning(middle - context.measure(label.lines[0], LABEL.size) / 2 - 11, first - 4) : null,
    texts,
  );
  const update = (now) => {
    if (label.counted) {
      texts.at(-1).textContent = now.sent || "↔ 0 B";
    }
  };
  update(link);
  return { node, update };
}

/** The sign alone, on the middle of a line whose label found no room. */
export function loneSign(line) {
  const { x, y } = pointAt(line, 0.5);
  return warning(x, y);
}

/** A triangle with an exclamation mark, 13 px wide. */
export function warning(x, y) {
  return svg(
    "g",
    { class: "kk-sign", transform: `translate(${x} ${y})` },
    svg("path", { d: "M0 -6L6.5 5.5H-6.5Z", fill: COLOURS.vermillion, stroke: COLOURS.vermillion, "stroke-linejoin": "round" }),
    svg("path", { d: "M0 -2.6V1.6M0 3V4.2", stroke: "#fff", "stroke-width": 1.6, fill: "none" }),
  );
}
