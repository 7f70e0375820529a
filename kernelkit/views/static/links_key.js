// The key of a curve: which line is which, and the figures of the fit in words.

import { formatBytes, html } from "./kit.js";
import { formatSize } from "./links_geometry.js";
import { sign } from "./links_marks.js";

/** The table that says which line is which, with the figures of the fit; then what was left out. */
export function key(series, nominals, view) {
  const rows = series.map((one) => {
    const { flow, link } = one;
    const share =
      link.nominal_bytes_per_s && flow.bandwidth_bytes_per_s
        ? flow.bandwidth_bytes_per_s / link.nominal_bytes_per_s
        : null;
    const name = `${means(one, view)}, ${over(link, view)}${link.in_use ? "" : ", not in use"}`;
    return row(
      sign(one),
      name,
      flow.formula || "not measured",
      share === null ? "" : `${percent(share)} of nominal`,
    );
  });
  rows.push(
    ...nominals.map(({ rate, titles }, i) =>
      row(sign(null, i), `${titles.join(", ")}, nominal`, `size / ${formatBytes(rate)}/s`, ""),
    ),
  );
  const heads = ["", "measured by, over", "fitted: time of a message =", ""].map((text) =>
    html("th", { scope: "col" }, text),
  );
  const table = html("table", {}, html("thead", {}, html("tr", {}, ...heads)), html("tbody", {}, ...rows));
  const skipped = series.filter(({ flow }) => flow.skipped.length);
  return [table, ...skipped.map((one) => html("div", { class: "kk-soft" }, leftOut(one, view)))];
}

function leftOut(one, view) {
  const [size, reason] = one.flow.skipped[0];
  const more = one.flow.skipped.length > 1 ? " and more" : "";
  return `${formatSize(size)}${more} by ${means(one, view)} over ${over(one.link, view)} left out: ${reason}`;
}

function row(swatch, name, fitted, note) {
  const cells = [
    ["kk-key", swatch],
    ["kk-name", name],
    ["kk-fit", fitted],
    ["kk-soft", note],
  ];
  return html("tr", {}, ...cells.map(([kind, content]) => html("td", { class: kind }, content)));
}

/** What measured a series. */
export function means({ tcp }, view) {
  return tcp ? "plain TCP" : `MLX (${view.scene.backend})`;
}

/** The interfaces in the direction that is shown: `en3 → en5`. */
export function over(link, view) {
  const ends = link.ranks[0] === view.pair[0] ? link.interfaces : [...link.interfaces].reverse();
  const names = [...new Set(ends.filter(Boolean))].join(" → ");
  return names ? `${link.title} (${names})` : link.title;
}

function percent(share) {
  return share >= 0.01 ? `${Math.round(100 * share)} %` : `${Number((100 * share).toPrecision(1))} %`;
}
