import assert from "node:assert/strict";
import { test } from "node:test";

import { COLOURS, formatBytes, formatRate, formatSeconds } from "../../../kernelkit/views/static/kit.js";

// The same cases as in tests/test_units.py: both sides print alike.
test("bytes", () => {
  const cases = [
    [0, "0 B"], [999, "999 B"], [1000, "1 KB"], [1536, "1.54 KB"], [999_400, "999 KB"], [999_600, "1 MB"],
    [9.876e9, "9.88 GB"], [1.2e12, "1.2 TB"], [4.5e15, "4,500 TB"],
  ];
  for (const [size, text] of cases) {
    assert.equal(formatBytes(size), text);
  }
});

test("seconds", () => {
  const cases = [
    [4.1e-6, "4.1 µs"], [0.000999, "999 µs"], [0.00215, "2.15 ms"], [0.9996, "1 s"], [59.9, "59.9 s"],
    [60, "1 min"], [135.2, "2 min 15 s"],
  ];
  for (const [time, text] of cases) {
    assert.equal(formatSeconds(time), text);
  }
});

test("rates", () => {
  assert.equal(formatRate(52.31, "tokens"), "52.3 tokens/s");
  assert.equal(formatRate(98_765, "tokens"), "98,765 tokens/s");
});

test("eight colours, all different", () => {
  assert.equal(new Set(Object.values(COLOURS)).size, 8);
});
