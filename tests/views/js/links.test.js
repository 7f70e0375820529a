// The link matrix: colours that can be read, cells that fit, keys that reach all, and curves that are the model.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { hatch, shorten } from "../../../kernelkit/views/static/common_geometry.js";
import * as geometry from "../../../kernelkit/views/static/links_geometry.js";
import { inkOn, ramp } from "../../../kernelkit/views/static/ramp.js";

const KIB = 2 ** 10;
const MIB = 2 ** 20;
const WIDTHS = [320, 500, 700, 1000, 1600];
const BOX = { left: 60, top: 20, width: 500, height: 300 };

function ranks(count) {
  return Array.from({ length: count }, (_, rank) => ({ rank, host: `mac-studio-${rank}.local` }));
}

function flow(link, sender, receiver, by = "mlx", latency = 3e-5, bandwidth = 6e9) {
  const samples = [4, KIB, 64 * KIB, MIB, 64 * MIB].map((size) => {
    const seconds = latency + size / bandwidth;
    return [size, seconds, 0.9 * seconds, 1.2 * seconds];
  });
  return {
    link,
    sender,
    receiver,
    by,
    latency_s: latency,
    bandwidth_bytes_per_s: bandwidth,
    samples,
    skipped: [],
  };
}

function link(first, second, more = {}) {
  return {
    ranks: [first, second],
    title: "Thunderbolt 5",
    interfaces: ["en5", "en4"],
    in_use: true,
    nominal_bytes_per_s: 1e10,
    ...more,
  };
}

const SCENE = {
  links: [link(0, 1, { in_use: false, title: "Wi-Fi", nominal_bytes_per_s: 3e8 }), link(0, 2), link(0, 1)],
  flows: [flow(0, 0, 1), flow(1, 0, 2), flow(2, 0, 1), flow(2, 1, 0), flow(2, 0, 1, "tcp", 2e-4, 4e9)],
};

test("the scale is the one that Python has", () => {
  const expected = JSON.parse(readFileSync(new URL("./ramp.json", import.meta.url), "utf-8"));
  for (const [shade, colour] of Object.entries(expected)) {
    assert.equal(ramp(Number(shade)), colour);
  }
  assert.equal(ramp(-1), ramp(0));
  assert.equal(ramp(2), ramp(1));
});

function luminance(colour) {
  const parts = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16) / 255);
  const [red, green, blue] = parts.map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

test("figures can be read on every colour of the scale", () => {
  for (let i = 0; i <= 200; i += 1) {
    const pair = [luminance(ramp(i / 200)), luminance(inkOn(ramp(i / 200)))];
    const contrast = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    assert.ok(contrast >= 4.5, `${contrast} at ${i / 200}`);
  }
});

test("matrix and plot fit the width, and cells their figures, for any number of ranks", () => {
  for (const width of WIDTHS) {
    for (const count of [1, 2, 4, 8]) {
      const place = geometry.layout(ranks(count), width);
      const used = place.beside
        ? place.matrix.width + place.plot.width
        : Math.max(place.matrix.width, place.plot.width);
      assert.ok(used <= width, `${used} of ${width} for ${count}`);
      assert.equal(place.size, place.cell * count);
      assert.ok(place.cell >= 30);
      if (width >= 500) {
        assert.ok(place.cell >= geometry.textWidth("12,618", 11), `${place.cell} of ${width} for ${count}`);
      }
      place.names.forEach((name) => assert.ok(34 + geometry.textWidth(name, 11) <= place.left));
    }
  }
});

test("two ranks stand beside their curve in a narrow page, eight only in a wide one", () => {
  assert.equal(geometry.layout(ranks(2), 700).beside, true);
  assert.equal(geometry.layout(ranks(8), 700).beside, false);
  assert.equal(geometry.layout(ranks(8), 1600).beside, true);
});

test("arrow keys reach every cell and never the diagonal", () => {
  for (const count of [2, 3, 8]) {
    const reached = new Set(["0,1"]);
    const open = [[0, 1]];
    while (open.length) {
      const at = open.pop();
      for (const key of ["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "a"]) {
        const next = geometry.neighbour(count, at, key);
        assert.notEqual(next[0], next[1]);
        assert.ok(next.every((i) => i >= 0 && i < count));
        if (!reached.has(String(next))) {
          reached.add(String(next));
          open.push(next);
        }
      }
    }
    assert.equal(reached.size, count * (count - 1));
  }
});

test("a direction has a series for each link and means, and those in use come first", () => {
  const series = geometry.seriesOf(SCENE, 0, 1);
  assert.deepEqual(
    series.map(({ flow: one, nth, tcp }) => [one.link, nth, tcp]),
    [
      [0, 1, false],
      [2, 0, false],
      [2, 0, true],
    ],
  );
  assert.deepEqual(
    geometry.linksOf(SCENE, 1, 0).map(({ index }) => index),
    [2, 0],
  );
  assert.deepEqual(geometry.seriesOf(SCENE, 2, 1), []);
});

test("nominal rates are told once", () => {
  const links = [
    link(0, 1),
    link(0, 1, { title: "Thunderbolt 5 RDMA" }),
    link(0, 1, { nominal_bytes_per_s: null }),
  ];
  assert.deepEqual(geometry.nominalsOf(links), [
    { rate: 1e10, titles: ["Thunderbolt 5", "Thunderbolt 5 RDMA"] },
  ]);
});

test("a bandwidth is the size by the time, and the fastest message has the highest", () => {
  const sample = [MIB, 2e-3, 1e-3, 4e-3];
  assert.deepEqual(geometry.pointOf(sample, "latency"), {
    size: MIB,
    seconds: 2e-3,
    value: 2e-3,
    best: 1e-3,
    worst: 4e-3,
  });
  const { value, best, worst } = geometry.pointOf(sample, "bandwidth");
  assert.deepEqual([value, best, worst], [MIB / 2e-3, MIB / 1e-3, MIB / 4e-3]);
});

test("the line is latency + size / bandwidth, and lies on points that follow it", () => {
  const one = flow(0, 0, 1);
  for (const [size, seconds] of one.samples) {
    assert.ok(Math.abs(geometry.modelAt(one, size, "latency") / seconds - 1) < 1e-12);
    assert.ok(Math.abs(geometry.modelAt(one, size, "bandwidth") / (size / seconds) - 1) < 1e-12);
  }
  assert.equal(geometry.modelAt({ ...one, bandwidth_bytes_per_s: null }, KIB, "latency"), null);
  assert.equal(geometry.nominalAt(2e9, 4e9, "latency"), 2);
  assert.equal(geometry.nominalAt(2e9, 4e9, "bandwidth"), 2e9);
});

for (const show of ["bandwidth", "latency"]) {
  test(`the axes of ${show} hold every point with its bar, and their labels have room`, () => {
    const series = geometry.seriesOf(SCENE, 0, 1);
    const nominals = [{ rate: 1e10, titles: [] }];
    const scales = geometry.axes(series, nominals, show, BOX);
    for (const { flow: one } of series) {
      for (const sample of one.samples) {
        const { size, value, best, worst } = geometry.pointOf(sample, show);
        assert.ok(scales.x(size) > BOX.left && scales.x(size) < BOX.left + BOX.width);
        for (const y of [value, best, worst].map(scales.y)) {
          assert.ok(y > BOX.top && y < BOX.top + BOX.height);
        }
      }
    }
    if (show === "bandwidth") {
      assert.ok(scales.y(1e10) > BOX.top);
    }
    const gaps = (ticks) => ticks.slice(1).map((at, i) => Math.abs(at - ticks[i]));
    assert.ok(scales.xTicks.length >= 3);
    gaps(scales.xTicks.map(scales.x)).forEach((gap) => assert.ok(gap > 50));
    assert.ok(scales.yTicks.length >= 2);
    gaps(scales.yTicks.map(scales.y)).forEach((gap) => assert.ok(gap > 20));
    const points = geometry.curve((size) => geometry.modelAt(series[0].flow, size, show), scales);
    assert.equal(points.length, 49);
    assert.ok(points.every(([x, y]) => Number.isFinite(x) && Number.isFinite(y)));
  });
}

test("nothing measured has no axes", () => {
  assert.equal(geometry.axes([], [], "bandwidth", BOX), null);
});

test("hatching stays in its box", () => {
  const numbers = hatch({ x: 10, y: 20, width: 30, height: 9 })
    .match(/[\d.]+ [\d.]+/g)
    .map((pair) => pair.split(" ").map(Number));
  assert.ok(numbers.length >= 8);
  for (const [x, y] of numbers) {
    assert.ok(x >= 10 && x <= 40 && y >= 20 && y <= 29);
  }
});

test("long names keep both their ends", () => {
  assert.equal(shorten("mac-studio-1.local", 9), "mac-…ocal");
  assert.equal(shorten("mac1", 9), "mac1");
});

test("sizes are told in powers of two", () => {
  assert.deepEqual([4, KIB, 256 * KIB, MIB, 64 * MIB].map(geometry.formatSize), [
    "4 B",
    "1 KiB",
    "256 KiB",
    "1 MiB",
    "64 MiB",
  ]);
});
