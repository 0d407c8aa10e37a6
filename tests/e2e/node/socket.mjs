// A minimal WebSocket client (RFC 6455) without dependencies: Node 20 has none that is stable.

import { createHash, randomBytes } from "node:crypto";
import net from "node:net";

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10;

export class Socket {
  /** Connect, and return the open socket. `onmessage` gets strings and Buffers, in order. */
  static async connect(url, protocols, onmessage) {
    const { hostname, port, pathname, search } = new URL(url);
    const socket = new Socket(net.connect(Number(port), hostname), onmessage);
    const key = randomBytes(16).toString("base64");
    const offered = protocols.length ? `Sec-WebSocket-Protocol: ${protocols.join(", ")}\r\n` : "";
    socket.tcp.write(
      `GET ${pathname}${search} HTTP/1.1\r\nHost: ${hostname}:${port}\r\nUpgrade: websocket\r\n` +
      `Connection: Upgrade\r\nSec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\n${offered}\r\n`);
    const answer = await socket.opened;
    const accept = createHash("sha1").update(key + GUID).digest("base64");
    if (!answer.startsWith("HTTP/1.1 101") || !answer.includes(accept)) throw new Error(answer);
    socket.protocol = /^sec-websocket-protocol: *(.*)$/im.exec(answer)?.[1] ?? null;
    return socket;
  }

  constructor(tcp, onmessage) {
    this.tcp = tcp;
    this.onmessage = onmessage;
    this.bytes = Buffer.alloc(0);
    this.parts = [];
    this.opened = new Promise((resolve, reject) => {
      this.handshake = resolve;
      tcp.on("error", reject);
    });
    /** {code, reason} of the server's close frame; code 1006 if there was none. */
    this.closed = new Promise((resolve) => {
      this.end = resolve;
      tcp.on("close", () => resolve({ code: 1006, reason: "" }));
    });
    tcp.on("data", (data) => this.#take(data));
  }

  send(data) {
    const text = typeof data === "string";
    return this.frame(text ? TEXT : BINARY, text ? Buffer.from(data) : data);
  }

  ping(data = "") {
    return this.frame(PING, Buffer.from(data));
  }

  /** Send one frame, masked. Returns when it has been handed to the network. */
  frame(opcode, payload, first = 0x80 | opcode) {
    const long = payload.length > 65535, middle = payload.length > 125;
    const head = Buffer.alloc(long ? 14 : middle ? 8 : 6);
    head[0] = first;
    head[1] = 0x80 | (long ? 127 : middle ? 126 : payload.length);
    if (long) head.writeBigUInt64BE(BigInt(payload.length), 2);
    else if (middle) head.writeUInt16BE(payload.length, 2);
    // The mask is 0, so the payload stays as it is: RFC 6455 wants randomness from browsers.
    return new Promise((resolve) => this.tcp.write(Buffer.concat([head, payload]), resolve));
  }

  #take(data) {
    this.bytes = Buffer.concat([this.bytes, data]);
    if (this.handshake) {
      const end = this.bytes.indexOf("\r\n\r\n");
      if (end < 0) return;
      this.handshake(this.bytes.subarray(0, end).toString());
      this.handshake = null;
      this.bytes = this.bytes.subarray(end + 4);
    }
    for (let found; (found = this.#next()); ) this.#hear(...found);
  }

  /** The next whole frame: [opcode, is last, payload], or null. */
  #next() {
    const bytes = this.bytes;
    if (bytes.length < 2) return null;
    let size = bytes[1] & 0x7f, start = 2;
    if (size === 126) start = 4;
    if (size === 127) start = 10;
    if (bytes.length < start) return null;
    if (start === 4) size = bytes.readUInt16BE(2);
    if (start === 10) size = Number(bytes.readBigUInt64BE(2));
    if (bytes.length < start + size) return null;
    this.bytes = bytes.subarray(start + size);
    return [bytes[0] & 0x0f, Boolean(bytes[0] & 0x80), bytes.subarray(start, start + size)];
  }

  #hear(opcode, last, payload) {
    if (opcode === PING) this.frame(PONG, payload);
    else if (opcode === PONG) this.onpong?.(payload.toString());
    else if (opcode === CLOSE) {
      const code = payload.length < 2 ? 1005 : payload.readUInt16BE(0);
      this.end({ code, reason: payload.subarray(2).toString() });
      this.frame(CLOSE, payload.subarray(0, 2)).then(() => this.tcp.end());
    } else {
      if (opcode) this.kind = opcode;
      this.parts.push(payload);
      if (!last) return;
      const whole = Buffer.concat(this.parts);
      this.parts = [];
      this.onmessage(this.kind === TEXT ? whole.toString() : whole);
    }
  }
}
