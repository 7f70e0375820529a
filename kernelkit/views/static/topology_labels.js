// Labels of links: which forms they have, and a place for each where it covers nothing, or none.

import { estimate } from "./topology_text.js";
import { crosses, meets } from "./topology_box.js";
import { pointAt } from "./topology_lines.js";

export const LABEL = { size: 11, line: 14, padX: 4, padY: 2, sign: 18 };

// Bytes are counted while one looks: room for the widest count keeps everything in its place.
const WIDEST_COUNT = "↔ 88.8 MB";
// From here on a drawing is a web, and labels that cover other lines would hide which line is whose.
const CROWDED = 16;
// From the middle of a line to near its ends.
const SHARES = Array.from({ length: 19 }, (_, at) => 0.5 + 0.04 * (at - 9));
const BAD = new Set(["low", "failed"]);

/** A label with the link's kind above it where that tells links apart, without, and narrow: `{lines, w, h}` each. */
export function labelForms(link, live, measure = estimate) {
  const split = link.label.flatMap((line) => line.split(" · "));
  const forms = [...(link.kind ? [[link.kind, ...link.label]] : []), link.label];
  if (link.label.length === 1 && split.length > 1) {
    forms.push(split);
  }
  const counted = live && link.in_use;
  return forms.map((lines) => {
    const widths = [...lines.map((line) => measure(line, LABEL.size)), counted ? measure(WIDEST_COUNT, LABEL.size) : 0];
    const w = Math.max(...widths) + 2 * LABEL.padX + (BAD.has(link.state) ? LABEL.sign : 0);
    const h = (lines.length + (counted ? 1 : 0)) * LABEL.line + 2 * LABEL.padY;
    return { lines, w, h, counted };
  });
}

/**
 * A place for each label.
 *
 * @returns for each link `{x, y, w, h, lines, counted, shown}`; where `shown` is false the place is one for
 *   moments in which it matters alone.
 */
export function placeLabels(links, lines, boxes, forms, canvas, headHeight) {
  const taken = [];
  const labels = Array(links.length).fill(null);
  const crowded = links.length > CROWDED;
  for (const index of byImportance(links, lines)) {
    const [line, bad] = [lines[index], BAD.has(links[index].state)];
    const ground = groundOf(line, boxes, canvas, headHeight);
    const others = lines.filter((other) => other && other !== line);
    const candidates = forms[index]
      .flatMap((form, tight) => candidatesOf(line, form, tight, !crowded || bad))
      .filter((candidate) => inside(candidate, ground.within) && !ground.solid.some((box) => meets(candidate, box, 3)))
      .sort((a, b) => a.cost - b.cost);
    const best = cheapest(
      candidates.filter((candidate) => !taken.some((label) => meets(candidate, label, 2))),
      others,
      crowded && !bad ? 0 : Infinity,
    );
    const { form, x, y } = best ?? candidates[0] ?? clamped(line, forms[index][0], canvas);
    labels[index] = { ...form, x, y, shown: Boolean(best) };
    if (best) {
      taken.push(best);
    }
  }
  return labels;
}

/** What went wrong first, then what is in use; of equals the short lines, which have the fewest places. */
function byImportance(links, lines) {
  const rank = ({ state, in_use: used }) => (BAD.has(state) ? 0 : used ? 1 : 2);
  const length = ({ points }) => Math.hypot(points[0].x - points.at(-1).x, points[0].y - points.at(-1).y);
  return links
    .map((_, index) => index)
    .filter((index) => lines[index])
    .sort((a, b) => rank(links[a]) - rank(links[b]) || length(lines[a]) - length(lines[b]) || a - b);
}

/** Labels of links between hosts keep off all boxes; those of links inside a host stay in its box. */
function groundOf(line, boxes, canvas, headHeight) {
  if (line.inside === undefined) {
    return { solid: boxes, within: { x: 0, y: 0, w: canvas.width, h: canvas.height } };
  }
  const box = boxes[line.inside];
  return { solid: [{ ...box, h: headHeight - 8 }, ...box.chips], within: box };
}

/** Places on the line and, where it may, beside it, with what each costs. */
function candidatesOf(line, form, tight, mayStandBeside) {
  return SHARES.flatMap((share) => {
    const { x, y } = pointAt(line, share);
    const cost = 4 * tight + 16 * Math.abs(share - 0.5);
    const [left, top] = [x - form.w / 2, y - form.h / 2];
    // Beside an arc there are others, and a label there could be anybody's.
    const places = [[x + 8, top], [x - form.w - 8, top], [left, y - form.h - 7], [left, y + 7]];
    const beside = mayStandBeside && line.points.length === 2 ? places : [];
    const on = { form, w: form.w, h: form.h, x: left, y: top, cost };
    return [on, ...beside.map(([at, down]) => ({ form, w: form.w, h: form.h, x: at, y: down, cost: cost + 8 }))];
  });
}

/** The candidate that costs least, with what it covers; those come in the order of their own cost. */
function cheapest(candidates, others, mostCrossed) {
  let [best, least] = [null, Infinity];
  for (const candidate of candidates) {
    if (candidate.cost >= least) {
      break;
    }
    const crossed = others.filter((line) => covers(candidate, line)).length;
    const total = candidate.cost + 20 * crossed;
    if (crossed <= mostCrossed && total < least) {
      [best, least] = [candidate, total];
    }
  }
  return best;
}

function covers({ x, y, w, h }, { points, strokes = [points] }) {
  const plate = [x - 2, y - 1, x + w + 2, y + h + 1];
  return strokes.some((stroke) => stroke.some((point, at) => at > 0 && crosses(stroke[at - 1], point, plate)));
}

function inside(one, within) {
  const [dx, dy] = [one.x - within.x, one.y - within.y];
  return dx >= 2 && dy >= 2 && dx + one.w <= within.w - 2 && dy + one.h <= within.h - 2;
}

function clamped(line, form, canvas) {
  const { x, y } = pointAt(line, 0.5);
  const keep = (value, size, room) => Math.max(2, Math.min(value - size / 2, room - size - 2));
  return { form, x: keep(x, form.w, canvas.width), y: keep(y, form.h, canvas.height) };
}
