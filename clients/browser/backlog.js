// What a stream must send again after its connection was lost. Pure.

/** Keeps the frames without an answer, at most a window, and the last `horizon` frames in the memory. */
export class Backlog {
  #waiting = new Map();
  #past = [];
  #resets = false;

  /** How many past frames a mask depends on; 0 keeps none, so that a lost memory cannot be rebuilt. */
  horizon = 0;

  get size() {
    return this.#waiting.size;
  }

  /** Keep a frame {header, data} that is about to be sent, and return it, with the reset of a dropped frame. */
  add(frame) {
    if (this.#resets) frame.header.reset = true;
    this.#resets = false;
    this.#waiting.set(frame.header.seq, frame);
    return frame;
  }

  /** Record a mask; `reset`: its frame met an empty memory. Return the frame, undefined if unknown. */
  mask(seq, reset) {
    const frame = this.#waiting.get(seq);
    this.#waiting.delete(seq);
    if (reset) this.#past = [];
    if (frame) this.#past = [...this.#past, frame].slice(-this.horizon || Infinity);
    return frame;
  }

  /** Record a frame without a mask, and return it. The memory has it only if its mask was made and lost. */
  drop(seq, cause) {
    const frame = this.#waiting.get(seq);
    if (cause === "client_slow") return this.mask(seq, frame?.header.reset);
    this.#waiting.delete(seq);
    if (frame?.header.reset) this.#inherit(seq);
    return frame;
  }

  /** Frames without an answer, in order. */
  unanswered() {
    return [...this.#waiting.values()];
  }

  /** Frames that rebuild the memory as it was before the first unanswered one. */
  replay() {
    const [first = Infinity] = this.#waiting.keys();
    const frames = this.#past.filter(({ header }) => header.seq < first);
    return frames.map(({ header: { seq, pts }, data }) => ({ header: { seq, pts, replay: true }, data }));
  }

  #inherit(seq) {
    const after = this.unanswered().find(({ header }) => header.seq > seq);
    if (after) after.header.reset = true;
    else this.#resets = true;
  }
}
