// The golden vectors, read and written by a client: in Node and in browsers.

import { fits } from "./schema.mjs";

const ROOT = { client: "ClientMessage", server: "ServerMessage" };
const hex = (text) => Uint8Array.from(text.match(/../g) ?? [], (byte) => parseInt(byte, 16));
const base64 = (text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));

/**
 * Check all vectors with a client's functions {pack, unpack, parse, splitOverlay, decodeMask}. Returns how many
 * cases each group has; raises an error that names the first case that fails.
 */
export async function check(client, vectors, schema) {
  const done = {}, checks = checksOf(client, schema);
  for (const [group, cases] of Object.entries(vectors)) {
    if (group === "about") continue;
    for (const one of cases) {
      try {
        await checks[group](one);
      } catch (error) {
        throw new Error(`${group}, ${one.name}: ${error.message}`, { cause: error });
      }
    }
    done[group] = cases.length;
  }
  return done;
}

function checksOf({ pack, unpack, parse, splitOverlay, decodeMask }, schema) {
  return {
    text({ from, text, fields }) {
      const { type, ...given } = parse(text);
      equal(given, fields);
      holds(fits(schema, ROOT[from], { type, ...given }));
    },
    read_text({ from, text, type }) {
      const given = parse(text);
      equal(given.type, type);
      if (from === "client") holds(fits(schema, ROOT[from], given));
    },
    async frames({ header, hex: bytes, payload_hex }) {
      const data = hex(bytes), payload = hex(payload_hex);
      if (data.length === payload.length) return; // a picture alone: it is sent as it is
      same(await bytesOf(pack(header, payload)), data);
      const given = unpack(data);
      equal(given.header, header);
      same(given.payload, payload);
    },
    read_frames({ header, hex: bytes }) {
      const given = unpack(hex(bytes)).header;
      holds(fits(schema, "FrameHeader", given));
      const present = Object.entries(given).filter(([, value]) => value !== null && value !== false);
      equal(Object.fromEntries(present), header);
    },
    mask_messages({ header, hex: bytes, mask_hex, overlay_hex }) {
      const given = unpack(hex(bytes)), [mask, overlay] = splitOverlay(header, given.payload);
      equal(given.header, header);
      holds(fits(schema, "MaskHeader", header));
      same(mask, hex(mask_hex));
      same(overlay, hex(overlay_hex));
    },
    async masks({ width, height, labels_base64, png_base64, rle }) {
      const labels = base64(labels_base64), runs = new TextEncoder().encode(JSON.stringify(rle));
      same(await decodeMask(base64(png_base64), "png", width, height), labels);
      same(await decodeMask(runs, "rle", width, height), labels);
      same(await decodeMask(labels, "raw", width, height), labels);
    },
    refused_text({ from, text }) {
      holds(!reads(ROOT[from], () => parse(text)));
    },
    refused_frames({ name, hex: bytes, max_message_bytes }) {
      if (name === "seq is a float") return; // JavaScript has one kind of number
      holds(!reads("FrameHeader", () => unpack(hex(bytes), max_message_bytes).header));
    },
    refused_mask_messages({ hex: bytes }) {
      holds(!reads("MaskHeader", () => unpack(hex(bytes)).header));
    },
    async refused_masks({ base64: data, encoding, width, height }) {
      const decoding = (async () => decodeMask(base64(data), encoding, width, height))();
      holds(await decoding.then(() => false, () => true));
    },
  };

  function reads(root, parsed) {
    try {
      return fits(schema, root, parsed());
    } catch {
      return false;
    }
  }
}

const bytesOf = async (data) => new Uint8Array(await new Response(data).arrayBuffer());

function equal(given, wanted) {
  holds(sorted(given) === sorted(wanted), `${sorted(given)} is not ${sorted(wanted)}`);
}

function same(given, wanted) {
  holds(given.length === wanted.length && wanted.every((byte, at) => given[at] === byte), "the bytes differ");
}

/** A value as JSON, in which the order of the fields does not matter. */
const sorted = (value) => JSON.stringify(value, (_, one) =>
  one && typeof one === "object" && !Array.isArray(one) ? Object.fromEntries(Object.entries(one).sort()) : one);

function holds(fact, text = "it does not hold") {
  if (!fact) throw new Error(text);
}
