// Where the parts of a generation's picture go: scales, ticks, flags at moments, bars. No DOM here.

const GAP = 28;
const LEAST_CHART = 520;
const PANELS = { least: 300, most: 420 };
const MARGIN = { left: 46, right: 102, bottom: 36 };
const ROW = { height: 20, bar: 13, label: 46 };
const TOP = 34; // two lines of words at moments

/** About as wide as the text will be, in pixels; a little more rather than less. */
export function textWidth(text, size = 11) {
  return 0.54 * size * text.length;
}

/**
 * The chart, and beside or under it the two panels with a bar per rank.
 *
 * @param width of all, in pixels.
 * @param ranks how many; without any, the chart has all the room.
 * @returns `{beside, chart: {width, height}, box: {left, top, right, bottom}, panel: {width}}`.
 */
export function layout(width, ranks) {
  const beside = ranks > 0 && width >= LEAST_CHART + GAP + 2 * PANELS.least;
  const side = beside ? Math.min(PANELS.most, Math.max(PANELS.least, Math.round(width * 0.27))) : 0;
  const chartWidth = beside ? width - GAP - side : width;
  const panels = 2 * (ranks * ROW.height + 28) + 40;
  const height = Math.round(Math.min(360, Math.max(250, beside ? panels - 30 : 0, chartWidth * 0.28)));
  const panel = beside ? side : Math.max(200, width < 560 ? width : Math.floor((width - GAP) / 2));
  return {
    beside,
    stacked: !beside && width < 560,
    gap: GAP,
    chart: { width: chartWidth, height },
    box: { left: MARGIN.left, top: TOP, right: chartWidth - MARGIN.right, bottom: height - MARGIN.bottom },
    panel: { width: panel },
  };
}

/** The end of the time axis: what has passed; while it runs some room ahead, so that the axis changes seldom. */
export function timeEnd(elapsed, running) {
  if (!running) {
    return elapsed > 0 ? elapsed : 1;
  }
  let end = 2;
  while (end < elapsed) {
    end *= 1.5;
  }
  return end;
}

/** Round numbers from 0 up to `end`, about `wanted` of them. */
export function ticks(end, wanted) {
  if (!(end > 0)) {
    return [0];
  }
  const rough = end / Math.max(1, wanted);
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = unit * [1, 2, 5, 10].find((one) => one * unit >= rough * 0.999);
  const count = Math.floor(end / step + 1e-9);
  return Array.from({ length: count + 1 }, (_, i) => Number((i * step).toPrecision(12)));
}

/** `x(seconds)` and `y(tokens per second)`, in pixels, with their ticks. What lies above the axis stays at its top. */
export function scales(scene, box) {
  const end = timeEnd(scene.elapsed_s, scene.running);
  const top = scene.top_tokens_per_s ?? 1;
  const [width, height] = [box.right - box.left, box.bottom - box.top];
  return {
    x: (time) => box.left + (width * Math.min(time, end)) / end,
    y: (rate) => box.bottom - (height * Math.min(rate, top)) / top,
    fits: (rate) => rate <= top,
    xTicks: ticks(end, Math.max(2, Math.floor(width / 80))),
    yTicks: scene.top_tokens_per_s === null ? [] : ticks(top, Math.max(2, Math.floor(height / 34))),
  };
}

/**
 * Dots as one path of points, those above the axis as one of small triangles, and the smoothed line.
 *
 * @returns `{dots, above, line}`, the `d` of three paths.
 */
export function paths(points, { x, y, fits }) {
  const drawn = { dots: "", above: "", line: "" };
  for (const [, time, rate, smooth] of points) {
    const at = x(time).toFixed(1);
    if (rate !== null && fits(rate)) {
      drawn.dots += `M${at} ${y(rate).toFixed(1)}h0`;
    } else if (rate !== null) {
      drawn.above += `M${at} ${(y(rate) + 1).toFixed(1)}l3.5 6h-7z`;
    }
    if (smooth !== null) {
      drawn.line += `${drawn.line ? "L" : "M"}${at} ${y(smooth).toFixed(1)}`;
    }
  }
  return drawn;
}

/**
 * Words beside a moment's line, where there is room: after it, before it, or as near as the bounds allow.
 *
 * @param x of the line; `lines` are the words; `least` and `most` are the bounds along the axis.
 * @returns `{x, anchor}` of the text.
 */
export function placeFlag(x, lines, least, most) {
  const width = Math.max(...lines.map((line) => textWidth(line)));
  if (x + 5 + width <= most) {
    return { x: x + 5, anchor: "start" };
  }
  return x - 5 - width >= least ? { x: x - 5, anchor: "end" } : { x: Math.max(least, most - width), anchor: "start" };
}

/** Which point is nearest to `at` along the time axis; -1 without any. */
export function nearest(points, at, x) {
  let [best, least] = [-1, Infinity];
  points.forEach(([, time], i) => {
    const distance = Math.abs(x(time) - at);
    if (distance < least) {
      [best, least] = [i, distance];
    }
  });
  return best;
}

/** Where a key leads from point `at` of `count`: arrows one on, Page Up and Page Down ten, Home and End. */
export function step(key, at, count) {
  const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 }[key];
  if (key === "Home" || key === "End") {
    return key === "Home" ? 0 : count - 1;
  }
  if (by === undefined) {
    return null;
  }
  return at < 0 ? (by > 0 ? 0 : count - 1) : Math.max(0, Math.min(count - 1, at + by));
}

/**
 * A bar per rank: its row, and how long each of its parts is.
 *
 * @param values per rank, the lengths of its parts, in any unit.
 * @param labels per rank, what stands behind the bar.
 * @returns `{height, left, rows: [{y, middle, parts: [{x, width}], label}]}`.
 */
export function bars(values, labels, width) {
  const behind = Math.max(0, ...labels.map((label) => textWidth(label, 12.5))) + 10;
  const room = Math.max(20, width - ROW.label - behind);
  const most = Math.max(1e-12, ...values.map((parts) => parts.reduce((sum, part) => sum + part, 0)));
  const rows = values.map((parts, i) => {
    const y = i * ROW.height + (ROW.height - ROW.bar) / 2;
    let x = ROW.label;
    const drawn = parts.map((part) => {
      const one = { x, width: (room * Math.max(0, part)) / most };
      x += one.width;
      return one;
    });
    return { y, middle: i * ROW.height + ROW.height / 2, height: ROW.bar, parts: drawn, label: x + 6 };
  });
  return { height: values.length * ROW.height, left: ROW.label, rows };
}
