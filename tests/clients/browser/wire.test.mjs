import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeMask, pack, unpack } from "../../../clients/browser/wire.js";

const text = (value) => new TextEncoder().encode(JSON.stringify(value));
const refused = (value, width, height) => assert.rejects(decodeMask(text(value), "rle", width, height));

test("a frame is packed around bytes or a Blob alike", async () => {
  const bytes = Uint8Array.from([1, 2, 3]);
  for (const payload of [bytes, new Blob([bytes])]) {
    const message = new Uint8Array(await pack({ seq: 7, pts: undefined }, payload).arrayBuffer());
    assert.deepEqual(unpack(message), { header: { seq: 7 }, payload: bytes });
  }
});

test("labels that lie within a larger buffer are read at their place", async () => {
  const whole = Uint8Array.from([9, 9, ...text({ 0: "02", 1: "22" }), 9]);
  const labels = await decodeMask(whole.subarray(2, whole.length - 1), "rle", 2, 2);
  assert.deepEqual([...labels], [0, 1, 0, 1]);
});

test("run lengths of 12 columns and 5 rows of noise", async () => {
  const width = 12, height = 5, labels = Uint8Array.from({ length: 60 }, (_, at) => ((at * 7919) % 13) % 3);
  const runs = Object.fromEntries([0, 1, 2].map((label) => [label, encoded(labels, label, width, height)]));
  assert.deepEqual(await decodeMask(text(runs), "rle", width, height), labels);
});

test("run lengths that overlap and leave a gap of the same size are refused", () =>
  refused({ 0: "02", 1: "122" }, 2, 2));

test("run lengths that are negative or never end are refused", async () => {
  await refused({ 0: "0N" }, 2, 2);
  await refused({ 0: "0o" }, 2, 2);
});

/** The pixels of a label as COCO's compressed run lengths, for runs below 16. */
function encoded(labels, label, width, height) {
  const columns = Array.from({ length: width * height }, (_, at) =>
    labels[(at % height) * width + Math.floor(at / height)] === label);
  const runs = [0];
  columns.forEach((isInside, at) => (isInside === (at ? columns[at - 1] : false) ? runs.push(runs.pop() + 1) : runs.push(1)));
  return runs.map((run, at) => number(at > 2 ? run - runs[at - 2] : run)).join("");
}

const number = (value) => {
  assert.ok(Math.abs(value) < 16);
  return String.fromCharCode(48 + (value & 31));
};
