// Memory: pieces that add up to what the formula says, a slider that stops where it matters, labels with room.

import assert from "node:assert/strict";
import { test } from "node:test";

import * as geometry from "../../../kernelkit/views/static/memory_geometry.js";
import { beyond, lacking, limitWords, spoken } from "../../../kernelkit/views/static/memory_words.js";

const GB = 1e9;
const BAR = { left: 100, width: 400 };

function group(ranks, more = {}) {
  const held = ranks.map((rank) => ({ rank, weight_bytes: 10 * GB, kv_bytes_per_token: 100_000 }));
  return {
    host: `mac${ranks[0]}`,
    limit_bytes: 48 * GB,
    limit: "GPU memory",
    used_bytes: 6 * GB,
    ranks: held,
    ...more,
  };
}

function scene(groups, more = {}) {
  return {
    groups,
    kv_known: true,
    context: 4096,
    longest_context: 131_072,
    largest_context: 40_000,
    free_words: ["free"],
    ...more,
  };
}

const SHARED = group([0, 1, 2]);
const SCENES = [
  scene([group([0]), group([1], { limit_bytes: 12 * GB })]),
  scene([SHARED, group([3])]),
  scene(
    [
      group([0], { used_bytes: null }),
      group([1], { ranks: [{ rank: 1, weight_bytes: 90 * GB, kv_bytes_per_token: null }] }),
    ],
    {
      kv_known: false,
      largest_context: null,
    },
  ),
  scene(Array.from({ length: 8 }, (_, rank) => group([rank], { host: "a-very-long-name.example.org" }))),
];

test("windows end to grow, and a state is of one size from the first token on", () => {
  const kept = { kv_bytes_per_token: 10, kv_windows: [[8, 3], [100, 1]], kv_state_bytes: 5 };
  assert.deepEqual(
    [0, 4, 50, 1000].map((context) => geometry.kvBytes(kept, context)),
    [0, 40 + 12 + 4 + 5, 500 + 24 + 50 + 5, 10_000 + 24 + 100 + 5],
  );
  assert.equal(geometry.kvBytes({ kv_bytes_per_token: 10 }, 7), 70);
});

test("the slider stops at powers of two and at what matters, from nothing to the longest", () => {
  const steps = geometry.contextSteps(scene([], { context: 5000 }));
  for (const stop of [0, 128, 192, 4096, 5000, 40_000, 65_536, 131_072]) {
    assert.ok(steps.includes(stop), `${stop}`);
  }
  assert.deepEqual(
    steps,
    [...new Set(steps)].sort((one, other) => one - other),
  );
  assert.equal(steps.at(-1), 131_072);
  assert.deepEqual(
    geometry.contextSteps(scene([], { context: 0, longest_context: 0, largest_context: 0 })),
    [0],
  );
});

test("what ranks need is weights, others' use and bytes per token times the context", () => {
  const { ranks, used, need, free } = geometry.amounts(SHARED, 10_000);
  assert.deepEqual(
    ranks.map(({ kv }) => kv),
    [GB, GB, GB],
  );
  assert.equal(used, 6 * GB);
  assert.equal(need, 39 * GB);
  assert.equal(free, 9 * GB);
  assert.equal(geometry.amounts(SCENES[2].groups[1], 10_000).ranks[0].kv, null);
});

test("the pieces of a limit follow each other without gap or overlap, up to the limit or the need", () => {
  for (const one of SCENES) {
    for (const context of [0, 4096, 131_072, 2 ** 22]) {
      one.groups.forEach((mine, index) => {
        const lines = geometry.rows(one).filter((row) => row.group === index);
        const parts = lines.flatMap((row) => geometry.pieces(mine, row, context));
        let at = 0;
        for (const { start, end, over } of parts) {
          assert.equal(start, at);
          assert.ok(end > start);
          assert.equal(over, start >= mine.limit_bytes);
          at = end;
        }
        const { need } = geometry.amounts(mine, context);
        assert.equal(at, Math.max(need, mine.limit_bytes));
        assert.equal(
          parts.some(({ over }) => over),
          need > mine.limit_bytes,
        );
      });
    }
  }
});

test("the slider moves no limit: all bars have one scale at every context", () => {
  for (const one of SCENES) {
    const most = geometry.domain(one);
    assert.equal(geometry.domain({ ...one, context: 0 }), most);
    one.groups.forEach((mine) => {
      const { x, nameEnd } = geometry.limitAt(mine, most, BAR, "limit 48 GB");
      assert.ok(x > BAR.left && x <= BAR.left + BAR.width);
      assert.ok(nameEnd - 6.2 * "limit 48 GB".length >= BAR.left - 1e-9);
    });
  }
});

test("boxes stay in the bar, and what does not is cut", () => {
  const whole = { start: 10, end: 500 };
  assert.deepEqual(geometry.box(whole, 100, BAR), { x: 140, width: 360, cut: true });
  assert.equal(geometry.box({ start: 200, end: 300 }, 100, BAR).width, 0);
  assert.deepEqual(geometry.box({ start: 0, end: 1e-9 }, 100, BAR), { x: 100, width: 1, cut: false });
});

test("lines do not overlap and fit the width", () => {
  for (const one of SCENES) {
    for (const width of [560, 700, 1000, 1600]) {
      const place = geometry.layout(one, width);
      assert.ok(place.width <= width, `${place.width} of ${width}`);
      assert.ok(place.bar.width >= 80);
      let bottom = 0;
      for (const row of place.rows) {
        assert.ok(row.y >= bottom);
        bottom = row.y + row.height;
      }
      assert.ok(bottom <= place.height);
      assert.ok(place.columns[0].right - 74 >= place.bar.left + place.bar.width);
    }
  }
});

test("a plan's name for what others use keeps off the column before", () => {
  const head = 11 * geometry.LETTER + geometry.SWATCH;
  for (const width of [436, 552, 700, 1600]) {
    const place = geometry.layout({ ...SCENES[0], used_words: ["activations"] }, width);
    const [kv, used] = ["kv", "used"].map((key) => place.columns.find((column) => column.key === key));
    assert.ok(used.right - head > kv.right, `${used.right - head} behind ${kv.right} at ${width}`);
    assert.ok(place.width <= width);
  }
});

test("where it is narrow the figures stand under the bars, and nothing is cut", () => {
  for (const one of SCENES) {
    for (const panel of [360, 390, 444]) {
      const width = panel - 8; // less what kit.js pads
      const place = geometry.layout(one, width);
      assert.ok(place.stacked);
      assert.ok(place.width <= width, `${place.width} of ${width}`);
      assert.ok(place.bar.width >= 100);
      assert.ok(place.bar.left + place.bar.width <= width);
      place.columns.forEach(({ right, wide, key }, i) => {
        assert.ok(right <= width);
        assert.ok(right - wide >= (place.columns[i - 1]?.right ?? 0) - 1e-9);
        assert.ok(wide >= (key === "free" ? 100 : 72), `${key}: ${wide}`);
      });
      let bottom = 0;
      for (const row of place.rows) {
        assert.ok(row.y >= bottom);
        assert.ok(row.figures - 11 > row.top + geometry.BAR);
        bottom = row.y + row.height;
        assert.ok(row.figures < bottom);
      }
      one.groups.forEach((mine) => {
        const { nameEnd } = geometry.limitAt(mine, geometry.domain(one), place.bar, "x".repeat(40), width - 2);
        assert.ok(nameEnd <= width - 2);
      });
    }
  }
  assert.equal(geometry.layout(SCENES[0], 700).stacked, false);
});

test("hosts whose names are alike are told apart", () => {
  const hosts = Array.from({ length: 12 }, (_, i) => `studio-${i}.local`);
  const many = scene(hosts.map((host, rank) => group([rank], { host })));
  for (const width of [352, 700, 1600]) {
    const { names } = geometry.layout(many, width);
    assert.equal(new Set(names).size, 12);
    names.forEach((name, i) => assert.ok(name.includes(String(i)) && name.length <= 24));
  }
});

test("ranks that share a limit stand under their host", () => {
  const lines = geometry.rows(SCENES[1]).map(({ kind, rank, shared }) => [kind, rank, shared]);
  assert.deepEqual(lines, [
    ["host", undefined, undefined],
    ["rank", 0, true],
    ["rank", 1, true],
    ["rank", 2, true],
    ["rank", 3, false],
  ]);
});

test("a context lies on the track where its step is", () => {
  const steps = geometry.contextSteps(scene([]));
  steps.forEach((step, i) =>
    assert.ok(Math.abs(geometry.trackPart(steps, step) - i / (steps.length - 1)) < 1e-12),
  );
  const between = geometry.trackPart(steps, 100);
  assert.ok(between > 0 && between < geometry.trackPart(steps, 128));
  assert.equal(geometry.trackPart(steps, 2 ** 30), 1);
});

test("names along the track have room, and both ends are named", () => {
  for (const longest of [8192, 40_960, 131_072, 1_048_576]) {
    const steps = geometry.contextSteps(scene([], { longest_context: longest, largest_context: 3000 }));
    const ticks = geometry.trackTicks(steps, (context) => 8 + 544 * geometry.trackPart(steps, context));
    assert.equal(ticks[0].context, 0);
    assert.equal(ticks.at(-1).context, longest);
    ticks.slice(1).forEach(({ x }, i) => assert.ok(x - ticks[i].x >= 42));
    for (const width of [328, 560]) {
      const along = (context) => 8 + (width - 16) * geometry.trackPart(steps, context);
      const end = geometry.trackTicks(steps, along, width + 16).at(-1);
      assert.ok(end.name + 3.4 * geometry.shortContext(longest).length <= width + 16);
    }
  }
});

test("contexts are called by powers of two where they are some", () => {
  const called = [128, 4096, 6144, 40_960, 131_072, 2 ** 20, 24_414].map(geometry.shortContext);
  assert.deepEqual(called, ["128", "4K", "6K", "40K", "128K", "1M", "24,414"]);
  const large = [10 ** 6, 1.5 * 2 ** 20, 10 ** 8, 10 ** 9, 2 ** 30, 10 ** 10].map(geometry.shortContext);
  assert.deepEqual(large, ["1,000,000", "1.5M", "95.37M", "953.7M", "1G", "9.31G"]);
});

test("ranks are named as in Python", () => {
  const named = [[2], [0, 1], [0, 2], [0, 1, 2, 3, 6], [0, 1, 2, 4, 5, 7, 8, 9]].map(geometry.names);
  assert.deepEqual(named, [
    "rank 2",
    "ranks 0 and 1",
    "ranks 0 and 2",
    "ranks 0-3 and 6",
    "ranks 0-2, 4, 5 and 7-9",
  ]);
});

test("what is lacking is said, and nothing where all fits", () => {
  assert.deepEqual(lacking(SCENES[0].groups, 4096), ["rank 1 lacks 4.41 GB"]);
  assert.deepEqual(lacking([SHARED], 131_072), ["ranks 0-2 together lack 27.3 GB"]);
  assert.deepEqual(lacking([SHARED], 40_000), []);
});

test("a context beyond what the model was made for is called so", () => {
  const one = scene([SHARED], { max_context: 131_072 });
  assert.equal(beyond(one, 131_073), "beyond the model's 131,072 tokens");
  assert.equal(beyond(one, 131_072), "");
  assert.equal(beyond(scene([SHARED], { max_context: null }), 10 ** 9), "");
});

test("a line says its figures, and what is not known", () => {
  const [host, rank] = geometry.rows(SCENES[1]);
  assert.match(
    spoken(SCENES[1], host, 4096),
    /^mac0, shared by ranks 0-2: others use 6 GB; 10.8 GB are free of 48 GB, GPU memory$/,
  );
  assert.match(
    spoken(SCENES[1], rank, 4096),
    /^rank 0 on mac0: weights 10 GB; KV cache 410 MB at 4,096 tokens \(100 KB a token\)$/,
  );
  const [first, second] = geometry.rows(SCENES[2]);
  assert.match(
    spoken(SCENES[2], first, 0),
    /others' use is not known; 38 GB are free before the KV cache of 48 GB/,
  );
  assert.match(spoken(SCENES[2], second, 0), /KV cache not known; .*48 GB are lacking of 48 GB/);
});

test("limits are told once, or by rank", () => {
  assert.equal(limitWords([group([0]), group([1])]), "limit: GPU memory");
  assert.equal(
    limitWords([group([0]), group([1], { limit: "this machine's memory" })]),
    "limit: GPU memory (rank 0), this machine's memory (rank 1)",
  );
});
