// A mastream client, written from protocol/README.md alone.

import { inflateSync } from "node:zlib";
import { Socket } from "./socket.mjs";

const MAX_HEADER = 65536;
const MAGICS = ["ffd8ff", "89504e470d0a1a0a"];

/** The bytes of a binary message. */
export function pack(header, payload) {
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.length);
  return Buffer.concat([length, text, payload]);
}

/** A binary message taken apart: {header, payload}. A bare picture has the header {}. */
export function unpack(bytes, limit = Infinity) {
  const data = buffer(bytes);
  if (data.length > limit) throw new Error("the message is over the limit");
  if (data.length < 4) throw new Error("the message is too short");
  const length = data.readUInt32LE(0);
  if (length > MAX_HEADER) {
    if (isPicture(data)) return { header: {}, payload: data };
    throw new Error("the header is over the limit");
  }
  if (4 + length > data.length) throw new Error("the header is cut off");
  const text = new TextDecoder("utf-8", { fatal: true }).decode(data.subarray(4, 4 + length));
  return { header: parse(text || "{}"), payload: data.subarray(4 + length) };
}

/** A JSON object; anything else is an error. */
export function parse(text) {
  if (text.length > MAX_HEADER) throw new Error("the text is over the limit");
  const value = JSON.parse(text, (_, one) => {
    if (typeof one === "string" && /\p{Surrogate}/u.test(one)) throw new Error("half a surrogate pair");
    return one;
  });
  if (value === null || typeof value !== "object" || Array.isArray(value))
    throw new Error("not an object");
  return value;
}

/** The payload of a mask message: the mask's bytes, and those of the overlay's JPEG. */
export function splitOverlay({ overlay = 0 }, payload) {
  if (overlay > payload.length) throw new Error("the overlay is longer than the payload");
  const cut = payload.length - overlay;
  return [payload.subarray(0, cut), payload.subarray(cut)];
}

/** The labels of a mask: height * width bytes, row by row. */
export function decodeMask(data, encoding, width, height) {
  const labels = { png: fromPng, rle: fromRle, raw: (bytes) => bytes }[encoding](buffer(data), width, height);
  if (labels.length !== width * height) throw new Error("the mask is not of its size");
  return labels;
}

const buffer = ({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength);

function fromRle(data, width, height) {
  const labels = Buffer.alloc(width * height), seen = Buffer.alloc(width * height);
  for (const [label, text] of Object.entries(parse(data.toString()))) {
    if (!/^(0|[1-9]\d{0,2})$/.test(label) || label > 255) throw new Error(`no class: ${label}`);
    let at = 0;
    runs(text).forEach((length, index) => {
      for (const end = at + length; at < end; at++) {
        if (index % 2 === 0) continue;
        const place = (at % height) * width + Math.floor(at / height);
        if (at >= labels.length || seen[place]) throw new Error("a pixel is in two classes");
        seen[place] = 1;
        labels[place] = Number(label);
      }
    });
  }
  if (seen.includes(0)) throw new Error("a pixel is in no class");
  return labels;
}

function runs(text) {
  const found = [];
  for (let at = 0; at < text.length; ) {
    let value = 0, shift = 0, code;
    do {
      if (at >= text.length) throw new Error("the run lengths are cut off");
      code = text.charCodeAt(at++) - 48;
      value += (code & 31) * 2 ** shift;
      shift += 5;
    } while (code & 32);
    if (code & 16) value -= 2 ** shift;
    found.push(value + (found.length > 2 ? found[found.length - 2] : 0));
  }
  return found;
}

function fromPng(data, width, height) {
  const packed = [];
  for (let at = 8; at < data.length; at += 12 + data.readUInt32BE(at)) {
    const body = data.subarray(at + 8, at + 8 + data.readUInt32BE(at));
    const name = data.toString("latin1", at + 4, at + 8);
    if (name === "IDAT") packed.push(body);
    if (name === "IHDR" && (body.readUInt32BE(0) !== width || body[8] !== 8 || body[9] !== 3))
      throw new Error("not a palette PNG of 8 bits and this width");
  }
  const rows = inflateSync(Buffer.concat(packed));
  const labels = Buffer.alloc(width * height), step = width + 1;
  if (rows.length !== step * height) throw new Error("the PNG is not of its size");
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const left = x ? labels[y * width + x - 1] : 0, up = y ? labels[(y - 1) * width + x] : 0;
      const corner = x && y ? labels[(y - 1) * width + x - 1] : 0;
      const guess = [0, left, up, (left + up) >> 1, paeth(left, up, corner)][rows[y * step]];
      labels[y * width + x] = rows[y * step + 1 + x] + guess;
    }
  return labels;
}

function paeth(left, up, corner) {
  const [a, b, c] = [up - corner, left - corner, left + up - 2 * corner].map(Math.abs);
  return a <= b && a <= c ? left : b <= c ? up : corner;
}

function isPicture(data) {
  const riff = data.toString("latin1", 0, 4) === "RIFF" && data.toString("latin1", 8, 12) === "WEBP";
  return riff || MAGICS.some((magic) => data.toString("hex", 0, magic.length / 2) === magic);
}

/** An open stream. Messages wait in order for `next()`; a mask has type "mask" and a `payload`. */
export class Stream {
  static async connect(url, { query = "", protocols = ["mastream.v1"] } = {}) {
    const stream = new Stream();
    const take = (data) => stream.#take(data);
    stream.socket = await Socket.connect(`${url}/v1/stream${query}`, protocols, take);
    stream.socket.closed.then((end) => stream.#put({ type: "closed", ...end }));
    return stream;
  }

  waiting = [];
  wanting = [];

  /** Connect, `open` with these fields, and wait for `ready`. */
  static async open(url, wish = {}) {
    const stream = await Stream.connect(url);
    stream.say("open", wish);
    stream.ready = await stream.next();
    return stream;
  }

  say(type, fields = {}) {
    return this.socket.send(JSON.stringify({ type, ...fields }));
  }

  frame(header, picture) {
    return this.socket.send(pack(header, picture));
  }

  next() {
    if (this.waiting.length) return Promise.resolve(this.waiting.shift());
    return new Promise((resolve) => this.wanting.push(resolve));
  }

  /** All that comes until the socket is closed. */
  async rest() {
    const found = [await this.next()];
    while (found.at(-1).type !== "closed") found.push(await this.next());
    return found;
  }

  #take(data) {
    if (typeof data === "string") {
      const message = parse(data);
      if (message.type === "ping") this.say("pong");
      return this.#put(message);
    }
    const { header, payload } = unpack(data);
    this.#put({ type: "mask", ...header, payload });
  }

  #put(message) {
    const resolve = this.wanting.shift();
    if (resolve) resolve(message);
    else this.waiting.push(message);
  }
}
