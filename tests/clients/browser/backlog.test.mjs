import assert from "node:assert/strict";
import { test } from "node:test";
import { Backlog } from "../../../clients/browser/backlog.js";

function filled(horizon, ...headers) {
  const backlog = new Backlog();
  backlog.horizon = horizon;
  for (const header of headers) backlog.add({ header, data: `data ${header.seq}` });
  return backlog;
}

const seqs = (frames) => frames.map(({ header }) => header.seq);
const frames = (count) => Array.from({ length: count }, (_, seq) => ({ seq }));

test("frames wait until they are answered, in order", () => {
  const backlog = filled(2, ...frames(4));
  assert.equal(backlog.mask(1, false).data, "data 1");
  assert.equal(backlog.mask(1, false), undefined);
  assert.deepEqual(seqs(backlog.unanswered()), [0, 2, 3]);
  assert.equal(backlog.size, 3);
});

test("the last frames with a mask are replayed, as such and without their resets", () => {
  const backlog = filled(2, { seq: 0, pts: 0.5, reset: true }, ...frames(4).slice(1));
  for (const seq of [0, 1]) backlog.mask(seq, seq === 0);
  assert.deepEqual(backlog.replay(), [
    { header: { seq: 0, pts: 0.5, replay: true }, data: "data 0" },
    { header: { seq: 1, pts: undefined, replay: true }, data: "data 1" },
  ]);
  for (const seq of [2, 3]) backlog.mask(seq, false);
  assert.deepEqual(seqs(backlog.replay()), [2, 3]);
});

test("a reset forgets what was before it", () => {
  const backlog = filled(3, ...frames(3));
  for (const seq of [0, 1, 2]) backlog.mask(seq, seq === 1);
  assert.deepEqual(seqs(backlog.replay()), [1, 2]);
});

test("only frames before the first unanswered one are replayed", () => {
  const backlog = filled(3, ...frames(3));
  backlog.mask(0, true);
  backlog.mask(2, false);
  assert.deepEqual(seqs(backlog.replay()), [0]);
});

test("a horizon of 0 keeps nothing", () => {
  const backlog = filled(0, ...frames(2));
  backlog.mask(0, true);
  assert.deepEqual(backlog.replay(), []);
});

test("the frame after a dropped one inherits its reset", () => {
  const waiting = filled(2, { seq: 0, reset: true }, { seq: 1 });
  waiting.drop(0, "newer");
  assert.equal(waiting.unanswered()[0].header.reset, true);
  const empty = filled(2, { seq: 0, reset: true });
  empty.drop(0, "undecodable");
  assert.equal(empty.add({ header: { seq: 1 } }).header.reset, true);
  assert.equal(empty.add({ header: { seq: 2 } }).header.reset, undefined);
});

test("a frame whose mask was lost is in the memory all the same", () => {
  const backlog = filled(2, ...frames(3));
  backlog.mask(0, true);
  backlog.drop(1, "client_slow");
  backlog.drop(2, "stale");
  assert.deepEqual(seqs(backlog.replay()), [0, 1]);
});
