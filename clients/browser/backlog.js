// What a stream must send again after its connection was lost. Pure: time is passed in.

/** Keeps the frames without an answer, at most a window of them, and the last `horizon` frames in the memory. */
export class Backlog {
  #waiting = new Map();
  #past = [];
  #resets = false;

  /** How many past frames a mask depends on; 0 keeps none, so that a lost memory cannot be rebuilt. */
  horizon = 0;

  get size() {
    return this.#waiting.size;
  }

  /** Keep a frame that is about to be sent; return its header, with the reset of a dropped one before it. */
  add(header, data, at) {
    const kept = this.#resets ? { ...header, reset: true } : header;
    this.#resets = false;
    this.#waiting.set(header.seq, { header: kept, data, at });
    return kept;
  }

  /** Record a mask; `reset`: its frame met an empty memory. Returns the frame, undefined if it is not known. */
  mask(seq, reset) {
    const frame = this.#take(seq);
    if (reset) this.#past = [];
    if (frame) this.#past = [...this.#past, frame].slice(-this.horizon || Infinity);
    return frame;
  }

  /** Record frames without a mask. Of these, the memory has only those whose mask was lost. */
  drop(seqs, cause) {
    for (const seq of seqs) {
      if (cause === "client_slow") this.mask(seq, this.#waiting.get(seq)?.header.reset);
      else if (this.#take(seq)?.header.reset) this.#inherit(seq);
    }
  }

  /** Frames without an answer, in order. */
  unanswered() {
    return [...this.#waiting.values()];
  }

  /** Frames that rebuild the memory as it was before the first unanswered one. */
  replay() {
    const [first = Infinity] = this.#waiting.keys();
    return this.#past.filter(({ header }) => header.seq < first).map(({ header: { seq, pts }, data }) =>
      ({ header: { seq, pts, replay: true }, data }));
  }

  #take(seq) {
    const frame = this.#waiting.get(seq);
    this.#waiting.delete(seq);
    return frame;
  }

  #inherit(seq) {
    const after = this.unanswered().find(({ header }) => header.seq > seq);
    if (after) after.header = { ...after.header, reset: true };
    else this.#resets = true;
  }
}
