// What stands under the drawing: the legend, sentences on bad links, the details of what was chosen, and tables.

import { COLOURS, html, svg } from "./kit.js";
import { lineWidth } from "./topology_geometry.js";
import { warning } from "./topology_edges.js";

const SAMPLES = [
  ["100 MB/s", 1e8],
  ["1 GB/s", 1e9],
  ["10 GB/s", 1e10],
];
const RANK_COLUMNS = ["host", "rank", "state", "doing"];
const LINK_COLUMNS = ["ranks", "link", "over", "nominal", "bandwidth", "latency", "of nominal", "note"];

/** What the lines mean, as far as the scene has such lines. */
export function legend(scene, halo) {
  const { links } = scene;
  const has = (state) => links.some((link) => link.state === state);
  const items = [];
  if (has("measured") || has("low")) {
    const widths = SAMPLES.map(([words, rate]) => sample({ width: lineWidth(rate) }, words));
    items.push([["bandwidth, log scale:", ...widths], ""]);
  }
  if (has("nominal")) {
    items.push([[sample({ width: 3, dash: "8 5" }, "")], "nominal, not measured"]);
  }
  if (has("low") || has("failed")) {
    items.push([[signed()], "far under nominal, or failed"]);
  }
  if (halo) {
    items.push([[sample({ width: 3, halo: true }, "")], `${scene.shape || "links"} in use`]);
    items.push([[sample({ width: 3, stroke: COLOURS.grey }, "")], "not in use"]);
  }
  return html("div", { class: "kk-legend kk-soft" }, items.map(([signs, words]) => html("span", {}, ...signs, words)));
}

function sample({ width, dash, halo, stroke = COLOURS.blue }, words) {
  const line = (attributes) => svg("path", { d: "M2 8H30", fill: "none", stroke, ...attributes });
  const drawn = [
    halo ? line({ class: "kk-halo", "stroke-width": width + 8 }) : null,
    line({ "stroke-width": width, "stroke-dasharray": dash ?? null }),
  ];
  return html("span", {}, svg("svg", { width: 32, height: 16, "aria-hidden": "true" }, drawn), words);
}

function signed() {
  const line = svg("path", { d: "M2 8H30", stroke: COLOURS.vermillion, "stroke-width": 3 });
  return svg("svg", { width: 32, height: 16, "aria-hidden": "true" }, line, warning(16, 8));
}

/** The sentences, each with the sign; none is an empty list. */
export function notes(scene) {
  const sign = () => svg("svg", { width: 16, height: 14, "aria-hidden": "true" }, warning(8, 7));
  return html("ul", { class: "kk-notes" }, scene.notes.map((note) => html("li", {}, sign(), html("span", {}, note))));
}

/** Fill the panel with what is known of the chosen host or link. */
export function showDetail(panel, scene, chosen, close) {
  const found = chosen?.host ? hostDetail(scene, chosen.host) : chosen ? linkDetail(scene.links[chosen.link]) : null;
  // The same rows in the same places: a selection in the panel, and the focus on its button, outlive an update.
  if (found && replaceTexts(panel, found)) {
    return;
  }
  panel.replaceChildren(...(found ? [html("button", { class: "kk-close", "aria-label": "close details", onclick: close }, "×"), ...found] : []));
}

function hostDetail(scene, name) {
  const host = scene.hosts.find((one) => one.name === name);
  if (!host) {
    return null;
  }
  const head = [heading([host.name, host.chip].filter(Boolean).join(", "))];
  if (host.memory) {
    head.push(html("div", {}, `memory ${host.memory}`));
  }
  if (!host.ranks.length) {
    return head;
  }
  // Columns that say nothing of any rank are left out.
  const names = host.ranks[0].facts.map(([label]) => label);
  const kept = names.flatMap((label, at) => (host.ranks.some((rank) => rank.facts[at][1]) ? [at] : []));
  const rows = host.ranks.map((rank) => [String(rank.rank), ...kept.map((at) => rank.facts[at][1])]);
  return [...head, table(["rank", ...kept.map((at) => names[at])], rows)];
}

function linkDetail(link) {
  if (!link) {
    return null;
  }
  const facts = html("table", {}, link.facts.map(([label, value]) => html("tr", {}, html("th", { scope: "row" }, label), html("td", {}, value))));
  return [heading(link.title), ...(link.note ? [html("div", { class: "kk-note" }, link.note)] : []), facts];
}

function heading(words) {
  return html("div", { class: "kk-title" }, words);
}

function table(columns, rows) {
  const head = html("tr", {}, columns.map((name) => html("th", { scope: "col" }, name)));
  return html("table", {}, html("thead", {}, head), html("tbody", {}, rows.map((row) => html("tr", {}, row.map((cell) => html("td", {}, cell))))));
}

/** All that the drawing shows, to be read; filled while it is open only. */
export function tables() {
  const body = html("div", { class: "kk-scroll" });
  const summary = html("summary", {});
  let scene = null;
  const node = html("details", { class: "kk-tables", ontoggle: () => fill() }, summary, body);
  const fill = () => {
    if (!node.open) {
      return;
    }
    const ranks = scene.hosts.flatMap((host) => host.ranks.map((rank) => [host.name, String(rank.rank), rank.state, rank.line]));
    const parts = [];
    if (ranks.length) {
      parts.push(table(RANK_COLUMNS, ranks));
    }
    if (scene.links.length) {
      parts.push(table(LINK_COLUMNS, scene.links.map((link) => link.cells)));
    }
    if (!replaceTexts(body, parts)) {
      body.replaceChildren(...parts);
    }
  };
  const update = (now) => {
    scene = now;
    summary.textContent = `As a table: ${counted(ranksOf(now) || now.hosts.length, ranksOf(now) ? "rank" : "host")}, ${counted(now.links.length, "link")}`;
    fill();
  };
  return { node, update };
}

function ranksOf(scene) {
  return scene.hosts.reduce((sum, host) => sum + host.ranks.length, 0);
}

function counted(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** Put the texts of `fresh` into the same elements that stand there already; false if they are not the same. */
function replaceTexts(place, fresh) {
  const standing = [...place.children].filter((child) => !child.classList.contains("kk-close"));
  if (standing.length !== fresh.length || !standing.every((child, at) => alike(child, fresh[at]))) {
    return false;
  }
  standing.forEach((child, at) => copyTexts(child, fresh[at]));
  return true;
}

function alike(one, two) {
  return (
    one.tagName === two.tagName &&
    one.children.length === two.children.length &&
    [...one.children].every((child, at) => alike(child, two.children[at]))
  );
}

function copyTexts(to, from) {
  if (to.children.length) {
    [...to.children].forEach((child, at) => copyTexts(child, from.children[at]));
  } else if (to.textContent !== from.textContent) {
    to.textContent = from.textContent;
  }
}
