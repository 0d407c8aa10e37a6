// A stream of masks that survives lost connections: it connects again, resumes its session and repeats
// the frames that have no answer, so that its masks are those of an unbroken stream.

import { Backlog } from "./backlog.js";
import { Route } from "./following.js";
import { delay, isSame, mayPass } from "./reconnecting.js";
import { texts } from "./texts.js";
import { decodeMask, pack, parse, splitOverlay, unpack } from "./wire.js";

const SILENCE = 15000; // ms; a connection that is silent for up to twice as long is lost

/** Push frames to `url` (/v1/stream) and receive their masks: returns a MaskStream. */
export const openStream = (url, options) => new MaskStream(url, options);

/** Watch the masks of a pulled stream at `url` (/v1/streams/NAME/masks): returns a MaskStream. */
export const watch = (url, options) => new MaskStream(url, { ...options, watches: true });

/**
 * A stream. `url` may be a function that returns the address, or a promise of it: it is called before each
 * connection, for addresses with a ticket that is good for one, with the address to which a server has sent the
 * stream, or null, if it takes one. Options: `open`, the fields of that message;
 * `Socket`, in place of WebSocket; and functions, which are called in the order of events:
 *   onready(ready, memory)         at each connection; `memory` is new, intact, rebuilt or cold
 *   onmask(mask)                   its header's fields, `labels` (bytes or null), `overlay` (a JPEG's bytes),
 *                                  `picture`, and `sent`: when its frame was sent, by performance.now()
 *   onlost({seqs, cause, detail})  frames that get no mask
 *   onstate(state, sentence)       connecting, live, waiting (for the next attempt) or ended; and why
 *   onerror(error)                 an error that does not end the stream
 */
export class MaskStream {
  ready = null;
  state = "connecting";
  #url;
  #on;
  #socket = null;
  #backlog = new Backlog();
  #token = null;
  #offer = null; // the newest `ready`, until it is certain that no other follows
  #seq = 0;
  #resets = false;
  #ending = false;
  #attempt = 0;
  #route = new Route();
  #sentence = "";
  #last = {}; // the server's message before a close: `why`, and the `pause` in ms that it requested
  #hasReceived = true;
  #timer;
  #heartbeat;
  #delivery = Promise.resolve();
  #waiting = [];

  constructor(url, options) {
    this.#url = url;
    this.#on = { Socket: globalThis.WebSocket, ...options };
    this.#connect();
    this.#heartbeat = setInterval(() => this.#checkSilence(), SILENCE);
  }

  /** Frames without an answer. */
  get inFlight() {
    return this.#backlog.size;
  }

  /** Whether a frame can be sent: the stream is live and its window is not full. */
  get hasRoom() {
    return this.state === "live" && !this.#ending && this.inFlight < this.ready.window;
  }

  /** Wait until there is room and fewer than `most` frames are in flight; resolves to false if the stream has ended. */
  async room(most = Infinity) {
    const isOpen = () => this.state !== "ended" && !this.#ending;
    while (isOpen() && !(this.hasRoom && this.inFlight < most))
      await new Promise((resolve) => this.#waiting.push(resolve));
    return isOpen();
  }

  /**
   * Send a frame (a Blob or bytes) and return its number. `picture`, an ImageBitmap or a VideoFrame, comes
   * back with its mask; that of a lost frame is closed. Without room the frame is lost: returns null.
   */
  send(data, { pts, reset, picture } = {}) {
    if (!this.hasRoom) return picture?.close() ?? null;
    const header = { seq: this.#seq++, pts, reset: reset || this.#resets || undefined };
    this.#resets = false;
    this.#post(this.#backlog.add({ header, data, picture, at: performance.now() }));
    return header.seq;
  }

  /** Forget all frames before the next one. */
  reset() {
    this.#resets = true;
  }

  /** Send no more frames; the stream ends after the last mask. */
  end() {
    this.#ending = true;
    this.#wake();
    if (this.state === "live") this.#say("end");
  }

  /** Connect at once if the stream waits for its next attempt. */
  retry() {
    if (this.state === "waiting" && !this.#socket) this.#connect();
  }

  /** Stop; no function is called any more. Idempotent. */
  close() {
    this.#on = {};
    this.#finish("");
  }

  async #connect() {
    clearTimeout(this.#timer);
    this.#hasReceived = true;
    const trying = (this.#socket = { close() {} });
    try {
      const { named } = this.#route;
      const given = typeof this.#url === "function" ? await this.#url(named) : named ?? this.#url;
      if (this.#socket !== trying) return;
      const url = String(given).replace(/^http/, "ws");
      this.#route.connects(url);
      this.#dial(url);
    } catch (error) {
      if (this.#socket === trying) this.#lost({ code: 1006, reason: `: ${error.message}` });
    }
  }

  #dial(url) {
    const socket = new this.#on.Socket(url, "mastream.v1");
    const current = (take) => (event) => socket === this.#socket && take(event);
    socket.binaryType = "arraybuffer";
    socket.onopen = current(() => this.#greet());
    socket.onmessage = current(({ data }) => this.#receive(data));
    socket.onclose = current((event) => this.#lost(event));
    this.#socket = socket;
  }

  // A server that has waited for `open` sends a `ready` unasked: the last one before the `pong` counts.
  #greet() {
    this.#say("open", { ...this.#on.open, resume: this.#token });
    this.#say("ping");
  }

  #receive(data) {
    this.#hasReceived = true;
    try {
      if (typeof data === "string") this.#note(parse(data));
      else this.#mask(unpack(new Uint8Array(data)));
    } catch (error) {
      this.#finish(texts.stream.foreign, error);
    }
  }

  #note(message) {
    const { type, seq = null, seqs, cause, detail = "" } = message;
    if (type === "ready") this.#offer = message;
    if (this.#offer && (type === "pong" || this.#on.watches)) this.#continue(this.#offer);
    else if (type === "ping") this.#say("pong");
    else if (type === "dropped") this.#lose(seqs, cause, detail);
    else if (type === "error" && seq !== null) this.#lose([seq], message.code, detail);
    else if (type === "error" && !message.fatal) this.#deliver(() => this.#on.onerror?.(new Error(detail)));
    else if (type === "going_away") this.#last = { pause: message.reconnect_after_ms, url: message.url };
    else if (type === "end") this.#finish("");
    if (message.fatal) this.#last.why = detail;
  }

  #continue(ready) {
    const before = this.ready?.model, horizon = ready.model.memory_horizon ?? null;
    if (before && !isSame(before, ready.model)) return this.#finish(texts.stream.otherModel);
    const isCold = before && !this.#on.watches && ["cold", "new"].includes(ready.memory);
    const memory = isCold && horizon !== null ? "rebuilt" : ready.memory;
    this.ready = ready;
    this.#offer = null;
    // Until a mask has arrived, the server may have only a part of the replay.
    this.#token = isCold ? null : ready.resume;
    this.#backlog.horizon = horizon ?? 0;
    this.#deliver(() => this.#on.onready?.(ready, memory));
    const replay = isCold ? this.#backlog.replay() : [];
    for (const frame of [...replay, ...this.#backlog.unanswered()]) this.#post(frame);
    if (this.#ending) this.#say("end");
    this.#enter("live", "");
  }

  #mask({ header, payload }) {
    const frame = this.#backlog.mask(header.seq, header.memory.reset !== null);
    this.#token = this.ready.resume;
    this.#answered();
    if (!frame && !this.#on.watches) return;
    const [packed, overlay] = splitOverlay(header, payload), { at: sent, picture } = frame ?? {};
    if (frame) frame.picture = null;
    const decoded = decodeMask(packed, header.encoding, header.width, header.height)
      .catch((error) => this.#finish(texts.stream.foreign, error));
    this.#deliver(async () => {
      const labels = await decoded;
      if (labels !== undefined) this.#on.onmask?.({ ...header, labels, overlay, picture, sent });
    });
  }

  #lose(seqs, cause, detail) {
    for (const seq of seqs) this.#backlog.drop(seq, cause)?.picture?.close();
    this.#answered();
    this.#deliver(() => this.#on.onlost?.({ seqs, cause, detail }));
  }

  #lost({ code, reason = "" }) {
    const { why = reason.split(": ")[1], pause = 0, url } = this.#last;
    const sentence = why || (this.state === "live" ? texts.stream.lost : texts.errors.unreachable);
    this.#socket = this.#offer = null;
    this.#last = {};
    if (this.#ending && !this.inFlight && this.ready) return this.#finish("");
    if (!mayPass(code)) return this.#finish(sentence);
    if (url && this.#on.watches && !this.#takesNamed) return this.#finish(texts.stream.elsewhere(new URL(url).host));
    this.#route.lost(this.#takesNamed ? url : null);
    const wait = this.#route.named ? 0 : Math.max(pause, delay(this.#attempt++, Math.random()));
    this.#timer = setTimeout(() => this.#connect(), wait);
    this.#enter("waiting", sentence);
  }

  // Whether it can connect to the address that a server names: not if the user's function takes no address.
  get #takesNamed() {
    return typeof this.#url !== "function" || this.#url.length > 0;
  }

  #answered() {
    this.#attempt = 0;
    this.#route.answered();
    this.#wake();
  }

  #checkSilence() {
    if (this.#socket && !this.#hasReceived) {
      this.#socket.close(3000); // without a code, the server would end the session
      this.#lost({ code: 1006 });
    } else if (this.state === "live") this.#say("ping");
    this.#hasReceived = false;
  }

  #finish(sentence, cause) {
    if (this.state === "ended") return;
    clearTimeout(this.#timer);
    clearInterval(this.#heartbeat);
    this.#socket?.close(1000);
    this.#socket = null;
    for (const { picture } of this.#backlog.unanswered()) picture?.close();
    if (cause) this.#deliver(() => this.#on.onerror?.(cause));
    this.#enter("ended", sentence);
  }

  #enter(state, sentence) {
    if (state === this.state && sentence === this.#sentence) return;
    this.state = state;
    this.#sentence = sentence;
    this.#wake();
    this.#deliver(() => this.#on.onstate?.(state, sentence));
  }

  #deliver(call) {
    this.#delivery = this.#delivery.then(call).catch((error) => queueMicrotask(() => { throw error; }));
  }

  #wake() {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #say = (type, fields) => this.#socket.send(JSON.stringify({ type, ...fields }));

  #post = ({ header, data }) => this.#socket.send(pack(header, data));
}
