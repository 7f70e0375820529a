import assert from "node:assert/strict";
import { test } from "node:test";

import {
  bars, layout, nearest, paths, placeFlag, scales, step, textWidth, ticks, timeEnd,
} from "../../../kernelkit/views/static/generation_geometry.js";

const WIDTHS = [320, 500, 700, 980, 1200, 1600, 2400];
const SCENE = {
  elapsed_s: 3, running: false, top_tokens_per_s: 20,
  points: [[1, 1, null, 10], [2, 1.1, 10, 10], [3, 1.2, 400, 11], [4, 3, 0.5, 9]],
};

test("chart and panels fit the width, at any number of ranks", () => {
  for (const width of WIDTHS) {
    for (const ranks of [0, 1, 2, 4, 8, 64]) {
      const { beside, stacked, gap, chart, box, panel } = layout(width, ranks);
      assert.ok(chart.width <= width && box.right > box.left + 100 && box.bottom > box.top + 100);
      const row = beside ? chart.width + gap + panel.width : stacked ? panel.width : 2 * panel.width + gap;
      assert.ok(ranks === 0 || row <= width, `${width} px, ${ranks} ranks: ${row}`);
      assert.equal(chart.width === width, !beside);
    }
  }
});

test("a page of 1600 px has the panels beside the chart, one of 700 px under it", () => {
  assert.equal(layout(1600, 8).beside, true);
  assert.equal(layout(700, 8).beside, false);
  assert.equal(layout(1600, 0).beside, false);
});

test("ticks are round, ascend from zero, and stay on the axis", () => {
  assert.deepEqual(ticks(3.39, 7), [0, 0.5, 1, 1.5, 2, 2.5, 3]);
  assert.deepEqual(ticks(32, 6), [0, 10, 20, 30]);
  for (const end of [1e-4, 0.3, 1, 7, 93, 1234, 5e6]) {
    for (const wanted of [2, 5, 10]) {
      const found = ticks(end, wanted);
      assert.equal(found[0], 0);
      assert.ok(found.length >= 1 && found.length <= wanted + 1);
      assert.ok(found.at(-1) <= end * (1 + 1e-9));
    }
  }
  assert.deepEqual(ticks(0, 5), [0]);
  assert.deepEqual(ticks(Number.NaN, 5), [0]);
});

test("the time axis ends with the generation, and seldom changes while it runs", () => {
  assert.equal(timeEnd(3.39, false), 3.39);
  assert.equal(timeEnd(0, false), 1);
  const ends = new Set();
  for (let elapsed = 0; elapsed < 100; elapsed += 0.1) {
    assert.ok(timeEnd(elapsed, true) >= elapsed);
    ends.add(timeEnd(elapsed, true));
  }
  assert.ok(ends.size <= 11);
});

test("later is further right, faster is higher, and nothing leaves the plot", () => {
  const { box } = layout(700, 2);
  const { x, y, fits } = scales(SCENE, box);
  assert.ok(x(0) === box.left && x(3) === box.right && x(1) < x(1.1));
  assert.ok(y(0) === box.bottom && y(20) === box.top && y(10) < y(9));
  assert.equal(y(400), box.top);
  assert.equal(fits(400), false);
});

test("without a rate there is no rate axis", () => {
  const { box } = layout(700, 2);
  assert.deepEqual(scales({ ...SCENE, top_tokens_per_s: null }, box).yTicks, []);
});

test("a dot for each rate, a triangle for one above the axis, a line through all", () => {
  const { dots, above, line } = paths(SCENE.points, scales(SCENE, layout(700, 2).box));
  assert.equal(dots.match(/M/g).length, 2);
  assert.equal(above.match(/M/g).length, 1);
  assert.match(line, /^M[^ML]+(L[^ML]+){3}$/);
  assert.deepEqual(paths([], scales(SCENE, layout(700, 2).box)), { dots: "", above: "", line: "" });
});

test("words at a moment stay within their bounds wherever it is", () => {
  const lines = ["time to first token 1.2 s", "prompt 12,000 tokens, 382 tokens/s"];
  const width = Math.max(...lines.map((line) => textWidth(line)));
  for (let x = 46; x <= 590; x += 4) {
    const { x: at, anchor } = placeFlag(x, lines, 0, 590);
    const [from, to] = anchor === "start" ? [at, at + width] : [at - width, at];
    assert.ok(from >= 0 && to <= 590);
    assert.ok(from >= x || to <= x, "beside the line, not across it");
  }
});

test("the nearest token along the axis", () => {
  const { x } = scales(SCENE, layout(700, 2).box);
  assert.equal(nearest(SCENE.points, x(1.04), x), 0);
  assert.equal(nearest(SCENE.points, x(1.06), x), 1);
  assert.equal(nearest(SCENE.points, 10_000, x), 3);
  assert.equal(nearest([], 5, x), -1);
});

test("keys lead from token to token and stop at the ends", () => {
  assert.equal(step("ArrowRight", -1, 4), 0);
  assert.equal(step("ArrowLeft", -1, 4), 3);
  assert.equal(step("ArrowRight", 3, 4), 3);
  assert.equal(step("PageDown", 3, 4), 0);
  assert.equal(step("Home", 2, 4), 0);
  assert.equal(step("End", 0, 4), 3);
  assert.equal(step("a", 0, 4), null);
});

test("bars are as long as their values, in rows that do not meet, with room for their words", () => {
  const labels = ["98.3 GB", "49.2 GB", "0 B"];
  const drawn = bars([[100], [50], [0]], labels, 300);
  const lengths = drawn.rows.map((row) => row.parts[0].width);
  assert.ok(Math.abs(lengths[0] - 2 * lengths[1]) < 1e-9 && lengths[2] === 0);
  drawn.rows.forEach((row, i) => {
    assert.ok(row.label + textWidth(labels[i]) <= 300);
    assert.ok(row.y + row.height <= (drawn.rows[i + 1]?.y ?? drawn.height));
  });
});

test("the parts of a stacked bar follow each other and fill the row", () => {
  const { rows } = bars([[0.3, 0.7], [1, 0]], ["30%, 1 s", "100%, 3 s"], 320);
  const [[inside, rest], [whole]] = rows.map((row) => row.parts);
  assert.ok(Math.abs(inside.x + inside.width - rest.x) < 1e-9);
  assert.ok(Math.abs(inside.width + rest.width - whole.width) < 1e-9);
});
