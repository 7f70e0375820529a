// The cluster: hosts and ranks as boxes, links as lines, details of what is chosen; updated in place while a cell runs.

import { COLOURS, html, onWidth, svg } from "./kit.js";
import { legend, notes, showDetail, tables } from "./topology_detail.js";
import { edgeNode, labelNode, loneSign } from "./topology_edges.js";
import { layout } from "./topology_geometry.js";
import { hostNode } from "./topology_nodes.js";

let views = 0;

/** Draw `scene` (see kernelkit/views/topology.py) into `el`; gives `{update(scene, alt), destroy()}`. */
export function draw(el, scene, options = {}) {
  const hatch = `kk-hatch-${(views += 1)}`;
  const measure = measurer(el);
  let shown = { scene, width: 0, parts: [] };
  let chosen = null;
  let alt = options.alt;

  const title = html("div", { class: "kk-title" });
  const subtitle = html("div", { class: "kk-soft" });
  const kinds = html("div", { class: "kk-soft" });
  const place = html("div", { class: "kk-map" });
  const under = html("div");
  const panel = html("div", { class: "kk-detail", role: "region", "aria-label": "details" });
  const table = tables();
  el.append(html("style", {}, STYLE), title, subtitle, kinds, place, under, panel, table.node);
  el.classList.add("kk-topology");
  light(place, () => shown.scene);
  el.onkeydown = (event) => {
    if (event.key === "Escape" && chosen) {
      event.stopPropagation();
      choose(null);
    }
  };

  function choose(what) {
    const same = what && chosen && what.host === chosen.host && what.link === chosen.link;
    chosen = same ? null : what;
    mark();
    showDetail(panel, shown.scene, chosen, () => choose(null));
  }

  function mark() {
    for (const node of place.querySelectorAll("[role=button]")) {
      const { host, link } = node.dataset;
      const on = chosen && (chosen.host === undefined ? link === String(chosen.link) : host === chosen.host);
      node.setAttribute("aria-pressed", String(Boolean(on)));
    }
    for (const label of place.querySelectorAll(".kk-label")) {
      label.classList.toggle("kk-chosen", label.dataset.link === String(chosen?.link));
    }
  }

  function build(width) {
    const focus = focusOf(place);
    const drawing = picture(shown.scene, width, { measure, hatch, choose, alt });
    shown = { ...shown, width, parts: drawing.parts };
    place.replaceChildren(drawing.node);
    under.replaceChildren(...drawing.under);
    mark();
    focus && place.querySelector(focus)?.focus({ preventScroll: true });
    say();
  }

  function say() {
    title.textContent = shown.scene.title;
    subtitle.textContent = shown.scene.subtitle;
    kinds.textContent = shown.scene.kinds;
    showDetail(panel, shown.scene, chosen, () => choose(null));
    table.update(shown.scene);
  }

  function update(next, words) {
    alt = words ?? alt;
    const same = skeleton(next) === skeleton(shown.scene);
    shown.scene = next;
    if (!same && shown.width) {
      build(shown.width);
      return;
    }
    place.querySelector("svg")?.setAttribute("aria-label", alt ?? next.title);
    shown.parts.forEach((change) => change(next));
    say();
  }

  const stop = onWidth(place, build);
  return {
    update,
    destroy() {
      stop();
      el.replaceChildren();
    },
  };
}

/** All of the drawing at one width: its element, what stands under it, and how to bring it up to date. */
function picture(scene, width, context) {
  const plan = layout(scene, width, context.measure);
  const halo = scene.links.some((link) => link.in_use) && scene.links.some((link) => !link.in_use);
  const parts = [];
  const part = ({ node, update }, which) => {
    parts.push((now) => update(which(now)));
    return node;
  };
  // What is in use is drawn over what is not.
  const order = scene.links.map((_, at) => at).filter((at) => plan.lines[at]);
  order.sort((a, b) => scene.links[a].in_use - scene.links[b].in_use);
  const edges = order.map((at) =>
    part(edgeNode(scene.links[at], at, plan.lines[at], halo && scene.links[at].in_use, context), (now) => now.links[at]),
  );
  const inside = edges.filter((_, at) => plan.lines[order[at]].inside !== undefined);
  const labels = order.map((at) =>
    part(labelNode(scene.links[at], at, plan.labels[at], context), (now) => now.links[at]),
  );
  const signs = order.filter((at) => !plan.labels[at].shown && scene.links[at].note).map((at) => loneSign(plan.lines[at]));
  const hosts = scene.hosts.map((host, at) =>
    part(hostNode(host, plan.boxes[at], plan.rows, context), (now) => now.hosts[at]),
  );
  const node = svg(
    "svg",
    {
      width: plan.width,
      height: plan.height,
      viewBox: `0 0 ${plan.width} ${plan.height}`,
      role: "group",
      "aria-label": context.alt ?? scene.title,
    },
    svg("defs", {}, hatching(context.hatch)),
    edges.filter((edge) => !inside.includes(edge)),
    hosts,
    inside,
    signs,
    labels,
  );
  return { node, under: [legend(scene, halo), hint(plan), notes(scene)], parts };
}

function hint({ labels }) {
  const tucked = labels.filter((label) => label && !label.shown).length;
  const room = tucked ? ` ${tucked} labels have no room here: point at a link, or see the table.` : "";
  return html("div", { class: "kk-soft" }, `Click a host or a link, or press Enter on it, for its details.${room}`);
}

/** While a host or a link is pointed at or has the focus, it and what it joins stand out. */
function light(place, sceneNow) {
  const lit = (target) => {
    const data = target?.closest(".kk-node, .kk-edge, .kk-label")?.dataset;
    const { hosts, links } = sceneNow();
    const host = hosts.findIndex((one) => one.name === data?.host);
    place.classList.toggle("kk-some", data !== undefined);
    for (const one of place.querySelectorAll(".kk-edge, .kk-label")) {
      const told = data !== undefined && data.link === one.dataset.link;
      one.classList.toggle("kk-told", told);
      one.classList.toggle("kk-lit", told || links[one.dataset.link].ends.includes(host));
    }
  };
  // Listeners stand on an element of HTML: some browsers give the focus to any SVG that listens for it.
  place.onpointerover = (event) => lit(event.target);
  place.onpointerleave = () => lit(place.querySelector(":focus-visible"));
  place.addEventListener("focusin", (event) => lit(event.target.matches(":focus-visible") ? event.target : null));
  place.addEventListener("focusout", () => lit(null));
}

function hatching(id) {
  return svg(
    "pattern",
    { id, width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
    svg("path", { d: "M0 0V6", stroke: COLOURS.orange, "stroke-width": 2.5, opacity: 0.4 }),
  );
}

/** All that decides where things stand; two scenes with the same one share their elements. */
function skeleton(scene) {
  const hosts = scene.hosts.map(({ name, chip, memory, ranks }) => [name, chip, Boolean(memory), ranks.map(({ rank }) => rank)]);
  const links = scene.links.map(({ ends, ranks, state, in_use: used, label, rate_bytes_per_s: rate }) => [ends, ranks, state, used, label, rate]);
  return JSON.stringify([scene.shape, scene.live, scene.notes, hosts, links]);
}

/** A selector of what has the focus, which finds its successor in a new drawing. */
function focusOf(place) {
  const active = place.getRootNode().activeElement;
  const data = place.contains(active) ? active.dataset : {};
  return data.host !== undefined ? `.kk-node[data-host="${CSS.escape(data.host)}"]` : data.link ? `.kk-edge[data-link="${data.link}"]` : "";
}

/** Text widths in the page's own font, each measured once. */
function measurer(el) {
  const pen = document.createElement("canvas").getContext("2d");
  const known = new Map();
  return (text, size, bold = false) => {
    const key = `${size} ${bold} ${text}`;
    if (!known.has(key)) {
      if (known.size > 5000) {
        known.clear(); // what ranks do changes for as long as they run
      }
      pen.font = `${bold ? 600 : 400} ${size}px ${getComputedStyle(el).fontFamily}`;
      known.set(key, pen.measureText(text).width);
    }
    return known.get(key);
  };
}

const STYLE = `
.kk-topology .kk-box { fill: var(--kk-paper); stroke: var(--kk-line); stroke-width: 1.25; }
.kk-topology .kk-node, .kk-topology .kk-edge, .kk-topology .kk-label { cursor: pointer; }
.kk-topology .kk-node:hover .kk-box { stroke: var(--kk-soft); }
.kk-topology .kk-node[aria-pressed="true"] .kk-box { stroke: ${COLOURS.blue}; stroke-width: 2.5; }
.kk-topology .kk-node:focus-visible { outline: none; }
.kk-topology .kk-node:focus-visible .kk-box { stroke: ${COLOURS.sky}; stroke-width: 4; }
.kk-topology .kk-chip { fill: var(--kk-panel); }
.kk-topology .kk-memory { fill: var(--kk-panel); stroke: var(--kk-line); stroke-width: 0.75; }
.kk-topology .kk-memory-used { fill: ${COLOURS.blue}; }
.kk-topology .kk-line { stroke: ${COLOURS.blue}; }
.kk-topology .kk-spare .kk-line { stroke: ${COLOURS.grey}; }
.kk-topology .kk-low .kk-line, .kk-topology .kk-failed .kk-line { stroke: ${COLOURS.vermillion}; }
.kk-topology .kk-halo { stroke: ${COLOURS.sky}; opacity: 0.35; }
.kk-topology .kk-hit { stroke: transparent; pointer-events: stroke; }
.kk-topology .kk-edge:focus-visible { outline: none; }
.kk-topology .kk-edge:focus-visible .kk-hit, .kk-topology .kk-edge[aria-pressed="true"] .kk-hit { stroke: ${COLOURS.sky}; opacity: 0.5; }
.kk-topology .kk-label { fill: var(--kk-ink); }
.kk-topology .kk-plate { fill: var(--kk-paper); }
.kk-topology .kk-label.kk-spare, .kk-topology .kk-label.kk-spare text { fill: var(--kk-soft); }
.kk-topology .kk-tucked { visibility: hidden; pointer-events: none; }
.kk-topology .kk-tucked.kk-told, .kk-topology .kk-tucked.kk-chosen { visibility: visible; }
.kk-topology .kk-chosen .kk-plate, .kk-topology .kk-told .kk-plate { stroke: ${COLOURS.sky}; stroke-width: 1.5; }
.kk-topology .kk-some .kk-edge:not(.kk-lit), .kk-topology .kk-some .kk-label:not(.kk-lit) { opacity: 0.25; }
.kk-topology .kk-legend { display: flex; flex-wrap: wrap; gap: 2px 18px; margin: 6px 0 2px; }
.kk-topology .kk-legend span { align-items: center; display: inline-flex; flex-wrap: wrap; gap: 5px; white-space: nowrap; }
.kk-topology .kk-legend svg { flex: none; }
.kk-topology .kk-notes { list-style: none; margin: 4px 0; padding: 0; }
.kk-topology .kk-notes li { align-items: start; display: flex; gap: 5px; }
.kk-topology .kk-notes svg { flex: none; margin-top: 2px; }
.kk-topology .kk-detail { overflow-x: auto; position: relative; }
.kk-topology .kk-close { position: absolute; right: 6px; top: 6px; }
.kk-topology .kk-scroll { overflow-x: auto; }
.kk-topology .kk-scroll table { margin: 6px 0; }
.kk-topology .kk-tables { margin-top: 6px; }
`;
