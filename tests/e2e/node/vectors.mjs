// The golden vectors, read by the client of this folder: node vectors.mjs FOLDER_OF_PROTOCOL

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { decodeMask, pack, parseObject, splitOverlay, unpack } from "./client.mjs";
import { fits } from "./schema.mjs";

const [, , folder] = process.argv;
const load = (name) => JSON.parse(readFileSync(`${folder}/${name}.json`));
const vectors = load("vectors"), schema = load("schema");
const ROOT = { client: "ClientMessage", server: "ServerMessage" };
const hex = (text) => Buffer.from(text, "hex"), base64 = (text) => Buffer.from(text, "base64");

function reads(root, parse) {
  try {
    return fits(schema, root, parse());
  } catch {
    return false;
  }
}

const checks = {
  text({ from, text, fields }) {
    const { type, ...given } = parseObject(text);
    assert.deepEqual(given, fields);
    assert.ok(fits(schema, ROOT[from], { type, ...given }));
  },
  read_text({ from, text, type }) {
    const given = parseObject(text);
    assert.equal(given.type, type);
    if (from === "client") assert.ok(fits(schema, ROOT[from], given));
  },
  frames({ header, hex: bytes, payload_hex }) {
    const data = hex(bytes), payload = hex(payload_hex);
    assert.deepEqual(unpack(data), { header, payload });
    if (data.length > payload.length) assert.deepEqual(pack(header, payload), data);
  },
  read_frames({ header, hex: bytes }) {
    const given = unpack(hex(bytes)).header;
    assert.ok(fits(schema, "FrameHeader", given));
    const present = Object.entries(given).filter(([, value]) => value !== null && value !== false);
    assert.deepEqual(Object.fromEntries(present), header);
  },
  mask_messages({ header, hex: bytes, mask_hex, overlay_hex }) {
    const given = unpack(hex(bytes));
    assert.deepEqual(given.header, header);
    assert.ok(fits(schema, "MaskHeader", header));
    assert.deepEqual(splitOverlay(header, given.payload), [hex(mask_hex), hex(overlay_hex)]);
  },
  masks({ width, height, labels_base64, png_base64, rle }) {
    const labels = base64(labels_base64), runs = Buffer.from(JSON.stringify(rle));
    assert.deepEqual(decodeMask(base64(png_base64), "png", width, height), labels);
    assert.deepEqual(decodeMask(runs, "rle", width, height), labels);
    assert.deepEqual(decodeMask(labels, "raw", width, height), labels);
  },
  refused_text({ from, text }) {
    assert.ok(!reads(ROOT[from], () => parseObject(text)));
  },
  refused_frames({ name, hex: bytes, max_message_bytes }) {
    if (name === "seq is a float") return; // JavaScript has one kind of number
    assert.ok(!reads("FrameHeader", () => unpack(hex(bytes), max_message_bytes).header));
  },
  refused_mask_messages({ hex: bytes }) {
    assert.ok(!reads("MaskHeader", () => unpack(hex(bytes)).header));
  },
  refused_masks({ base64: data, encoding, width, height }) {
    assert.throws(() => decodeMask(base64(data), encoding, width, height));
  },
};

const done = {};
for (const [group, cases] of Object.entries(vectors)) {
  if (group === "about") continue;
  for (const one of cases) {
    try {
      checks[group](one);
    } catch (error) {
      error.message = `${group}, ${one.name}: ${error.message}`;
      throw error;
    }
  }
  done[group] = cases.length;
}
console.log(JSON.stringify(done));
