// Places for boxes: on an ellipse where there is room, else below each other.

import { crosses } from "./topology_box.js";

const NEAR = 8;
const MOST_EXTRA = 1.4;

/**
 * Boxes on an ellipse, the first at the top left.
 *
 * @param sizes `(width of a box) -> [{w, h, ...}]`.
 * @param gaps room between two boxes beside each other, the one wished for and the least.
 * @param between room between two boxes above each other.
 * @param pairs indices of boxes that are joined; where possible a line between two passes beside all others.
 * @param widths of boxes, best first; tried with the wished gap, then with the least.
 * @returns `{boxes, width, height, way}`, or null where the width does not allow it.
 */
export function ring(sizes, width, gaps, between, pairs, widths) {
  if (!sizes(0).length) {
    return { boxes: [], width: 0, height: 0, way: "ring" };
  }
  for (const gap of gaps) {
    for (const w of widths) {
      const boxes = sizes(w);
      const columns = boxes.length < 5 ? 2 : Math.ceil(boxes.length / 2);
      const room = Math.min(width, columns * w + (columns - 1) * 1.4 * gap);
      const found = ellipse(boxes, room, gap, between, pairs);
      if (found) {
        return { ...framed(found, room), width: room, way: "ring" };
      }
    }
  }
  return null;
}

/** Boxes below each other. */
export function column(boxes, between) {
  let y = 0;
  const placed = boxes.map((box) => {
    const one = at(box, 0, y);
    y += box.h + between;
    return one;
  });
  return { boxes: placed, height: y - between, way: "column" };
}

/** The flattest ellipse on which they stand apart, and the lines past them if that takes little more height. */
function ellipse(boxes, room, gap, between, pairs) {
  const count = boxes.length;
  const angle = (place) => 2 * Math.PI * ((place + (count % 2 ? 0 : -0.5)) / count) - Math.PI / 2;
  const ways = boxes.map((_, place) => [Math.cos(angle(place)), Math.sin(angle(place))]);
  const rx = (room - boxes[0].w) / 2 / Math.max(...ways.map(([x]) => Math.abs(x)));
  const stand = (ry) => boxes.map((box, place) => ({ ...box, cx: rx * ways[place][0], cy: ry * ways[place][1] }));
  // Higher is never nearer: what does not stand apart with so much height for each box never does.
  let [low, high] = [0, count * (Math.max(...boxes.map((box) => box.h)) + between)];
  if (!apart(stand(high), gap, between)) {
    return null;
  }
  while (high - low > 2) {
    const middle = (low + high) / 2;
    [low, high] = apart(stand(middle), gap, between) ? [low, middle] : [middle, high];
  }
  const flattest = stand(high);
  for (let ry = high; ry <= MOST_EXTRA * high; ry += 6) {
    const set = stand(ry);
    if (pairs.every((pair) => passes(set, pair))) {
      return set;
    }
  }
  return flattest;
}

function apart(set, gap, between) {
  return set.every((one, place) =>
    set.slice(place + 1).every((two) => {
      const [dx, dy] = [Math.abs(one.cx - two.cx), Math.abs(one.cy - two.cy)];
      const beside = (one.w + two.w) / 2 + (dy < 1 ? gap : gap / 2);
      return dx >= beside || dy >= (one.h + two.h) / 2 + between;
    }),
  );
}

/** Whether the line between the centres of two boxes stays off all others. */
function passes(set, [from, to]) {
  const [a, b] = [set[from], set[to]].map(({ cx, cy }) => ({ x: cx, y: cy }));
  return set.every(({ cx, cy, w, h }, place) => {
    const [halfW, halfH] = [w / 2 + NEAR, h / 2 + NEAR];
    return place === from || place === to || !crosses(a, b, [cx - halfW, cy - halfH, cx + halfW, cy + halfH]);
  });
}

/** From centres around zero to corners inside `width`. */
function framed(set, width) {
  const top = Math.min(...set.map(({ cy, h }) => cy - h / 2));
  const boxes = set.map(({ cx, cy, ...box }) => at(box, Math.round(width / 2 + cx - box.w / 2), Math.round(cy - box.h / 2 - top)));
  return { boxes, height: Math.max(...boxes.map(({ y, h }) => y + h)) };
}

function at(box, x, y) {
  const chips = box.chips?.map((chip) => ({ ...chip, x: chip.x + x, y: chip.y + y }));
  return { ...box, x, y, ...(chips && { chips }) };
}
