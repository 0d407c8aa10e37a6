import assert from "node:assert/strict";
import { test } from "node:test";
import { delay, isSame, mayPass } from "../../../clients/browser/reconnecting.js";

test("a lost socket and a server that is full or restarts may pass, a refusal does not", () => {
  for (const code of [1001, 1006, 1012, 1013, 4503]) assert.ok(mayPass(code), code);
  for (const code of [1000, 1009, 4400, 4401, 4404, 4409, 4422]) assert.ok(!mayPass(code), code);
});

test("waits are doubled up to a limit, less up to half of them", () => {
  assert.deepEqual([0, 1, 2, 3].map((attempt) => delay(attempt, 0)), [500, 1000, 2000, 4000]);
  assert.deepEqual([delay(9, 0), delay(2000, 0), delay(2000, 1)], [15000, 15000, 7500]);
});

test("a model is the same if its masks are", () => {
  const model = { name: "m", fingerprint: "f", classes: [{ name: "sky", colour: [1, 2, 3] }], width: 4, height: 2 };
  assert.ok(isSame(model, { ...structuredClone(model), licence: "another" }));
  assert.ok(!isSame(model, { ...model, fingerprint: "g" }));
  assert.ok(!isSame(model, { ...model, classes: [] }));
});
