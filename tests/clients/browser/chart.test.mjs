import assert from "node:assert/strict";
import test from "node:test";
import { place, shares, stack } from "../../../clients/browser/chart.js";

const classes = ["sky", "road", "car"].map((name, index) => ({ name, colour: [index, 0, 0] }));
const frames = [0, 1, 2, 3].map((frame) => ({ frame, time: frame / 25, areas: { sky: 0.25 * frame, road: 0.25 } }));

test("shares are means over steps of time, of the classes that are present", () => {
  const found = shares({ classes, frames }, 2);
  assert.deepEqual(found.map(({ name }) => name), ["sky", "road"]);
  assert.deepEqual(found.map((one) => one.shares), [[0.125, 0.625], [0.25, 0.25]]);
  assert.equal(shares({ classes, frames })[0].shares.length, 4);
});

test("every frame counts once, whatever the number of steps", () => {
  for (const count of [1, 7, 10, 11]) {
    const many = Array.from({ length: count }, () => ({ areas: { sky: 0.5 } }));
    for (const one of shares({ classes, frames: many }, 10)[0].shares) assert.equal(one, 0.5);
  }
});

test("classes are stacked from the bottom up to the largest sum", () => {
  const { peak, paths } = stack(shares({ classes, frames }, 2), new Set());
  assert.equal(peak, 0.875);
  assert.deepEqual(paths.map(({ path }) => path), [
    "M0 857L1 286L1 1000L0 1000Z",
    "M0 571L1 0L1 286L0 857Z",
  ]);
});

test("hidden classes leave their place, and the rest fills the chart", () => {
  const { peak, paths } = stack(shares({ classes, frames }, 2), new Set(["sky"]));
  assert.equal(peak, 0.25);
  assert.deepEqual(paths.map(({ name }) => name), ["road"]);
  assert.equal(stack(shares({ classes, frames }), new Set(["sky", "road"])).paths.length, 0);
});

test("one frame makes a chart too", () => {
  const { paths } = stack(shares({ classes, frames: [frames[1]] }), new Set());
  assert.equal(paths[0].path, "M0 500L1 500L1 1000L0 1000Z");
});

test("a place is the frame's number and its exact time", () => {
  assert.equal(place(frames, 1), "Frame 2 of 4, 0:00.04");
  assert.equal(place([{ time: 59.999 }], 0), "Frame 1 of 1, 1:00.00");
  assert.equal(place([{ time: 61.5 }], 0), "Frame 1 of 1, 1:01.50");
});
