// The slider that sets the context, on a track that shows what fits.

import { hatch } from "./common_geometry.js";
import { COLOURS, grouped, html, svg } from "./kit.js";
import { contextSteps, shortContext, trackPart, trackTicks } from "./memory_geometry.js";
import { tokens } from "./memory_words.js";

/** The slider's thumb keeps its middle within the track. */
export const THUMB = 16;

/** Fill `place` with the slider; `view.bars()` draws anew once `view.context` has changed. */
export function drawSlider(place, view) {
  const { scene } = view;
  if (!scene.kv_known) {
    place.replaceChildren(html("div", {}, `KV cache not known: ${scene.kv_words}`));
    return;
  }
  const steps = contextSteps(scene);
  const width = Math.min(560, view.width - 2 * THUMB);
  const number = html("output", { class: "kk-context" }, tokens(view.context));
  const input = html("input", {
    type: "range",
    min: 0,
    max: steps.length - 1,
    step: 1,
    "aria-label": "context, in tokens",
    style: { width: `${width}px` },
  });
  const choose = (context) => {
    view.context = context;
    number.textContent = tokens(context);
    input.setAttribute("aria-valuetext", tokens(context));
    view.bars();
  };
  const index = steps.findIndex((step) => step >= view.context);
  input.value = String(index < 0 ? steps.length - 1 : index);
  input.setAttribute("aria-valuetext", tokens(view.context));
  input.oninput = () => choose(steps[Number(input.value)]);
  input.onkeydown = (event) => event.stopPropagation(); // arrows move the slider, not the notebook's cells
  const jump = (context, label) =>
    html(
      "button",
      { type: "button", onclick: () => ((input.value = String(steps.indexOf(context))), choose(context)) },
      label,
    );
  const largest = scene.largest_context;
  place.replaceChildren(
    html(
      "div",
      { class: "kk-row" },
      html("label", {}, "context ", number, scene.batch > 1 ? ` in each of ${scene.batch} sequences` : ""),
      largest ? jump(largest, `largest that fits: ${grouped(largest)}`) : null,
      html("span", { class: "kk-fits" }, scene.fits_words),
    ),
    html("div", { class: "kk-rail" }, drawTrack(steps, scene, width), input),
  );
}

/** The slider's track: what fits, and, hatched, what does not. */
function drawTrack(steps, scene, width) {
  const at = (context) => THUMB / 2 + (width - THUMB) * trackPart(steps, context);
  const root = svg("svg", { width: width + THUMB, height: 40, class: "kk-track", "aria-hidden": "true" });
  const end = at(scene.longest_context);
  const full = scene.largest_context === null ? end : at(scene.largest_context);
  root.append(
    svg("rect", { x: at(0), y: 6, width: full - at(0), height: 7, style: { fill: COLOURS.orange } }),
  );
  if (end - full > 1) {
    const beyond = { x: full, y: 6, width: end - full, height: 7 };
    root.append(svg("rect", { ...beyond, style: { fill: "none", stroke: COLOURS.vermillion } }));
    root.append(svg("path", { d: hatch(beyond), style: { stroke: COLOURS.vermillion } }));
  }
  for (const { context, x, name } of trackTicks(steps, at, width + THUMB)) {
    root.append(svg("line", { x1: x, x2: x, y1: 16, y2: 20, style: { stroke: "var(--kk-soft)" } }));
    root.append(
      svg(
        "text",
        { x: name, y: 32, "text-anchor": "middle", "font-size": 11, class: "kk-soft" },
        shortContext(context),
      ),
    );
  }
  return root;
}
