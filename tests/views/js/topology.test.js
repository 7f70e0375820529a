// Where the topology picture puts hosts, ranks, links and labels: over many clusters and widths.

import assert from "node:assert/strict";
import { test } from "node:test";

import { crosses, meets } from "../../../kernelkit/views/static/topology_box.js";
import { layout, lineWidth } from "../../../kernelkit/views/static/topology_geometry.js";
import { pointAt } from "../../../kernelkit/views/static/topology_lines.js";
import { estimate, fit, fitName } from "../../../kernelkit/views/static/topology_text.js";

const WIDTHS = [320, 500, 700, 1000, 1600];

function host(at, ranks = 1) {
  const own = Array.from({ length: ranks }, (_, rank) => ({ rank: at * ranks + rank, state: "idle", line: "" }));
  return { name: `mac-studio-${at + 1}`, chip: "Apple M3 Ultra", memory: "148 GB of 512 GB", ranks: own };
}

function link(from, to, more = {}) {
  const fixed = { ranks: [from, to], ends: [from, to], state: "measured", in_use: true, kind: "", note: "" };
  return { ...fixed, label: ["6.2 GB/s · 41.5 µs"], sent: "", rate_bytes_per_s: 6.2e9, ...more };
}

function mesh(count) {
  return pairs(count).map(([from, to]) => link(from, to));
}

function pairs(count) {
  return Array.from({ length: count }, (_, from) => from).flatMap((from) =>
    Array.from({ length: count - from - 1 }, (_, step) => [from, from + 1 + step]),
  );
}

function ringOf(count) {
  return Array.from({ length: count }, (_, at) => link(...[at, (at + 1) % count].sort((a, b) => a - b)));
}

function scene(count, links, { ranks = 1, live = false } = {}) {
  return { hosts: Array.from({ length: count }, (_, at) => host(at, ranks)), links, live };
}

const loopback = (at) => link(at, at, { ends: [at, at], kind: "loopback" });

const SCENES = {
  "one host": scene(1, []),
  "no links": scene(5, []),
  "no ranks": scene(3, mesh(3), { ranks: 0 }),
  "16 hosts in a ring": scene(16, ringOf(16)),
  "three cables": scene(2, [link(0, 1), link(0, 1, { label: ["0 → 1: 6.2 GB/s", "1 → 0: 1.1 GB/s"] }), link(0, 1)]),
  "16 cables": scene(2, Array.from({ length: 16 }, () => link(0, 1))),
  "hosts with ranks of their own": scene(3, [...mesh(3), loopback(0), loopback(1)], { ranks: 4, live: true }),
  "two hosts of 8 ranks": scene(2, [link(0, 1), loopback(0), loopback(1)], { ranks: 8 }),
};
for (let count = 2; count <= 10; count += 1) {
  SCENES[`mesh of ${count}`] = scene(count, mesh(count));
  SCENES[`running ring of ${count}`] = scene(count, ringOf(count), { live: true });
  SCENES[`${count} ranks on one host`] = scene(1, [loopback(0)], { ranks: count });
}

const PLANS = Object.entries(SCENES).flatMap(([what, one]) =>
  WIDTHS.map((width) => ({ plan: layout(one, width), one, what: `${what}, ${width} px` })),
);

function everywhere(name, check) {
  test(name, () => {
    for (const { plan, one, what } of PLANS) {
      check(plan, one, what);
    }
  });
}

const twos = (list) => list.flatMap((one, at) => list.slice(at + 1).map((two) => [one, two]));
const shown = ({ labels }) => labels.filter((label) => label?.shown);

everywhere("all boxes and shown labels are inside the canvas, and it is no wider than there is room", (plan, _, what) => {
  assert.ok(plan.width <= Number(what.match(/(\d+) px/)[1]), what);
  for (const { x, y, w, h } of [...plan.boxes, ...shown(plan)]) {
    assert.ok(x >= 0 && y >= 0 && x + w <= plan.width && y + h <= plan.height, `${what}: ${[x, y, w, h]}`);
  }
});

everywhere("no two boxes meet", ({ boxes }, _, what) => {
  assert.ok(!twos(boxes).some(([one, two]) => meets(one, two, 8)), what);
});

everywhere("each rank has a chip inside its host's box, below its head, apart from the others", (plan, one, what) => {
  plan.boxes.forEach((box, at) => {
    assert.equal(box.chips.length, one.hosts[at].ranks.length, what);
    for (const chip of box.chips) {
      assert.ok(chip.x > box.x && chip.x + chip.w < box.x + box.w, what);
      assert.ok(chip.y >= box.y + plan.rows.end && chip.y + chip.h < box.y + box.h, what);
    }
    assert.ok(!twos(box.chips).some(([a, b]) => meets(a, b, 2)), what);
  });
});

everywhere("labels cover neither each other nor hosts nor ranks", (plan, one, what) => {
  assert.ok(!twos(shown(plan)).some(([a, b]) => meets(a, b)), what);
  plan.labels.forEach((label, at) => {
    const [from, to] = one.links[at].ends;
    const solid = from === to ? plan.boxes[from].chips : plan.boxes;
    assert.ok(!label?.shown || !solid.some((box) => meets(label, box)), what);
  });
});

everywhere("every link has a line that begins and ends at its own hosts", (plan, one, what) => {
  one.links.forEach(({ ends }, at) => {
    if (ends[0] === ends[1]) {
      return;
    }
    const { points } = plan.lines[at];
    for (const end of [points[0], points.at(-1)]) {
      const touched = ends.some((host) => meets({ ...end, w: 0, h: 0 }, plan.boxes[host], 1.5));
      assert.ok(touched, `${what}: ${JSON.stringify(end)}`);
    }
  });
});

everywhere("a label stands at its own line", (plan, one, what) => {
  plan.labels.forEach((label, at) => {
    const { points, strokes = [points] } = plan.lines[at];
    const near = [label.x - 9, label.y - 9, label.x + label.w + 9, label.y + label.h + 9];
    const close = strokes.some((stroke) => stroke.some((point, step) => step && crosses(stroke[step - 1], point, near)));
    assert.ok(close || meets({ ...points[0], w: 0, h: 0 }, label, 9), what);
  });
});

test("a mesh's lines pass beside the hosts that they do not join, up to eight hosts, from 700 px", () => {
  for (let count = 3; count <= 8; count += 1) {
    for (const width of [700, 1000, 1600]) {
      const { boxes, lines } = layout(scene(count, mesh(count)), width);
      pairs(count).forEach((pair, at) => {
        const [a, b] = lines[at].points;
        const others = boxes.filter((_, host) => !pair.includes(host));
        const hit = others.some(({ x, y, w, h }) => crosses(a, b, [x, y, x + w, y + h]));
        assert.ok(!hit, `${pair} of ${count}, ${width} px`);
      });
    }
  }
});

test("up to six hosts all labels have room from 700 px, and those of bad links of eight always", () => {
  for (const width of [700, 1600]) {
    for (let count = 2; count <= 6; count += 1) {
      assert.equal(shown(layout(scene(count, mesh(count)), width)).length, (count * (count - 1)) / 2, `${count}, ${width}`);
    }
    for (const [at] of mesh(8).entries()) {
      const links = mesh(8).map((one, index) => (index === at ? { ...one, state: "low" } : one));
      assert.ok(layout(scene(8, links), width).labels[at].shown, `link ${at}, ${width} px`);
    }
  }
});

test("where labels are many they cover no line but their own, so that it is clear whose they are", () => {
  const plan = layout(scene(8, mesh(8)), 700);
  assert.ok(shown(plan).length >= 8);
  plan.labels.forEach((label, at) => {
    const others = plan.lines.filter((_, other) => other !== at);
    const plate = [label.x, label.y, label.x + label.w, label.y + label.h];
    assert.ok(!label.shown || !others.some(({ points: [a, b] }) => crosses(a, b, plate)));
  });
});

test("cables between the same two hosts are drawn apart, and none crosses another", () => {
  const { lines } = layout(SCENES["three cables"], 1000);
  const heights = lines.map((line) => pointAt(line, 0.5).y).sort((a, b) => a - b);
  assert.ok(heights[1] - heights[0] > 20 && heights[2] - heights[1] > 20, String(heights));
  for (const { points: [a, b] } of lines) {
    assert.ok(Math.abs(a.y - b.y) < 1e-6);
  }
});

test("counting bytes moves nothing: room for them is kept from the first", () => {
  const counting = (sent) => scene(4, mesh(4).map((one) => ({ ...one, sent })), { live: true });
  assert.deepEqual(layout(counting(""), 700), layout(counting("↔ 88.8 MB"), 700));
});

test("in a narrow place hosts stand below each other, and links that skip one bow out beside them", () => {
  const { boxes, lines } = layout(scene(8, mesh(8)), 320);
  assert.equal(new Set(boxes.map(({ x }) => x)).size, 1);
  const [side, long] = [boxes[0].x + boxes[0].w, lines[pairs(8).findIndex(([a, b]) => a === 0 && b === 7)]];
  assert.ok(pointAt(long, 0.5).x > side + 20);
});

test("text that fits stays whole, and no other is wider than its room", () => {
  for (const text of ["", "mac", "waits in all_sum at line 3 for 12 s", "W".repeat(80), "рабочая станция", "🍎🍎🍎🍎🍎"]) {
    for (let room = 0; room < 300; room += 7) {
      const got = fit(text, room, 11, false);
      assert.ok(got === "" || estimate(got, 11) <= room, `${text} in ${room}`);
      assert.ok(estimate(text, 11) > room || got === text, `${text} in ${room}`);
      assert.ok(got === text || got === "" || got.endsWith("…"));
    }
  }
});

test("a tenfold rate is always the same step in width, within what can be drawn", () => {
  const steps = [1e8, 1e9, 1e10].map(lineWidth);
  assert.ok(Math.abs(steps[1] - steps[0] - (steps[2] - steps[1])) < 1e-9 && steps[1] > steps[0]);
  for (const rate of [null, 0, 1, 1e6, 1e15]) {
    assert.ok(lineWidth(rate) >= 1 && lineWidth(rate) <= 10);
  }
});

test("a host's name keeps its ends where it does not fit, and loses its domain first", () => {
  const short = (name, room) => fitName(name, room, 14, true);
  assert.equal(short("mac-1.lab.example.org", 400), "mac-1.lab.example.org");
  assert.equal(short("mac-1.lab.example.org", 90), "mac-1…");
  assert.match(short("ip-10-0-0-127", 80), /^ip.*….*7$/);
  assert.match(short("192.168.100.127", 80), /^1.*….*7$/);
  for (let room = 0; room < 300; room += 9) {
    const got = short("a-very-long-name-of-a-host-12.lab", room);
    assert.ok(got === "" || estimate(got, 14, true) <= room);
  }
});

test("no hosts at all are an empty drawing", () => {
  assert.deepEqual(layout(scene(0, []), 700).boxes, []);
});
