import assert from "node:assert/strict";
import test from "node:test";
import { adapt, shape, START } from "../../../clients/browser/adapt.js";

const WINDOW = 8;
const after = (state, measure, count) => Array.from({ length: count }).reduce((now) => adapt(now, measure, WINDOW), state);
const quick = { latency: 22, queue: 0, step: 10, total: 12 };

test("an idle server and a quick network get full frames, and more of them at once", () => {
  const state = after(START, quick, 200);
  assert.equal(state.level, 1);
  assert.equal(state.depth, WINDOW);
});

test("a network that becomes slow makes frames smaller and fewer", () => {
  let state = after(START, quick, 100);
  state = after(state, { ...quick, latency: 900 }, 8);
  assert.ok(state.level < 1 && state.level > 0.3);
  state = after(state, { ...quick, latency: 900 }, 60);
  assert.ok(state.level < 0.1);
  assert.equal(state.depth, 1);
});

test("a network that is slow by its distance alone costs nothing", () => {
  assert.equal(after(START, { ...quick, latency: 300 }, 60).level, 1);
});

test("a line that is slow from the start is not taken for a distant one", () => {
  assert.ok(after(START, { ...quick, latency: 600 }, 60).level < 0.2);
});

test("what was sent before a change does not count against it", () => {
  const before = { ...START, rest: 10, depth: 3 };
  const once = adapt(before, { ...quick, latency: 900 }, WINDOW);
  assert.equal(after(once, { ...quick, latency: 900 }, 3).level, once.level);
});

test("frames that wait for the engine, or are replaced by newer ones, are sent later instead", () => {
  const deep = { ...START, depth: 4, rest: 10 };
  assert.equal(adapt(deep, { latency: 300, queue: 180, step: 100, total: 290 }, WINDOW).depth, 3);
  assert.equal(adapt(deep, { lost: true }, WINDOW).depth, 3);
  assert.equal(after({ ...START, depth: 1.5 }, { lost: true }, 50).depth, 1);
});

test("a frame under way while another is computed is kept", () => {
  const state = after(START, { latency: 200, queue: 90, step: 100, total: 195 }, 100);
  assert.equal(state.depth, START.depth);
});

test("the level recovers", () => {
  const low = { ...START, level: 0, rest: 10 };
  assert.equal(after(low, quick, 60).level, 1);
});

test("frames are no larger than the model can use, of even sides, and keep their proportions", () => {
  const model = { width: 480, height: 352 };
  assert.deepEqual(shape(1, { width: 1280, height: 720 }, model), { width: 626, height: 352, quality: 0.85 });
  assert.deepEqual(shape(1, { width: 320, height: 240 }, model), { width: 320, height: 240, quality: 0.85 });
  const { width, height, quality } = shape(0, { width: 1280, height: 720 }, model);
  assert.deepEqual([width, height, quality], [250, 140, 0.5]);
});
