import assert from "node:assert/strict";
import test from "node:test";
import { Meter, sparkline } from "../../../clients/browser/meter.js";

const memory = (filled, reset = null) => ({ filled, reset });

test("ten masks per second are ten per second, with the median of their latencies", () => {
  const meter = new Meter();
  for (let i = 0; i < 40; i++) meter.mask(i * 100, i === 35 ? 900 : 50, memory(4), 4);
  const { rate, latency } = meter.recent(3900);
  assert.equal(rate, 10);
  assert.equal(latency, 50);
});

test("without masks the rate falls to nothing and there is no latency", () => {
  const meter = new Meter();
  meter.mask(0, 50, memory(0, "new"), 4);
  meter.mask(100, 50, memory(1), 4);
  assert.ok(meter.recent(9000).rate < 0.2);
  assert.deepEqual(meter.recent(40000), { rate: 0, latency: null });
});

test("a mask every four seconds is a rate, too", () => {
  const meter = new Meter();
  for (let i = 0; i < 10; i++) meter.mask(i * 4000, 3500, memory(2), 2);
  assert.deepEqual(meter.recent(36000), { rate: 0.25, latency: 3500 });
});

test("a watched mask has no latency", () => {
  const meter = new Meter();
  meter.mask(0, null, memory(1), 4);
  meter.mask(100, null, memory(2), 4);
  assert.equal(meter.recent(200).latency, null);
});

test("drops and resets are counted, and charted per second", () => {
  const meter = new Meter();
  meter.mask(0, 50, memory(0, "new"), 4);
  meter.drop(3);
  meter.tick(1000);
  meter.drop(2);
  meter.tick(2000);
  assert.equal(meter.drops, 5);
  assert.equal(meter.resets, 1);
  assert.deepEqual(meter.history.drops, [3, 2]);
  assert.deepEqual(meter.history.resets, [1, 0]);
  assert.deepEqual(meter.memory, [0, 4]);
});

test("the history is a minute long", () => {
  const meter = new Meter();
  for (let second = 0; second < 100; second++) meter.tick(second * 1000);
  assert.equal(meter.history.rate.length, 60);
});

test("a line ends at the right, its largest value at the top", () => {
  assert.equal(sparkline([0, 10], 5), "M58 19.0L59 1.0");
  assert.equal(sparkline([0, 1], 10), "M58 19.0L59 17.2");
  assert.equal(sparkline([], 1), "");
});
