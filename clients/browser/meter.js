// The live numbers and their last minute. Pure: times are passed in, in ms.

const SECONDS = 60, RECENT = 3000, FEW = 4, OLD = 30000;

/** Counts what happens to frames; `tick` once per second appends to the minute of each number. */
export class Meter {
  masks = [];
  drops = 0;
  resets = 0;
  memory = [0, 0];
  history = { rate: [], latency: [], drops: [], memory: [], resets: [] };
  #before = { drops: 0, resets: 0 };

  mask(now, latency, memory, frames) {
    this.masks = [...this.#fresh(now), { at: now, latency }];
    this.memory = [memory.filled, frames];
    if (memory.reset) this.resets += 1;
  }

  drop(count) {
    this.drops += count;
  }

  tick(now) {
    const { rate, latency } = this.recent(now), { drops, resets } = this;
    const { drops: dropsBefore, resets: resetsBefore } = this.#before;
    const news = { rate, latency: latency ?? 0, memory: this.memory[0], drops: drops - dropsBefore, resets: resets - resetsBefore };
    this.#before = { drops, resets };
    for (const [name, values] of Object.entries(this.history)) {
      values.push(news[name]);
      if (values.length > SECONDS) values.shift();
    }
  }

  /** Masks per second and their median latency in ms (null without a mask) over the last seconds. */
  recent(now) {
    const recent = this.#fresh(now);
    const latencies = recent.map((one) => one.latency).sort((a, b) => a - b);
    const rate = recent.length > 1 ? ((recent.length - 1) * 1000) / Math.max(1, now - recent[0].at) : 0;
    return { rate, latency: latencies[latencies.length >> 1] ?? null };
  }

  // If masks are slow, show the last few rather than none.
  #fresh(now) {
    const few = this.masks.length - FEW;
    return this.masks.filter((one, index) => one.at > now - (index < few ? RECENT : OLD));
  }
}

/** An SVG path of values, the newest at the right of a box of 60 x 20; `least` is the minimum value at the top. */
export function sparkline(values, least) {
  const top = Math.max(least, ...values), left = SECONDS - values.length;
  return values.map((value, i) => `${i ? "L" : "M"}${left + i} ${(19 - (18 * value) / top).toFixed(1)}`).join("");
}
