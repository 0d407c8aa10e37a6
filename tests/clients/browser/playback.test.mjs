import assert from "node:assert/strict";
import test from "node:test";
import { Pairs, frameAt, within } from "../../../clients/browser/playback.js";

const TIMES = [0, 0.04, 0.08, 0.5, 0.54];

class Picture {
  isClosed = false;
  close() {
    assert.ok(!this.isClosed, "closed once");
    this.isClosed = true;
  }
}

test("a frame is shown from its time until that of the next", () => {
  assert.deepEqual([-1, 0, 0.039, 0.04, 0.3, 0.5, 9].map((time) => frameAt(TIMES, time)), [0, 0, 0, 1, 2, 3, 4]);
});

test("times that were rounded still find their frame", () => {
  for (const [frame, time] of TIMES.entries()) for (const off of [-4e-4, 4e-4]) assert.equal(frameAt(TIMES, time + off), frame);
});

test("a time within a frame is far from its neighbours, also of the last", () => {
  for (const frame of TIMES.keys()) {
    const time = within(TIMES, frame);
    assert.equal(frameAt(TIMES, time), frame);
    assert.ok(time - TIMES[frame] > 0.01);
  }
  assert.equal(frameAt([3], within([3], 0)), 0);
});

test("a picture is shown once all sides have the same frame, and older ones are closed", () => {
  const pairs = new Pairs(2), [a1, a2, a3, b2] = Array.from({ length: 4 }, () => new Picture());
  assert.equal(pairs.put(0, 1, a1), null);
  assert.equal(pairs.put(0, 2, a2), null);
  assert.equal(pairs.put(0, 3, a3), null);
  assert.deepEqual(pairs.put(1, 2, b2), { frame: 2, pictures: [a2, b2] });
  assert.deepEqual([a1, a2, a3, b2].map(({ isClosed }) => isClosed), [true, false, false, false]);
  pairs.clear();
  assert.ok(a3.isClosed);
});

test("a side that runs ahead keeps few pictures", () => {
  const pairs = new Pairs(2, 3), ahead = Array.from({ length: 9 }, () => new Picture());
  ahead.forEach((one, frame) => pairs.put(0, frame, one));
  assert.deepEqual(ahead.map(({ isClosed }) => isClosed), [true, true, true, true, true, true, false, false, false]);
});

test("a frame that comes twice replaces the first, and one side alone is always shown", () => {
  const pairs = new Pairs(2), first = new Picture(), again = new Picture();
  pairs.put(0, 5, first);
  pairs.put(0, 5, again);
  assert.ok(first.isClosed && !again.isClosed);
  assert.equal(new Pairs(1).put(0, 7, again).frame, 7);
});
