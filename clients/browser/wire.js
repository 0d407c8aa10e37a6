// The socket's messages and masks, as protocol/README.md describes them. Runs in browsers and in Node.

const MAX_HEADER = 65536;

/** Return a binary message as a Blob; `payload` is bytes or a Blob. */
export function pack(header, payload) {
  const text = new TextEncoder().encode(JSON.stringify(header));
  const length = new DataView(new ArrayBuffer(4));
  length.setUint32(0, text.length, true);
  return new Blob([length, text, payload]);
}

/** Split a binary message: {header, payload}. */
export function unpack(bytes, limit = Infinity) {
  check(bytes.length >= 4 && bytes.length <= limit, "The message is too short or too long.");
  const length = view(bytes).getUint32(0, true);
  check(length <= MAX_HEADER && 4 + length <= bytes.length, "The header is cut off or too long.");
  const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(4, 4 + length));
  return { header: parse(text || "{}"), payload: bytes.subarray(4 + length) };
}

/** Return the object in a text message. */
export function parse(text) {
  check(text.length <= MAX_HEADER, "The message is too long.");
  const value = JSON.parse(text, (_, one) => {
    check(typeof one !== "string" || !/\p{Surrogate}/u.test(one), "Half of a surrogate pair.");
    return one;
  });
  check(value && typeof value === "object" && !Array.isArray(value), "The message is not an object.");
  return value;
}

/** Split a mask's payload: [the mask, the JPEG of the overlay]. */
export function splitOverlay({ overlay = 0 }, payload) {
  check(overlay <= payload.length, "The overlay is longer than the payload.");
  const cut = payload.length - overlay;
  return [payload.subarray(0, cut), payload.subarray(cut)];
}

/** Return the labels of a mask: height * width bytes, row by row; null if its encoding is "none". */
export async function decodeMask(bytes, encoding, width, height) {
  if (encoding === "none") return null;
  const labels = await { raw: (same) => same, rle: fromRle, png: fromPng }[encoding](bytes, width, height);
  check(labels.length === width * height, "The mask is not of its size.");
  return labels;
}

function fromRle(bytes, width, height) {
  const none = 256, columns = new Uint16Array(width * height).fill(none);
  let covered = 0;
  for (const [label, text] of Object.entries(JSON.parse(new TextDecoder().decode(bytes)))) {
    check(/^\d{1,3}$/.test(label) && label < none, "There is no such class.");
    let at = 0;
    runs(text).forEach((length, index) => {
      if (index % 2) columns.fill(Number(label), at, at + length);
      if (index % 2) covered += length;
      at += length;
    });
  }
  check(covered === columns.length && !columns.includes(none), "The classes do not cover each pixel once.");
  return transposed(columns, width, height);
}

function runs(text) {
  const found = [];
  for (let at = 0; at < text.length; ) {
    let value = 0, shift = 0, code;
    do {
      check(at < text.length, "The run lengths are cut off.");
      code = text.charCodeAt(at++) - 48;
      value += (code & 31) * 2 ** shift;
      shift += 5;
    } while (code & 32);
    if (code & 16) value -= 2 ** shift;
    found.push(value + (found.length > 2 ? found.at(-2) : 0));
    check(found.at(-1) >= 0, "A run has a negative length.");
  }
  return found;
}

function transposed(columns, width, height) {
  const labels = new Uint8Array(width * height);
  for (let y = 0, to = 0; y < height; y++)
    for (let from = y; from < columns.length; from += height) labels[to++] = columns[from];
  return labels;
}

async function fromPng(bytes, width, height) {
  const data = view(bytes), parts = [];
  for (let at = 8; at < bytes.length; at += 12 + data.getUint32(at)) {
    const body = bytes.subarray(at + 8, at + 8 + data.getUint32(at));
    const name = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (name === "IDAT") parts.push(body);
    if (name !== "IHDR") continue;
    check(data.getUint32(16) === width && body[8] === 8 && body[9] === 3, "Not a palette PNG of this width.");
  }
  const inflated = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"));
  return unfiltered(new Uint8Array(await new Response(inflated).arrayBuffer()), width, height);
}

function unfiltered(rows, width, height) {
  check(rows.length === (width + 1) * height, "The PNG is not of its size.");
  const labels = new Uint8Array(width * height);
  for (let y = 0, from = 0, to = 0; y < height; y++) {
    const guess = GUESSES[rows[from++]];
    for (let x = 0, left = 0, corner = 0; x < width; x++, to++) {
      const up = y ? labels[to - width] : 0;
      labels[to] = rows[from++] + guess(left, up, corner);
      left = labels[to];
      corner = up;
    }
  }
  return labels;
}

const GUESSES = [() => 0, (left) => left, (_, up) => up, (left, up) => (left + up) >> 1, paeth];

function paeth(left, up, corner) {
  const a = Math.abs(up - corner), b = Math.abs(left - corner), c = Math.abs(left + up - 2 * corner);
  return a <= b && a <= c ? left : b <= c ? up : corner;
}

const view = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function check(holds, message) {
  if (!holds) throw new Error(message);
}
