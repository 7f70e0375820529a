// The lines between boxes: straight ones drawn apart where several join the same two, and arcs beside a column.

const APART = 42;
const STEPS = 24;

/** Straight lines from box to box; `pairs` are indices of boxes. Gives `{d, points}` for each. */
export function ringLines(boxes, pairs) {
  return bundles(pairs).map(({ pair: [from, to], at, of }) => straight(boxes[from], boxes[to], at, of));
}

/** In a column, neighbours are joined straight and others by arcs on the right, the longer the farther out. */
export function columnLines(boxes, pairs, right) {
  const all = bundles(pairs);
  const side = Math.max(0, ...boxes.map((box) => box.x + box.w));
  const room = right - side - 4;
  const most = Math.max(2, ...pairs.map(([from, to]) => Math.abs(to - from)));
  const slots = slotsOf(boxes, all);
  return all.map((one, index) => {
    const [top, bottom] = [Math.min(...one.pair), Math.max(...one.pair)];
    if (bottom - top === 1) {
      return straight(boxes[top], boxes[bottom], one.at, one.of);
    }
    const depth = room * (0.4 + 0.6 * ((bottom - top - 2 + one.at / one.of) / Math.max(1, most - 1)));
    return arc(side, slots.get(`${index}:${top}`), slots.get(`${index}:${bottom}`), depth);
  });
}

/** What joins all ranks of one host: a line between two, a rail beside a column, or spokes that meet in the middle. */
export function busLines({ chips, way, x, w, y, h }, count) {
  if (chips.length < 2) {
    return [];
  }
  if (chips.length === 2) {
    return ringLines(chips, Array(count).fill([0, 1]));
  }
  return Array.from({ length: count }, (_, at) =>
    way === "ring" ? spokes(chips, at - (count - 1) / 2) : rail(chips, { middle: x + w / 2, low: y + h }, at, count),
  );
}

function spokes(chips, turn) {
  const centres = chips.map(centre);
  const mean = (axis) => centres.reduce((sum, point) => sum + point[axis], 0) / chips.length;
  const hub = { x: mean("x"), y: mean("y") + turn * APART };
  const strokes = chips.map((chip, at) => [border(chip, centres[at], hub), hub]);
  return { d: strokes.map(path).join(""), points: [hub, hub], strokes };
}

function rail(chips, { middle, low }, at, count) {
  const x = Math.max(...chips.map((chip) => chip.x + chip.w)) + 12 + 4 * at;
  const heights = chips.map((chip) => chip.y + chip.h / 2);
  const last = chips.at(-1).y + chips.at(-1).h;
  const end = { x: middle, y: last + ((low - 8 - last) * (at + 0.5)) / count };
  const stubs = chips.map((chip, place) => [{ x: chip.x + chip.w, y: heights[place] }, { x, y: heights[place] }]);
  const strokes = [...stubs, [{ x, y: heights[0] }, { x, y: end.y }, end]];
  return { d: strokes.map(path).join(""), points: [end, end], strokes };
}

/** The point at a share of a line's length, roughly: its points lie evenly. */
export function pointAt({ points }, share) {
  const place = share * (points.length - 1);
  const first = Math.min(Math.floor(place), points.length - 2);
  const rest = place - first;
  const [a, b] = [points[first], points[first + 1]];
  return { x: a.x + rest * (b.x - a.x), y: a.y + rest * (b.y - a.y) };
}

/** Each pair with its place among those that join the same two boxes, the lower box first. */
function bundles(pairs) {
  const sizes = new Map();
  const ordered = pairs.map((pair) => {
    const sorted = [...pair].sort((a, b) => a - b);
    const key = sorted.join("-");
    const at = sizes.get(key) ?? 0;
    sizes.set(key, at + 1);
    return { pair: sorted, key, at };
  });
  return ordered.map(({ pair, key, at }) => ({ pair, at, of: sizes.get(key) }));
}

function straight(one, two, at, of) {
  const [a, b] = [centre(one), centre(two)];
  const length = Math.hypot(b.x - a.x, b.y - a.y) || 1;
  const normal = { x: -(b.y - a.y) / length, y: (b.x - a.x) / length };
  // No farther to the side than both boxes reach.
  const reach = Math.min(...[one, two].map((box) => Math.abs(normal.x) * box.w + Math.abs(normal.y) * box.h)) - 20;
  const offset = (at - (of - 1) / 2) * Math.min(APART, Math.max(0, reach) / of);
  const [from, to] = [a, b].map((end) => ({ x: end.x + offset * normal.x, y: end.y + offset * normal.y }));
  const [start, end] = [border(one, from, to), border(two, to, from)];
  return { d: path([start, end]), points: [start, end] };
}

function arc(side, y1, y2, depth) {
  const out = side + depth / 0.75;
  const points = Array.from({ length: STEPS + 1 }, (_, step) => {
    const t = step / STEPS;
    const [ends, middle] = [(1 - t) ** 3 + t ** 3, 3 * t * (1 - t)];
    const y = y1 * ((1 - t) ** 3 + 3 * t * (1 - t) ** 2) + y2 * (t ** 3 + 3 * t ** 2 * (1 - t));
    return { x: side * ends + out * middle, y };
  });
  const d = `M${place(points[0])}C${place({ x: out, y: y1 })} ${place({ x: out, y: y2 })} ${place(points[STEPS])}`;
  return { d, points };
}

/** Where on its box's right side each arc begins: those that go up above those that go down, none crossing. */
function slotsOf(boxes, all) {
  const slots = new Map();
  boxes.forEach((box, at) => {
    const mine = all.flatMap(({ pair }, index) => {
      const other = pair[0] === at ? pair[1] : pair[1] === at ? pair[0] : at;
      return Math.abs(other - at) > 1 ? [{ index, span: other - at }] : [];
    });
    // Up: the short one highest. Down: the long one first.
    mine.sort((a, b) => (a.span < 0) !== (b.span < 0) ? a.span - b.span : b.span - a.span || a.index - b.index);
    mine.forEach(({ index }, slot) => {
      slots.set(`${index}:${at}`, box.y + (box.h * (slot + 1)) / (mine.length + 1));
    });
  });
  return slots;
}

/** Where the way from a point inside the box to one outside leaves it. */
function border(box, from, to) {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const across = dx ? ((dx > 0 ? box.x + box.w : box.x) - from.x) / dx : Infinity;
  const along = dy ? ((dy > 0 ? box.y + box.h : box.y) - from.y) / dy : Infinity;
  const share = Math.max(0, Math.min(across, along, 1));
  return { x: from.x + share * dx, y: from.y + share * dy };
}

function centre(box) {
  return { x: box.x + box.w / 2, y: box.y + box.h / 2 };
}

function path(points) {
  return `M${points.map(place).join("L")}`;
}

function place({ x, y }) {
  return `${x.toFixed(1)} ${y.toFixed(1)}`;
}
