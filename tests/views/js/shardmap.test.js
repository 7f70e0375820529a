// Where the shard map puts cells, labels and matrices: over ranks, layers, strategies and widths.

import assert from "node:assert/strict";
import { test } from "node:test";

import { addedOf, allHeights, cellOf, columnsOf, fullBytes, runsOf } from "../../../kernelkit/views/static/shardmap_geometry.js";
import { isCut, layerLayout, sizesOf, stripesOf } from "../../../kernelkit/views/static/shardmap_layer_geometry.js";
import { detailBox, factsOf } from "../../../kernelkit/views/static/shardmap_detail.js";
import { overview } from "../../../kernelkit/views/static/shardmap_marks.js";
import { placesFor } from "../../../kernelkit/views/static/shardmap_places.js";
import { FONT, LINE, fitted, textWidth, wrapped } from "../../../kernelkit/views/static/shardmap_text.js";

const WIDTHS = [700, 1600];
const RANKS = [2, 4, 8];
const LAYERS = [8, 30, 80, 128];
const HIDDEN = 1024;
const [HEADS, KV_HEADS, MLP] = [12 * 64, 3 * 64, 2048]; // 3 KV heads: padded on 2, 4 and 8 ranks

const range = (count) => [...Array(count).keys()];
const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
const upTo = (size, unit) => Math.ceil(size / unit) * unit;

/** A matrix of the scene; `unit` is what each rank gets whole numbers of, in rows or columns of the cut. */
function matrix(module, group, cut, shape, ranks, { unit = 1, bits = null, whole = false } = {}) {
  const axis = { column: 0, row: 1 }[cut] ?? null;
  const each = axis === null ? 0 : upTo(shape[axis], ranks * unit) / ranks;
  const shares = range(whole ? 1 : ranks).map((rank) => {
    const own = shape.map((size, i) => (i === axis ? each : size));
    const padding = axis === null ? 0 : Math.min(each, Math.max(0, (rank + 1) * each - shape[axis]));
    const bytes = own.reduce((product, size) => product * size, 2);
    return { shape: own, stored: [own], padding, size_bytes: bytes, padding_bytes: axis === null ? 0 : (bytes * padding) / each,
      repeated: 0, repeated_bytes: 0 };
  });
  const down = shape.length < 2 ? null : { axis: 1, name: "inputs" };
  return { module, path: `model.layers.*.${module}.weight`, name: module.split(".").pop().replace("_proj", ""), group, cut, axis,
    collective: cut === "row" ? "all_sum" : "", why: "because", dtype: "float16", bits, group_size: bits ? 64 : null, shape,
    across: { axis: 0, name: "outputs" }, down, arrays: [{ name: "weight", dtype: "float16", shape }], shares,
    share_of: shares.map((_, rank) => rank) };
}

function layer(ranks, strategy, bits) {
  const whole = strategy === "pipeline";
  const cut = (name, unit, ...shape) => (how) => [name, whole ? "whole" : how, shape, unit];
  const large = [
    cut("self_attn.q_proj", 256, HEADS, HIDDEN)("column"),
    cut("self_attn.k_proj", 64, KV_HEADS, HIDDEN)("column"),
    cut("self_attn.v_proj", 64, KV_HEADS, HIDDEN)("column"),
    cut("self_attn.o_proj", 256, HIDDEN, HEADS)("row"),
    cut("mlp.gate_proj", 1, MLP, HIDDEN)("column"),
    cut("mlp.up_proj", 1, MLP, HIDDEN)("column"),
    cut("mlp.down_proj", 1, HIDDEN, MLP)("row"),
  ].map(([module, how, shape, unit]) =>
    matrix(module, module.startsWith("mlp") ? "mlp" : "attention", how, shape, ranks, { unit, bits, whole }),
  );
  const norm = matrix("input_layernorm", "small", whole ? "whole" : "replicated", [HIDDEN], ranks, { whole });
  return [norm, ...large];
}

/** A map as `kernelkit.views.shardmap` makes it. */
function mapOf(ranks, layers, strategy = "tensor", bits = null, vocab = 32_000) {
  const ends = range(ranks + 1).map((i) => Math.round((i * layers) / ranks));
  const owner = (at) => ranks - 1 - range(ranks).find((i) => at < ends[i + 1]);
  const kinds = [layer(ranks, strategy, bits)];
  const before = [matrix("embed_tokens", "other", "replicated", [vocab, HIDDEN], ranks, { bits })];
  const after = [matrix("norm", "small", "replicated", [HIDDEN], ranks), matrix("lm_head", "other", "replicated", [vocab, HIDDEN], ranks)];
  const per = (rank) => (strategy === "pipeline" ? `layers ${ends[ranks - 1 - rank]}–${ends[ranks - rank] - 1}`
    : rank === ranks - 1 ? "no heads + 3 of zeros" : `heads ${rank * 3}–${rank * 3 + 2} of ${3 * ranks - 3}`);
  return { title: "sample", strategy, planned: true, added: ["padding"], quantization: bits ? `${bits}-bit in groups of 64` : "", kinds,
    layers: Array(layers).fill(0), owners: strategy === "pipeline" ? range(layers).map(owner) : null, before, after,
    ranks: range(ranks).map((rank) => ({ rank, label: per(rank), kv_label: "", size_bytes: 6.123e9, padding_bytes: rank ? 3.54e7 : 0, repeated_bytes: 0,
      cut_bytes: { column: 3e9, row: 2e9, whole: 0, replicated: 1.1e9 } })) };
}

function layoutOf(maps, map, width) {
  const place = placesFor(maps.length, width).map;
  const headerLines = Math.max(...maps.flatMap((each) => columnsOf(each, place).map((column) => column.lines.length)));
  return overview(map, { width: place, heights: allHeights(maps)[maps.indexOf(map)], full: fullBytes(maps, map.strategy),
    headerLines, most: 6.123e9 });
}

/** All segments where they stand. */
function allSegments(grid) {
  return grid.rows.flatMap((row) => grid.columns.flatMap((column) => {
    const cell = cellOf(grid, row, column.rank);
    return (cell?.segments ?? []).map((segment) => ({ ...segment, row: row.id, rank: column.rank, x: column.x + segment.x,
      y: row.y, height: row.height, broken: cell.broken }));
  }));
}

/** Every combination of what the picture must stand. */
function* cases() {
  for (const width of WIDTHS) {
    for (const ranks of RANKS) {
      for (const layers of LAYERS) {
        for (const strategy of ["tensor", "pipeline"]) {
          for (const bits of [null, 4]) {
            const map = mapOf(ranks, layers, strategy, bits, bits ? 600 : 32_000); // few tokens: nothing is shortened
            const name = `${strategy}, ${ranks} ranks, ${layers} layers, ${bits ?? 16} bits, ${width} px`;
            yield { name, map, width, ranks, layers, strategy, layout: layoutOf([map], map, width) };
          }
        }
      }
    }
  }
}

const near = (a, b, allowed = 1e-6) => Math.abs(a - b) <= allowed * Math.max(1, Math.abs(a), Math.abs(b));

test("every layer has its row and every holder its segments, in the order of the layers", () => {
  for (const { name, map, layout, ranks, layers, strategy } of cases()) {
    assert.deepEqual(layout.rows.map((row) => row.id), ["before", ...range(layers).map(String), "after"], name);
    const held = new Set(allSegments(layout).filter((s) => s.row !== "before" && s.row !== "after").map((s) => `${s.row} ${s.rank}`));
    const owners = strategy === "pipeline" ? (at) => [map.owners[at]] : () => range(ranks);
    assert.deepEqual([...held].sort(), range(layers).flatMap((at) => owners(at).map((rank) => `${at} ${rank}`)).sort(), name);
    layout.rows.slice(1).forEach((row, i) => assert.ok(row.y >= layout.rows[i].y + layout.rows[i].height, name));
    assert.ok(Math.min(...layout.rows.map((row) => row.height)) >= 3.5, name);
  }
});

test("runs paint all rows and nothing else, and there are few of them", () => {
  for (const { name, layout, strategy, ranks } of cases()) {
    const runs = runsOf(layout);
    assert.deepEqual(runs.flatMap((run) => run.rows), layout.rows, name);
    for (const run of runs) {
      const last = run.rows[run.rows.length - 1];
      assert.deepEqual([run.y, run.y + run.height], [run.rows[0].y, last.y + last.height], name);
      assert.equal(new Set(run.rows.map((row) => JSON.stringify([row.content, row.owner]))).size, 1, name);
    }
    assert.equal(runs.length, 2 + (strategy === "pipeline" ? ranks : 1), name);
  }
});

test("segments lie in their cells and do not overlap", () => {
  for (const { name, layout } of cases()) {
    const last = new Map();
    for (const part of allSegments(layout)) {
      const column = layout.columns[part.rank];
      assert.ok(part.x >= column.x - 1e-6 && part.x + part.width <= column.x + column.width + 1e-6, name);
      assert.ok(part.width >= 0 && part.padding >= 0 && part.padding <= part.width + 1e-6, name);
      const cell = `${part.row} ${part.rank}`;
      assert.ok(part.x >= (last.get(cell) ?? 0) - 1e-6, `${name}: ${cell} ${part.module}`);
      last.set(cell, part.x + part.width);
    }
    layout.columns.slice(1).forEach((column, i) => {
      assert.ok(column.x >= layout.columns[i].x + layout.columns[i].width, name);
    });
    assert.ok(layout.columns[layout.columns.length - 1].x + layout.columns[0].width <= layout.width, name);
  }
});

test("areas are proportional to bytes, and so is the padding in them; only shortened rows are not", () => {
  const ends = { shortened: 0, full: 0 };
  for (const { name, map, layout } of cases()) {
    const drawn = allSegments(layout).filter((part) => !part.small && !part.broken);
    ends[allSegments(layout).some((part) => part.broken) ? "shortened" : "full"] += 1;
    const perByte = (drawn[drawn.length - 1].width * drawn[drawn.length - 1].height) / drawn[drawn.length - 1].bytes;
    for (const part of drawn) {
      assert.ok(near((part.width * part.height) / part.bytes / perByte, 1), `${name}: ${part.row} ${part.module}`);
    }
    for (const part of drawn.filter((each) => each.row === "0" && each.padding)) {
      const { shares, share_of: of } = map.kinds[0].find((each) => each.module === part.module);
      assert.ok(near(part.padding / part.width, shares[of[part.rank]].padding_bytes / part.bytes), name);
    }
    assert.deepEqual([...new Set(allSegments(layout).filter((part) => part.broken).map((part) => part.row))]
      .filter((row) => row !== "before" && row !== "after"), [], name);
  }
  assert.ok(ends.shortened > 0 && ends.full > 0);
});

test("norms have a marker in each cell that holds any, as wide everywhere", () => {
  for (const { name, layout } of cases()) {
    const parts = allSegments(layout);
    const markers = parts.filter((part) => part.small);
    const cells = new Set(parts.filter((part) => part.row !== "before").map((part) => `${part.row} ${part.rank}`));
    assert.deepEqual(new Set(markers.map((part) => `${part.row} ${part.rank}`)), cells, name);
    assert.equal(new Set(markers.map((part) => part.width)).size, 1, name);
  }
});

test("maps of one strategy share a scale, and the same layers of two maps stand side by side", () => {
  const [planned, real] = [mapOf(4, 30), mapOf(4, 30)];
  real.before = mapOf(4, 30, "tensor", null, 100).before; // with its own rows' heights it would have taller layers
  for (const share of real.kinds[0].flatMap((each) => each.shares)) {
    share.size_bytes *= 2; // loaded in twice the bits that were planned
  }
  const layouts = [planned, real].map((map) => layoutOf([planned, real], map, 1600));
  const of = (layout) => allSegments(layout).find((part) => part.row === "7" && part.module === "mlp.up_proj" && part.rank === 2);
  assert.ok(near(2 * of(layouts[0]).width * of(layouts[0]).height, of(layouts[1]).width * of(layouts[1]).height));
  assert.deepEqual(layouts[0].rows.map((row) => row.y), layouts[1].rows.map((row) => row.y));
});

/** All labels of an overview as boxes: `{text, x, y, width, height}`. */
function labelBoxes(layout) {
  const at = (text, x, y, anchor) => {
    const width = textWidth(text);
    return { text, x: x - { start: 0, middle: width / 2, end: width }[anchor], y: y - FONT * 0.75, width, height: FONT };
  };
  return [
    ...layout.columns.flatMap((c) => c.lines.map((line, i) => at(line, c.x + c.width / 2, (i + 1) * LINE - 2, "middle"))),
    ...layout.names.map((name) => at(name.text, name.x, name.y + 4, "end")),
    ...layout.badges.filter((badge) => badge.labelled).map((badge) => at(badge.text, badge.x + 5, badge.y + badge.height / 2 + 4, "start")),
    ...layout.sizes.map((size) => at(size.text, size.x, size.y + 4, "middle")),
    ...layout.bands.filter((band) => band.labelled).map((band) => at(band.text, band.x + band.width / 2, band.y + band.height / 2 + 4, "middle")),
    ...layout.bars.map((bar) => at("6.12 GB", bar.x + bar.width / 2, bar.y - 4, "middle")),
    ...layout.bars.flatMap((bar) => bar.notes.map((note, i) => at(note, bar.x + bar.width / 2, layout.baseline + (i + 1) * LINE, "middle"))),
  ];
}

function overlaps(boxes) {
  return boxes.flatMap((a, i) => boxes.slice(i + 1).filter((b) =>
    Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x) > 1 && Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y) > 1,
  ).map((b) => `${a.text} / ${b.text}`));
}

test("labels of the overview do not overlap and stay inside it", () => {
  assert.ok(FONT >= 11);
  for (const { name, layout } of cases()) {
    const boxes = labelBoxes(layout);
    assert.deepEqual(overlaps(boxes), [], name);
    for (const size of layout.sizes) {
      const row = layout.rows.find((each) => size.y > each.y && size.y < each.y + each.height);
      const parts = allSegments(layout).filter((part) => part.row === row.id && !part.small && Math.abs(part.x + part.width / 2 - size.x) < 1);
      assert.ok(parts.length === 1 && textWidth(size.text) <= parts[0].width, `${name}: ${size.text} on its cell`);
    }
    const outside = boxes.filter((box) => box.x < -1 || box.x + box.width > layout.width + 1 || box.y < -1 || box.y + FONT > layout.height + 1);
    assert.deepEqual(outside, [], name);
    assert.ok(layout.names.some((label) => label.row === String(layout.rows.length - 3)), `${name}: the last layer's number`);
  }
});

test("the words above two columns keep apart", () => {
  for (const width of [700, 1000, 1300, 1600]) {
    for (const count of [1, 2]) {
      for (const label of ["heads 9–11 of 21", "no heads + 3 of zeros", "heads 20–21 of 22 + 2 of zeros"]) {
        const map = mapOf(8, 30);
        map.ranks.forEach((rank) => (rank.label = label));
        const columns = columnsOf(map, placesFor(count, width - 10).map);
        columns.slice(1).forEach((column, i) => {
          const [a, b] = [columns[i], column];
          a.lines.forEach((line, at) => {
            const half = (textWidth(line) + textWidth(b.lines[at])) / 2;
            const space = b.x + b.width / 2 - a.x - a.width / 2 - half;
            assert.ok(space >= 4, `${width} px, ${count} maps: ${line} / ${b.lines[at]} ${space}`);
          });
        });
      }
    }
  }
});

test("a pipeline's bands are its owners' layers, each with the rank that goes on", () => {
  const map = mapOf(8, 128, "pipeline");
  const { bands } = layoutOf([map], map, 700);
  assert.deepEqual(bands.map(({ rank, text, next }) => [rank, text, next]), range(8).map((i) =>
    [7 - i, `${16 * i}–${16 * i + 15}`, i < 7 ? 6 - i : null]));
});

test("a bracket stands for each run of layers with the same bits", () => {
  const map = mapOf(2, 12, "tensor", 4);
  map.kinds.push(layer(2, "tensor", 6));
  map.layers = [1, 1, ...Array(8).fill(0), 1, 1];
  const { badges } = layoutOf([map], map, 700);
  assert.deepEqual(badges.map((badge) => badge.text), ["4-bit", "6-bit", "4-bit", "6-bit"]); // the first is the embedding's
});

test("bars add up to the bytes of their rank, on one scale", () => {
  const map = mapOf(4, 8);
  const { bars, baseline } = layoutOf([map], map, 700);
  for (const bar of bars) {
    assert.ok(near(sum(bar.parts.map((part) => part.height)), bar.height));
    assert.ok(near(bar.y + bar.height, baseline));
  }
  assert.deepEqual(bars[3].notes.join(" "), "1.1 GB replicated 35.4 MB padding");
});

test("stripes tile their matrix: columns side by side, rows one below the other", () => {
  const box = { x: 10, y: 20, width: 300, height: 120 };
  for (const ranks of RANKS) {
    for (const each of layer(ranks, "tensor", null).filter(isCut)) {
      const stripes = stripesOf(each, box);
      assert.deepEqual(stripes.map((stripe) => stripe.rank), range(ranks));
      assert.ok(near(sum(stripes.map((stripe) => stripe.width * stripe.height)), box.width * box.height));
      const upright = stripes.every((stripe) => stripe.height === box.height && stripe.width < box.width);
      assert.equal(upright, each.cut === "column", each.module);
      const padded = sum(stripes.map(({ padding }) => (padding ? padding.width * padding.height : 0)));
      const total = sum(each.shares.map((share) => share.shape[each.axis]));
      assert.ok(near(padded / (box.width * box.height), sum(each.shares.map((share) => share.padding)) / total), each.module);
    }
  }
});

/** A key projection whose one head stands on both ranks; the second has zeros beside it too. */
function repeatedKeys() {
  const key = matrix("self_attn.k_proj", "attention", "column", [64, HIDDEN], 2);
  const share = { shape: [128, HIDDEN], stored: [[128, HIDDEN]], size_bytes: 128 * HIDDEN * 2, padding: 0, padding_bytes: 0,
    repeated: 0, repeated_bytes: 0 };
  const head = 64 * HIDDEN * 2;
  key.shares = [{ ...share, repeated: 64, repeated_bytes: head },
    { ...share, padding: 64, padding_bytes: head, repeated: 64, repeated_bytes: head }];
  return key;
}

test("repeated heads and zeros have boxes of their own at the end of a stripe", () => {
  const [first, second] = stripesOf(repeatedKeys(), { x: 0, y: 0, width: 100, height: 40 });
  assert.deepEqual([first.repeated, first.padding], [{ x: 25, y: 0, width: 25, height: 40 }, null]);
  assert.deepEqual(second.repeated, { x: 50, y: 0, width: 25, height: 40 });
  assert.deepEqual(second.padding, { x: 75, y: 0, width: 25, height: 40 });
});

test("a little that was added is seen, and nothing where there is nothing", () => {
  const share = { size_bytes: 1e6, padding_bytes: 1, repeated_bytes: 0 };
  assert.deepEqual(addedOf(share, 100), { repeated: 0, padding: 2.5 });
  assert.deepEqual(addedOf(share, 2), { repeated: 0, padding: 0.5 });
  assert.deepEqual(addedOf({ ...share, repeated_bytes: 5e5 }, 100), { repeated: 50, padding: 2.5 });
  assert.deepEqual(addedOf({ size_bytes: 10, padding_bytes: 5 }, 10), { repeated: 0, padding: 5 }, "a scene of before");
});

test("the detail and the bars say what is repeated", () => {
  const map = mapOf(2, 8);
  const facts = Object.fromEntries(factsOf(map, { layer: 3, owner: null }, repeatedKeys(), 1, repeatedKeys().shares[1]));
  assert.equal(facts.shape, "(64, 1024) → (128, 1024), 64 of it padding, 64 of it repeated");
  map.ranks[1].repeated_bytes = 1.31e5;
  const { bars } = layoutOf([map], map, 700);
  assert.equal(bars[1].notes.join(" "), "1.1 GB replicated 35.4 MB padding 131 KB repeated");
  assert.ok(!bars[0].notes.join(" ").includes("repeated"));
});

test("a cut between the matrices of a stack puts them side by side; else a stack is one matrix many times", () => {
  const stack = { ...matrix("embed_q", "attention", "column", [16, 512], 2), shape: [16, 512, 128], axis: 0,
    across: { axis: 1, name: "outputs" }, down: { axis: 2, name: "inputs" } };
  stack.shares = [{ shape: [8, 512, 128], padding: 0, repeated: 0, repeated_bytes: 0, size_bytes: 1, padding_bytes: 0, stored: [] }];
  stack.share_of = [0, 0];
  assert.deepEqual(sizesOf(stack), { across: 16 * 512, down: 128, stack: 1 });
  assert.deepEqual(sizesOf({ ...stack, cut: "replicated", axis: null }), { across: 512, down: 128, stack: 16 });
});

test("a magnified layer keeps to its width, its matrices to one scale, its labels to themselves", () => {
  for (const width of [320, ...WIDTHS.map((each) => placesFor(1, each).layer)]) {
    for (const ranks of RANKS) {
      for (const bits of [null, 4]) {
        const layout = layerLayout(layer(ranks, "tensor", bits), { width, maxHeight: 430 });
        const large = layout.blocks.filter((block) => block.matrix.down && !block.shape.includes("shortened"));
        for (const block of large) {
          const { across, down } = sizesOf(block.matrix);
          assert.ok(near(block.width / across, layout.scale) && near(block.height / down, layout.scale), block.module);
        }
        assert.deepEqual(new Set(layout.blocks.map((block) => block.module)), new Set(layer(ranks, "tensor", bits).map((m) => m.module)));
        const slots = layout.blocks.map((block) => ({ text: block.module, x: block.x, y: block.top,
          width: Math.max(block.width, textWidth(block.name), textWidth(block.shape)), height: block.labels + block.height }));
        assert.deepEqual(overlaps([...slots, ...layout.headings.map(({ text, x, y }) => ({ text, x, y: y - FONT, width: textWidth(text), height: FONT }))]), []);
        assert.ok(Math.max(...layout.blocks.map((block) => block.x + block.width)) <= width);
        assert.deepEqual(layout.marks.map((mark) => mark.module), ["self_attn.o_proj", "mlp.down_proj"]);
      }
    }
  }
});

test("the detail says shapes before and after the cut, padding, bytes and the collective", () => {
  const map = mapOf(2, 8);
  const row = { layer: 3, owner: null, matrices: map.kinds[0] };
  const find = (name) => map.kinds[0].find((each) => each.module === name);
  const facts = (name, rank) => Object.fromEntries(factsOf(map, row, find(name), rank, find(name).shares[rank]));
  assert.equal(facts("self_attn.q_proj", 1).shape, "(768, 1024) → (512, 1024), 256 of it padding");
  assert.equal(facts("self_attn.q_proj", 1).rank, "1, no heads + 3 of zeros");
  assert.equal(facts("self_attn.q_proj", 0).then, "no collective");
  assert.deepEqual([facts("mlp.down_proj", 0).cut, facts("mlp.down_proj", 0).then], ["by row", "all_sum"]);
  assert.equal(facts("mlp.down_proj", 0).bytes, "2.1 MB of 4.19 MB on all ranks");
  assert.equal(facts("input_layernorm", 0).cut, "replicated");
});

test("the detail of a rank without the layer says who has it", () => {
  const map = mapOf(2, 8, "pipeline");
  const facts = Object.fromEntries(factsOf(map, { layer: 3, owner: 1 }, map.kinds[0][1], 0, null));
  assert.equal(facts.rank, "rank 0 holds nothing of layer 3; rank 1 has it");
});

test("the detail's rectangle is never thinner than can be seen", () => {
  for (const each of [...layer(8, "tensor", null), ...mapOf(2, 8).before]) {
    const box = detailBox(each);
    assert.ok(box.width >= 12 && box.height >= 12 && box.width <= 250 && box.height <= 150.01, each.module);
  }
});

test("texts break between words, keep numbers with what they count, and lose nothing", () => {
  for (const width of range(40).map((i) => 20 + 5 * i)) {
    const text = "heads 6–8 of 9 + 3 of zeros";
    const lines = wrapped(text, width);
    assert.equal(lines.join(" ").replaceAll("\u00a0", " "), text);
    assert.ok(lines.every((line) => textWidth(line) <= width || !line.includes(" ")), `${width}: ${lines}`);
  }
  assert.deepEqual(wrapped("heads 6–8 of 9 + 3 of zeros", 75), ["heads\u00a06–8", "of\u00a09 +\u00a03", "of\u00a0zeros"]);
  assert.equal(fitted("embed", 50), "embed");
  assert.match(fitted("a long name of a module", 50), /…$/);
  assert.ok(textWidth(fitted("a long name of a module", 50)) <= 50);
});
