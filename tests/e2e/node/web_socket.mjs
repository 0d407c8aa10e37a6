// WebSocket as browsers have it, as far as the page's stream.js uses it: Node 20 has none that is stable.

import { Socket } from "./socket.mjs";

export class WebSocket {
  #socket = null;
  #sent = Promise.resolve();
  #isClosed = false;

  constructor(url, protocol) {
    const take = (data) => this.onmessage({ data: typeof data === "string" ? data : Uint8Array.from(data).buffer });
    Socket.connect(String(url), [protocol], take).then((socket) => this.#open(socket), () => this.#close({ code: 1006 }));
  }

  send(data) {
    this.#sent = this.#sent.then(async () =>
      this.#socket.send(typeof data === "string" ? data : Buffer.from(await data.arrayBuffer())));
  }

  close(code) {
    const reason = Buffer.alloc(2);
    reason.writeUInt16BE(code);
    this.#sent = this.#sent.then(() => this.#socket?.frame(8, reason)).then(() => this.#socket?.tcp.end());
  }

  #open(socket) {
    this.#socket = socket;
    socket.closed.then((end) => this.#close(end));
    this.onopen();
  }

  #close(end) {
    if (!this.#isClosed) this.onclose({ reason: "", ...end });
    this.#isClosed = true;
  }
}
