// Which pictures of several videos belong together. No DOM: tested in Node.

const ROUNDING = 0.0005; // seconds; containers and browsers round times

/** Return the number of the frame that is shown at `time`; `times` are when each frame begins, in seconds. */
export function frameAt(times, time) {
  let low = 0, high = times.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (times[middle] <= time + ROUNDING) low = middle;
    else high = middle;
  }
  return low;
}

/** Return a time well inside a frame, where no rounding leads to a neighbour. */
export function within(times, frame) {
  const length = (times[frame + 1] ?? 2 * times[frame] - (times[frame - 1] ?? times[frame] - 0.04)) - times[frame];
  return times[frame] + Math.min(length / 2, 0.1);
}

/** Holds the last pictures of each side until all sides have the same frame. Pictures are closed when dropped. */
export class Pairs {
  #sides;
  #most;

  constructor(sides, most = 4) {
    this.#sides = Array.from({ length: sides }, () => new Map());
    this.#most = most;
  }

  /** Take a side's picture; return `{frame, pictures}` of the newest frame that all have, or null. */
  put(side, frame, picture) {
    const held = this.#sides[side];
    held.get(frame)?.close();
    held.delete(frame);
    held.set(frame, picture);
    if (held.size > this.#most) drop(held, held.keys().next().value);
    const common = [...held.keys()].filter((one) => this.#sides.every((other) => other.has(one)));
    return common.length ? this.#take(Math.max(...common)) : null;
  }

  clear() {
    for (const held of this.#sides) for (const frame of [...held.keys()]) drop(held, frame);
  }

  #take(frame) {
    const pictures = this.#sides.map((held) => held.get(frame));
    for (const held of this.#sides) {
      held.delete(frame);
      for (const older of [...held.keys()].filter((one) => one < frame)) drop(held, older);
    }
    return { frame, pictures };
  }
}

function drop(held, frame) {
  held.get(frame).close();
  held.delete(frame);
}
